"""``/deliveries`` and ``/events``: what happened, what became of it, and doing it again. Enterprise has none of it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aiohttp import web

from kong_eventhooks_plugin.api.rest import queries
from kong_eventhooks_plugin.api.rest.answers import (
    NameOf,
    accepted_body,
    attempt_body,
    delivery_body,
    json_response,
    page_body,
    receipt_body,
)
from kong_eventhooks_plugin.api.rest.bodies import read_object
from kong_eventhooks_plugin.api.rest.routes import Endpoint
from kong_eventhooks_plugin.api.rest.stream import stream
from kong_eventhooks_plugin.api.service.feed import WatchFilter
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.errors import UnknownHook, ValidationError
from kong_eventhooks_plugin.queue.contract import DeliveryFilter, EventFilter


class _Published(NamedTuple):
    """What somebody publishes."""

    event: str
    data: dict[str, Any]
    key: str | None


class EventCalls:
    """The handlers. ``name_of`` tells a hook's name by its id; ``heartbeat`` is a stream's, in seconds."""

    def __init__(self, service: Service, name_of: NameOf, heartbeat: float) -> None:
        self._service = service
        self._name_of = name_of
        self._heartbeat = heartbeat

    def calls(self) -> Iterator[Endpoint]:
        """Yield every call."""
        yield Endpoint("GET", "/deliveries", self.deliveries, "read")
        yield Endpoint("GET", "/deliveries/{delivery}", self.delivery, "read")
        yield Endpoint("POST", "/deliveries/{delivery}/replay", self.replay, "change")
        yield Endpoint("GET", "/events", self.events, "read")
        yield Endpoint("POST", "/events", self.publish, "change")
        yield Endpoint("GET", "/events/stream", self.stream, "read", stream=True)

    async def deliveries(self, request: web.Request) -> web.Response:
        """List deliveries."""
        query = request.query
        where = DeliveryFilter(
            hook_id=self._hook_id(query),
            state=queries.state(query),
            source=queries.text(query, "source"),
            since=queries.moment(query, "since"),
            until=queries.moment(query, "until"),
        )
        found = await self._service.deliveries.page(where, queries.size(query), query.get("offset"))
        data = [delivery_body(delivery, self._name_of) for delivery in found.deliveries]
        kept = ("hook", "state", "source", "since", "until", "size")
        return json_response(page_body(data, request, found.next_offset, *kept))

    async def delivery(self, request: web.Request) -> web.Response:
        """Return a delivery, its event's data and its attempts."""
        tried = await self._service.deliveries.get(request.match_info["delivery"])
        body = delivery_body(tried.delivery, self._name_of)
        attempts = [attempt_body(attempt) for attempt in tried.attempts]
        return json_response(body | {"data": tried.delivery.event.data, "attempts": attempts})

    async def replay(self, request: web.Request) -> web.Response:
        """Have a delivery sent again."""
        delivery = await self._service.deliveries.replay(request.match_info["delivery"])
        return json_response(delivery_body(delivery, self._name_of))

    async def events(self, request: web.Request) -> web.Response:
        """List accepted events, each with what it fired and what was held back."""
        query = request.query
        where = EventFilter(
            source=queries.text(query, "source"),
            event=queries.text(query, "event"),
            hook_id=self._hook_id(query),
            since=queries.moment(query, "since"),
            until=queries.moment(query, "until"),
        )
        found = await self._service.events.page(where, queries.size(query), query.get("offset"))
        data = [accepted_body(accepted, self._name_of) for accepted in found.events]
        kept = ("source", "event", "hook", "since", "until", "size")
        return json_response(page_body(data, request, found.next_offset, *kept))

    async def publish(self, request: web.Request) -> web.Response:
        """Publish an event of source ``custom``."""
        given = _published(await read_object(request))
        receipt = await self._service.events.publish(given.event, given.data, given.key)
        return json_response(receipt_body(receipt, self._name_of), 201)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Stream live events."""
        query = request.query
        wanted = WatchFilter(
            source=queries.text(query, "source"), event=queries.text(query, "event"), hook_id=self._hook_id(query)
        )
        return await stream(request, self._service.events, self._name_of, wanted, _last_seen(request), self._heartbeat)

    def _hook_id(self, query: queries.Query) -> str | None:
        """Return the id of the hook that a filter names; one that is gone is known by its id alone."""
        key = queries.text(query, "hook")
        if key is None:
            return None
        try:
            return self._service.hooks.get(key).id
        except UnknownHook:
            return key


def _last_seen(request: web.Request) -> str | None:
    """Return the id of the event after which a stream is to begin; raises ``ValidationError`` for what can be none."""
    last = request.headers.get("last-event-id") or request.query.get("last_event_id") or None
    if last is not None and not (len(last) <= queries.MAX_TEXT and last.isprintable()):
        raise ValidationError({"last_event_id": "expected the id of an event"})
    return last


def _published(given: Mapping[str, Any]) -> _Published:
    """Return what was posted to ``/events``; raises ``ValidationError``."""
    wanted = {"event": (str, "a string"), "data": (dict, "a record"), "key": (str, "a string")}
    faults = {name: "unknown field" for name in given if name not in wanted}
    if given.get("event") is None:
        faults["event"] = "required field missing"
    for name, (kind, text) in wanted.items():
        if given.get(name) is not None and not isinstance(given[name], kind):
            faults[name] = f"expected {text}"
    if faults:
        raise ValidationError(faults)
    return _Published(given["event"], given.get("data") or {}, given.get("key"))

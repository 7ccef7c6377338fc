"""``/deliveries`` and ``/events``: list, publish, stream, replay. Enterprise has none of it."""

from typing import Final

from aiohttp import web

from kong_eventhooks_plugin.api.rest import queries
from kong_eventhooks_plugin.api.rest.answers import json_response, page_links
from kong_eventhooks_plugin.api.rest.bodies import BODY_ERRORS, read_object
from kong_eventhooks_plugin.api.rest.requests import NewEvent, new_event
from kong_eventhooks_plugin.api.rest.routes import Endpoint
from kong_eventhooks_plugin.api.rest.stream import stream
from kong_eventhooks_plugin.api.service import views
from kong_eventhooks_plugin.api.service.feed import WatchFilter
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.queue.contract import EventFilter

_DELIVERIES: Final = ("hook", "state", "source", "event_id", "since", "until")


class EventCalls:
    """``heartbeat`` is a stream's, in seconds."""

    def __init__(self, service: Service, heartbeat: float) -> None:
        self._service = service
        self._present = service.presenter
        self._heartbeat = heartbeat

    def calls(self) -> tuple[Endpoint, ...]:
        return (
            Endpoint("GET", "/deliveries", self.deliveries, "read", "List deliveries, newest first.",
                     (200, views.DeliveryListView),
                     query=(*_DELIVERIES, "size", "offset"), errors=(400,)),
            Endpoint("GET", "/deliveries/{delivery}", self.delivery, "read",
                     "Get a delivery with its event and attempts.", (200, views.DeliveryDetailView), errors=(404,)),
            Endpoint("POST", "/deliveries/{delivery}/replay", self.replay, "change", "Send a delivery again.",
                     (200, views.DeliveryView), errors=(404, 409)),
            Endpoint("GET", "/events", self.events, "read",
                     "List events, newest first, each with what it fired and what was held back.",
                     (200, views.AcceptedEventListView),
                     query=("source", "event", "hook", "since", "until", "size", "offset"), errors=(400,)),
            Endpoint("POST", "/events", self.publish, "change", "Publish an event of source custom.",
                     (201, views.ReceiptView), NewEvent, forms=True, errors=BODY_ERRORS),
            Endpoint("GET", "/events/stream", self.stream, "read", stream=True),
        )  # fmt: skip

    async def deliveries(self, request: web.Request) -> web.Response:
        query = request.query
        hook_id = self._service.hooks.id_of(queries.text(query, "hook"))
        where = queries.delivery_filter(query, hook_id)
        found = await self._service.deliveries.page(where, queries.size(query), query.get("offset"))
        data = [self._present.delivery(delivery) for delivery in found.deliveries]
        links = page_links(request, found.next_offset, *_DELIVERIES, "size")
        return json_response(views.DeliveryListView(data, *links))

    async def delivery(self, request: web.Request) -> web.Response:
        detail = await self._service.deliveries.get(request.match_info["delivery"])
        return json_response(self._present.delivery_detail(detail))

    async def replay(self, request: web.Request) -> web.Response:
        delivery = await self._service.deliveries.replay(request.match_info["delivery"])
        return json_response(self._present.delivery(delivery))

    async def events(self, request: web.Request) -> web.Response:
        query = request.query
        where = EventFilter(
            source=queries.text(query, "source"),
            event=queries.text(query, "event"),
            hook_id=self._service.hooks.id_of(queries.text(query, "hook")),
            since=queries.moment(query, "since"),
            until=queries.moment(query, "until"),
        )
        found = await self._service.events.page(where, queries.size(query), query.get("offset"))
        data = [self._present.accepted(accepted) for accepted in found.events]
        links = page_links(request, found.next_offset, "source", "event", "hook", "since", "until", "size")
        return json_response(views.AcceptedEventListView(data, *links))

    async def publish(self, request: web.Request) -> web.Response:
        given = new_event(await read_object(request))
        receipt = await self._service.events.publish(given.event, given.data or {}, given.key)
        return json_response(self._present.receipt(receipt), 201)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        wanted = WatchFilter(
            source=queries.text(query, "source"),
            event=queries.text(query, "event"),
            hook_id=self._service.hooks.id_of(queries.text(query, "hook")),
        )
        return await stream(request, self._service, wanted, _last_seen(request), self._heartbeat)


def _last_seen(request: web.Request) -> str | None:
    """Return the id of the event after which a stream begins; raises ``ValidationError``."""
    last = request.headers.get("last-event-id") or request.query.get("last_event_id") or None
    if last is not None and not (len(last) <= queries.MAX_TEXT and last.isprintable()):
        raise ValidationError({"last_event_id": "expected the id of an event"})
    return last

"""``/event-hooks``: Kong Enterprise's calls, and a hook's deliveries and replay beyond them."""

from collections.abc import Iterator
from typing import Any

from aiohttp import web

from kong_eventhooks_plugin.api.rest import queries
from kong_eventhooks_plugin.api.rest.answers import NameOf, answer_result, delivery_body, json_response, page_body
from kong_eventhooks_plugin.api.rest.bodies import read_object
from kong_eventhooks_plugin.api.rest.form_values import Field
from kong_eventhooks_plugin.api.rest.routes import Endpoint, caller_of
from kong_eventhooks_plugin.api.service import sources
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.deliveries import SETTLED
from kong_eventhooks_plugin.api.service.entity import entity
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.api.service.tags import tag_filter
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import DeliveryFilter

REPLAY_FIELDS = ("since", "until", "state")


class HookCalls:
    """The handlers. ``field`` is the schema of a hook, for forms; ``name_of`` tells a hook's name by its id."""

    def __init__(self, service: Service, access: Access, field: Field, name_of: NameOf) -> None:
        self._hooks = service.hooks
        self._trials = service.test_delivery
        self._deliveries = service.deliveries
        self._access = access
        self._field = field
        self._name_of = name_of

    def calls(self) -> Iterator[Endpoint]:
        """Yield every call, as it is and with a workspace before it."""
        for prefix in ("", "/{workspace}"):
            base = f"{prefix}/event-hooks"
            yield Endpoint("GET", base, self.page, "open")
            yield Endpoint("POST", base, self.create, "change")
            yield Endpoint("GET", f"{base}/sources", self.sources, "open")
            yield Endpoint("GET", f"{base}/sources/{{source}}", self.source, "open")
            yield Endpoint("GET", f"{base}/sources/{{source}}/{{event}}", self.event, "open")
            one = f"{base}/{{key}}"
            yield Endpoint("GET", one, self.get, "open")
            yield Endpoint("PATCH", one, self.update, "change")
            yield Endpoint("PUT", one, self.upsert, "change")
            yield Endpoint("DELETE", one, self.delete, "change")
            yield Endpoint("GET", f"{one}/ping", self.ping, "change")
            yield Endpoint("POST", f"{one}/test", self.test, "change")
            yield Endpoint("GET", f"{one}/deliveries", self.deliveries, "read")
            yield Endpoint("POST", f"{one}/replay", self.replay, "change")

    async def page(self, request: web.Request) -> web.Response:
        """List hooks."""
        query = request.query
        found = self._hooks.page(queries.size(query), query.get("offset"), tag_filter(_tags(query)))
        return json_response(
            page_body([self._shown(request, hook) for hook in found.hooks], request, found.next_offset, "tags", "size")
        )

    async def create(self, request: web.Request) -> web.Response:
        """Make a hook."""
        hook = await self._hooks.create(await read_object(request, self._field))
        return json_response(self._shown(request, hook), 201)

    async def get(self, request: web.Request) -> web.Response:
        """Return a hook."""
        return json_response(self._shown(request, self._hooks.get(request.match_info["key"])))

    async def update(self, request: web.Request) -> web.Response:
        """Change a hook's given fields."""
        given = await read_object(request, self._field)
        return json_response(self._shown(request, await self._hooks.update(request.match_info["key"], given)))

    async def upsert(self, request: web.Request) -> web.Response:
        """Make or replace a hook; 200 for both, as in Kong."""
        given = await read_object(request, self._field)
        return json_response(self._shown(request, await self._hooks.upsert(request.match_info["key"], given)))

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a hook."""
        await self._hooks.delete(request.match_info["key"])
        return web.Response(status=204)

    async def ping(self, request: web.Request) -> web.Response:
        """Send a hook's ping."""
        return json_response(await self._trials.ping(request.match_info["key"]))

    async def test(self, request: web.Request) -> web.Response:
        """Call a hook's handler with the posted data."""
        tested = await self._trials.test(request.match_info["key"], await read_object(request))
        return json_response({"data": tested.data, "result": answer_result(tested.answer)})

    async def sources(self, _: web.Request) -> web.Response:
        """Return every source's events."""
        return json_response({"data": sources.all_sources()})

    async def source(self, request: web.Request) -> web.Response:
        """Return a source's events."""
        return json_response({"data": sources.events_of_source(request.match_info["source"])})

    async def event(self, request: web.Request) -> web.Response:
        """Return what is known of an event."""
        match = request.match_info
        return json_response({"data": sources.event_of_source(match["source"], match["event"])})

    async def deliveries(self, request: web.Request) -> web.Response:
        """List a hook's deliveries."""
        hook, query = self._hooks.get(request.match_info["key"]), request.query
        where = DeliveryFilter(
            hook_id=hook.id,
            state=queries.state(query),
            since=queries.moment(query, "since"),
            until=queries.moment(query, "until"),
        )
        found = await self._deliveries.page(where, queries.size(query), query.get("offset"))
        data = [delivery_body(delivery, self._name_of) for delivery in found.deliveries]
        return json_response(page_body(data, request, found.next_offset, "state", "since", "until", "size"))

    async def replay(self, request: web.Request) -> web.Response:
        """Have a hook's deliveries of a range of time sent again."""
        hook = self._hooks.get(request.match_info["key"])
        given = await read_object(request)
        unknown = sorted(name for name in given if name not in REPLAY_FIELDS)
        if unknown:
            raise ValidationError(dict.fromkeys(unknown, "unknown field"))
        replayed = await self._deliveries.replay_of_hook(
            hook.id,
            queries.as_moment(given.get("since"), "since"),
            queries.as_moment(given.get("until"), "until"),
            "dead" if given.get("state") is None else queries.one_of(given["state"], "state", SETTLED),
        )
        return json_response({"replayed": replayed.count, "refused": replayed.refused, "more": replayed.more})

    def _shown(self, request: web.Request, hook: Hook) -> dict[str, Any]:
        return entity(hook, trusted=self._access.trusted(caller_of(request)))


def _tags(query: Any) -> str | None:
    """Return the tags' filter; ``tags[]`` is another way to spell it, which Kong's forms have."""
    value: str | None = query.get("tags", query.get("tags[]"))
    return value

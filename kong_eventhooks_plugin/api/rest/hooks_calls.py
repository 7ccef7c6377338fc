"""``/event-hooks``: Kong Enterprise's calls; and beyond them a hook's deliveries and replay."""

from collections.abc import Iterator
from typing import Final

from aiohttp import web

from kong_eventhooks_plugin.api.rest import queries
from kong_eventhooks_plugin.api.rest.answers import json_response, page_links
from kong_eventhooks_plugin.api.rest.bodies import BODY_ERRORS, read_object
from kong_eventhooks_plugin.api.rest.form_values import Field
from kong_eventhooks_plugin.api.rest.requests import (
    DefinitionPreviewInput,
    PreviewInput,
    ReplayRange,
    preview_input,
    replay_range,
)
from kong_eventhooks_plugin.api.rest.routes import Endpoint, caller_of
from kong_eventhooks_plugin.api.service import sources, views
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.entity import hook_view
from kong_eventhooks_plugin.api.service.presenter import tested_view
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.api.service.tags import tag_filter
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.model.hook import Hook

_HOOK: Final = "/event-hooks/{hook}"
_DELIVERIES: Final = ("state", "source", "event_id", "since", "until", "size", "offset")
_HOOK_ERRORS: Final = (*BODY_ERRORS, 409)


class HookCalls:
    """``field`` is the schema of a hook, for forms."""

    def __init__(self, service: Service, access: Access, field: Field) -> None:
        self._hooks = service.hooks
        self._states = service.states
        self._tests = service.test_delivery
        self._previews = service.previews
        self._deliveries = service.deliveries
        self._access = access
        self._field = field
        self._present = service.presenter

    def calls(self) -> Iterator[Endpoint]:
        """Yield every call, without and with a workspace before it; the document has those without."""
        calls = self._calls()
        yield from calls
        yield from (call._replace(path=f"/{{workspace}}{call.path}", summary="") for call in calls)

    def _calls(self) -> tuple[Endpoint, ...]:
        return (
            Endpoint("GET", "/event-hooks", self.page, "open", "List hooks.", (200, views.HookListView),
                     query=("size", "offset", "tags"), errors=(400,)),
            Endpoint("POST", "/event-hooks", self.create, "change", "Make a hook.", (201, views.HookView),
                     "HookInput", forms=True, errors=_HOOK_ERRORS),
            Endpoint("GET", "/event-hooks/sources", self.sources, "open", "List sources and their events.",
                     (200, views.SourcesView)),
            Endpoint("GET", "/event-hooks/sources/{source}", self.source, "open", "List a source's events.",
                     (200, views.EventsView), errors=(404,)),
            Endpoint("GET", "/event-hooks/sources/{source}/{event}", self.event, "open", "Describe an event.",
                     (200, views.EventView), errors=(404,)),
            Endpoint("POST", "/event-hooks/preview", self.preview_definition, "change",
                     "Show what a definition that is not stored would do with an event.", (200, views.PreviewView),
                     DefinitionPreviewInput, forms=True, errors=(*BODY_ERRORS, 404)),
            Endpoint("GET", _HOOK, self.get, "open", "Get a hook by its id or name.", (200, views.HookView),
                     errors=(404,)),
            Endpoint("PATCH", _HOOK, self.update, "change", "Change fields of a hook.", (200, views.HookView),
                     "HookPatch", forms=True, errors=(*_HOOK_ERRORS, 404, 405)),
            Endpoint("PUT", _HOOK, self.upsert, "change", "Make a hook with that id or name, or replace it.",
                     (200, views.HookView), "HookInput", forms=True, errors=(*_HOOK_ERRORS, 405)),
            Endpoint("DELETE", _HOOK, self.delete, "change", "Remove a hook.", (204, None), errors=(404, 405)),
            Endpoint("GET", f"{_HOOK}/ping", self.ping, "change", "Send the hook's ping and return it.",
                     (200, views.PingView), errors=(400, 404, 500)),
            Endpoint("POST", f"{_HOOK}/test", self.test, "change",
                     "Run the hook's handler at once with the posted data.", (200, views.TestedView), "TestData",
                     forms=True, errors=(*BODY_ERRORS, 404, 500)),
            Endpoint("POST", f"{_HOOK}/preview", self.preview, "change",
                     "Show what the hook would do with an event, without doing it.", (200, views.PreviewView),
                     PreviewInput, forms=True, errors=(*BODY_ERRORS, 404)),
            Endpoint("GET", f"{_HOOK}/deliveries", self.deliveries, "read", "List a hook's deliveries, newest first.",
                     (200, views.DeliveryListView), query=_DELIVERIES,
                     errors=(400, 404)),
            Endpoint("POST", f"{_HOOK}/replay", self.replay, "change",
                     "Send a hook's dead or delivered deliveries again.", (200, views.ReplayedView), ReplayRange,
                     forms=True, errors=(*BODY_ERRORS, 404)),
        )  # fmt: skip

    async def page(self, request: web.Request) -> web.Response:
        query = request.query
        tags = tag_filter(query.get("tags", query.get("tags[]")))  # both spellings, as in Kong's forms
        found = self._hooks.page(queries.size(query), query.get("offset"), tags)
        data = [self._view(request, hook) for hook in found.hooks]
        return json_response(views.HookListView(data, *page_links(request, found.next_offset, "tags", "size")))

    async def create(self, request: web.Request) -> web.Response:
        hook = await self._hooks.create(await read_object(request, self._field))
        return json_response(self._view(request, hook), 201)

    async def get(self, request: web.Request) -> web.Response:
        return json_response(self._view(request, self._hooks.get(request.match_info["hook"])))

    async def update(self, request: web.Request) -> web.Response:
        given = await read_object(request, self._field)
        return json_response(self._view(request, await self._hooks.update(request.match_info["hook"], given)))

    async def upsert(self, request: web.Request) -> web.Response:
        """200 for a new hook too, as in Kong."""
        given = await read_object(request, self._field)
        return json_response(self._view(request, await self._hooks.upsert(request.match_info["hook"], given)))

    async def delete(self, request: web.Request) -> web.Response:
        await self._hooks.delete(request.match_info["hook"])
        return web.Response(status=204)

    async def ping(self, request: web.Request) -> web.Response:
        return json_response(views.PingView(**await self._tests.ping(request.match_info["hook"])))

    async def test(self, request: web.Request) -> web.Response:
        tested = await self._tests.test(request.match_info["hook"], await read_object(request))
        return json_response(tested_view(tested))

    async def preview(self, request: web.Request) -> web.Response:
        changes, chosen = preview_input(await read_object(request))
        preview = await self._previews.of_hook(request.match_info["hook"], chosen, changes)
        return json_response(self._present.preview(preview))

    async def preview_definition(self, request: web.Request) -> web.Response:
        definition, chosen = preview_input(await read_object(request))
        if definition is None:
            raise ValidationError({"hook": "required field missing"})
        return json_response(self._present.preview(await self._previews.of_definition(definition, chosen)))

    async def sources(self, _: web.Request) -> web.Response:
        return json_response(views.SourcesView(sources.all_sources()))

    async def source(self, request: web.Request) -> web.Response:
        return json_response(views.EventsView(sources.events_of_source(request.match_info["source"])))

    async def event(self, request: web.Request) -> web.Response:
        match = request.match_info
        return json_response(views.EventView(sources.event_of_source(match["source"], match["event"])))

    async def deliveries(self, request: web.Request) -> web.Response:
        hook, query = self._hooks.get(request.match_info["hook"]), request.query
        where = queries.delivery_filter(query, hook.id)
        found = await self._deliveries.page(where, queries.size(query), query.get("offset"))
        data = [self._present.delivery(delivery) for delivery in found.deliveries]
        links = page_links(request, found.next_offset, *_DELIVERIES[:-1])
        return json_response(views.DeliveryListView(data, *links))

    async def replay(self, request: web.Request) -> web.Response:
        hook = self._hooks.get(request.match_info["hook"])
        replayed = await self._deliveries.replay_of_hook(hook.id, *replay_range(await read_object(request)))
        return json_response(views.ReplayedView(replayed.count, replayed.refused, replayed.more))

    def _view(self, request: web.Request, hook: Hook) -> views.HookView:
        held, delivered_by = self._states.held(hook), self._states.delivered_by(hook)
        return hook_view(hook, held, delivered_by, trusted=self._access.trusted(caller_of(request)))

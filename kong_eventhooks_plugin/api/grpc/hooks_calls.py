"""HookService and SourceService."""

from google.protobuf.message import Message

from kong_eventhooks_plugin.api.grpc import parse
from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import hooks_pb2 as pb
from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import sources_pb2
from kong_eventhooks_plugin.api.grpc.guard import Calls, Unary
from kong_eventhooks_plugin.api.grpc.serialize import fitting, to_message
from kong_eventhooks_plugin.api.grpc.structs import from_struct, to_struct
from kong_eventhooks_plugin.api.service import sources
from kong_eventhooks_plugin.api.service.entity import hook_view
from kong_eventhooks_plugin.api.service.presenter import tested_view
from kong_eventhooks_plugin.api.service.previews import ChosenEvent
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.api.service.tags import tag_filter
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.model.hook import Hook


class HookCalls:
    def __init__(self, service: Service) -> None:
        self._hooks = service.hooks
        self._states = service.states
        self._tests = service.test_delivery
        self._previews = service.previews
        self._present = service.presenter

    def table(self) -> Calls:
        return Calls(
            pb.DESCRIPTOR.services_by_name["HookService"],
            (
                Unary("ListHooks", self.page, "open"),
                Unary("GetHook", self.get, "open"),
                Unary("CreateHook", self.create, "change", keeps=True),
                Unary("UpdateHook", self.update, "change", keeps=True),
                Unary("DeleteHook", self.delete, "change", keeps=True),
                Unary("PingHook", self.ping, "change"),
                Unary("TestHook", self.test, "change"),
                Unary("PreviewHook", self.preview, "change"),
            ),
        )

    async def page(self, request: pb.ListHooksRequest, trusted: bool) -> Message:
        tags = tag_filter(parse.given_text(request.tags, "tags"))

        async def page(size: int) -> tuple[pb.ListHooksResponse, int]:
            found = self._hooks.page(size, request.page_token or None, tags)
            hooks = [self._message(hook, trusted) for hook in found.hooks]
            return pb.ListHooksResponse(hooks=hooks, next_page_token=found.next_offset or ""), len(hooks)

        return await fitting(parse.size(request.page_size), page)

    async def get(self, request: pb.GetHookRequest, trusted: bool) -> Message:
        hook = self._hooks.get(parse.needed(request.hook, "hook"))
        return pb.GetHookResponse(hook=self._message(hook, trusted))

    async def create(self, request: pb.CreateHookRequest, trusted: bool) -> Message:
        given = parse.definition(request)
        with parse.below("definition"):
            hook = await self._hooks.create(given)
        return pb.CreateHookResponse(hook=self._message(hook, trusted))

    async def update(self, request: pb.UpdateHookRequest, trusted: bool) -> Message:
        key, given = parse.needed(request.hook, "hook"), parse.changes(request)
        if request.allow_missing and request.update_mask.paths:
            raise ValidationError(
                {"update_mask": "must be empty where allow_missing is set: the hook is replaced whole"}
            )
        with parse.below("definition"):
            hook = await (self._hooks.upsert if request.allow_missing else self._hooks.update)(key, given)
        return pb.UpdateHookResponse(hook=self._message(hook, trusted))

    async def delete(self, request: pb.DeleteHookRequest, _: bool) -> Message:
        await self._hooks.delete(parse.needed(request.hook, "hook"))
        return pb.DeleteHookResponse()

    async def ping(self, request: pb.PingHookRequest, _: bool) -> Message:
        return pb.PingHookResponse(sent=to_struct(await self._tests.ping(parse.needed(request.hook, "hook"))))

    async def test(self, request: pb.TestHookRequest, _: bool) -> Message:
        key = parse.needed(request.hook, "hook")
        with parse.below("data"):
            tested = await self._tests.test(key, from_struct(request.data))
        return to_message(pb.TestHookResponse, tested_view(tested))

    async def preview(self, request: pb.PreviewHookRequest, _: bool) -> Message:
        key = parse.given_text(request.hook, "hook")
        with parse.below("data"):
            data = from_struct(request.data) if request.HasField("data") else None
        event, event_id = parse.given_text(request.event, "event"), parse.given_text(request.event_id, "event_id")
        chosen = ChosenEvent(event, event_id, data)
        given = parse.definition(request) if key is None or request.HasField("definition") else None
        if key is not None:
            found = await self._previews.of_hook(key, chosen, given)
        else:
            found = await self._previews.of_definition(given or {}, chosen)
        return to_message(pb.PreviewHookResponse, self._present.preview(found))

    def _message(self, hook: Hook, trusted: bool) -> pb.Hook:
        held, delivered_by = self._states.held(hook), self._states.delivered_by(hook)
        return to_message(pb.Hook, hook_view(hook, held, delivered_by, trusted=trusted))


class SourceCalls:
    def table(self) -> Calls:
        service = sources_pb2.DESCRIPTOR.services_by_name["SourceService"]
        return Calls(service, (Unary("ListSources", self.all, "open"),))

    async def all(self, request: sources_pb2.ListSourcesRequest, _: bool) -> Message:
        """Return the events of every source, or those of one."""
        wanted = parse.given_text(request.source, "source")
        found = sources.all_sources() if wanted is None else {wanted: sources.events_of_source(wanted)}
        listed = [
            sources_pb2.Source(
                name=name,
                events=[to_message(sources_pb2.SourceEvent, event, name=each) for each, event in events.items()],
            )
            for name, events in found.items()
        ]
        return sources_pb2.ListSourcesResponse(sources=listed)

"""EventService.

Limits of a watch: those of ``api.service.feed``; a watcher that takes nothing for ``STALLED`` seconds loses its place
among them and is ended with RESOURCE_EXHAUSTED as soon as it reads.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

import grpc
from google.protobuf.message import Message

from kong_eventhooks_plugin.api.grpc import parse
from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import events_pb2 as pb
from kong_eventhooks_plugin.api.grpc.guard import Calls, Context, Stream, Unary
from kong_eventhooks_plugin.api.grpc.hook_names import HookNames
from kong_eventhooks_plugin.api.grpc.serialize import accepted_message, fitting, live_event_message, receipt_message
from kong_eventhooks_plugin.api.grpc.structs import from_struct
from kong_eventhooks_plugin.api.service.feed import LiveEvent, Missed, Watcher, WatchFilter
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.errors import TooBusy
from kong_eventhooks_plugin.queue.contract import EventFilter

STALLED: Final = 30.0
LEAVING: Final = "the server is leaving; watch again, after the last event that was told"


class EventCalls:
    """The calls on events. ``stalled`` in seconds: see the file's head."""

    def __init__(self, service: Service, names: HookNames, stalled: float = STALLED) -> None:
        self._events = service.events
        self._names = names
        self._stalled = stalled
        self._watchers: set[Watcher] = set()
        self._leaving = False

    def table(self) -> Calls:
        """Return every call."""
        return Calls(
            pb.DESCRIPTOR.services_by_name["EventService"],
            (
                Unary("Publish", self.publish, "change", keeps=True),
                Unary("ListEvents", self.page, "read"),
                Stream("Watch", self.watch, "read"),
            ),
        )

    def leave(self) -> None:
        """End all watches, those to come as well."""
        self._leaving = True
        for watcher in self._watchers:
            watcher.close()

    async def publish(self, request: pb.PublishRequest, _: bool) -> Message:
        """Publish an event of source ``custom``."""
        data = from_struct(request.data)
        return receipt_message(await self._events.publish(request.event, data, request.key or None), self._names)

    async def page(self, request: pb.ListEventsRequest, _: bool) -> Message:
        """List accepted events, each with what it fired and what was held back."""
        where = EventFilter(
            source=parse.given_text(request.source, "source"),
            event=parse.given_text(request.event, "event"),
            hook_id=self._names.wanted(request.hook),
            since=parse.since(request),
            until=parse.until(request),
        )

        async def page(size: int) -> tuple[pb.ListEventsResponse, int]:
            found = await self._events.page(where, size, request.page_token or None)
            told = [accepted_message(accepted, self._names) for accepted in found.events]
            return pb.ListEventsResponse(events=told, next_page_token=found.next_offset or ""), len(told)

        return await fitting(parse.size(request.page_size), page)

    async def watch(self, request: pb.WatchRequest, context: Context) -> None:
        """Tell live events. Raises ``TooBusy`` where too many watch, or this one does not read."""
        wanted = WatchFilter(
            source=parse.given_text(request.source, "source"),
            event=parse.given_text(request.event, "event"),
            hook_id=self._names.wanted(request.hook),
        )
        last = parse.given_text(request.after, "after")
        with self._events.watch(wanted) as watcher, self._known(watcher):
            await context.send_initial_metadata(())
            async with contextlib.aclosing(self._events.follow(watcher, wanted, last)) as entries:
                async for entry in entries:
                    await self._send(entry, context)
        await context.abort(grpc.StatusCode.UNAVAILABLE, LEAVING)

    async def _send(self, entry: LiveEvent | Missed, context: Context) -> None:
        try:
            async with asyncio.timeout(self._stalled):
                await context.write(live_event_message(entry, self._names))
        except TimeoutError as error:
            raise TooBusy(f"the watcher took nothing for {self._stalled:g} s") from error

    @contextlib.contextmanager
    def _known(self, watcher: Watcher) -> Iterator[None]:
        self._watchers.add(watcher)
        if self._leaving:
            watcher.close()
        try:
            yield
        finally:
            self._watchers.discard(watcher)

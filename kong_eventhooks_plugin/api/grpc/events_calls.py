"""EventService.

Limits of a watch: those of ``api.service.feed``; a watcher that reads nothing for ``STALLED`` seconds is removed, and
its call ends with RESOURCE_EXHAUSTED as soon as it reads.
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
from kong_eventhooks_plugin.api.grpc.serialize import fitting, to_message
from kong_eventhooks_plugin.api.grpc.structs import from_struct
from kong_eventhooks_plugin.api.service.feed import LiveEvent, Missed, Watcher, WatchFilter
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.errors import TooBusy
from kong_eventhooks_plugin.queue.contract import EventFilter

STALLED: Final = 30.0
CLOSING: Final = "the server is shutting down; watch again, after the last event that you received"


class EventCalls:
    """``stalled`` in seconds: see ``STALLED``."""

    def __init__(self, service: Service, stalled: float = STALLED) -> None:
        self._hooks = service.hooks
        self._events = service.events
        self._present = service.presenter
        self._stalled = stalled
        self._watchers: set[Watcher] = set()
        self._closing = False

    def table(self) -> Calls:
        return Calls(
            pb.DESCRIPTOR.services_by_name["EventService"],
            (
                Unary("Publish", self.publish, "change", keeps=True),
                Unary("ListEvents", self.page, "read"),
                Stream("Watch", self.watch, "read"),
            ),
        )

    def close(self) -> None:
        """End all watches, and those that begin later."""
        self._closing = True
        for watcher in self._watchers:
            watcher.close()

    async def publish(self, request: pb.PublishRequest, _: bool) -> Message:
        with parse.below("data"):
            data = from_struct(request.data)
        receipt = await self._events.publish(request.event, data, request.key or None)
        return to_message(pb.PublishResponse, self._present.receipt(receipt))

    async def page(self, request: pb.ListEventsRequest, _: bool) -> Message:
        where = EventFilter(
            source=parse.given_text(request.source, "source"),
            event=parse.given_text(request.event, "event"),
            hook_id=self._hooks.id_of(parse.given_text(request.hook, "hook")),
            since=parse.moment(request, "since"),
            until=parse.moment(request, "until"),
        )

        async def page(size: int) -> tuple[pb.ListEventsResponse, int]:
            found = await self._events.page(where, size, request.page_token or None)
            events = [to_message(pb.AcceptedEvent, self._present.accepted(accepted)) for accepted in found.events]
            return pb.ListEventsResponse(events=events, next_page_token=found.next_offset or ""), len(events)

        return await fitting(parse.size(request.page_size), page)

    async def watch(self, request: pb.WatchRequest, context: Context) -> None:
        """May raise ``TooBusy`` where there are too many watchers, or this one does not read."""
        wanted = WatchFilter(
            source=parse.given_text(request.source, "source"),
            event=parse.given_text(request.event, "event"),
            hook_id=self._hooks.id_of(parse.given_text(request.hook, "hook")),
        )
        last = parse.given_text(request.after, "after")
        with self._events.watch(wanted) as watcher, self._registered(watcher):
            await context.send_initial_metadata(())
            async with contextlib.aclosing(self._events.follow(watcher, wanted, last)) as entries:
                async for entry in entries:
                    await self._send(entry, context)
        await context.abort(grpc.StatusCode.UNAVAILABLE, CLOSING)

    async def _send(self, entry: LiveEvent | Missed, context: Context) -> None:
        try:
            async with asyncio.timeout(self._stalled):
                await context.write(self._message(entry))
        except TimeoutError as error:
            raise TooBusy(f"the watcher read nothing for {self._stalled:g} s") from error

    def _message(self, entry: LiveEvent | Missed) -> Message:
        if isinstance(entry, Missed):
            return pb.WatchResponse(missed=pb.Missed(count=entry.count))
        return pb.WatchResponse(event=to_message(pb.WatchedEvent, self._present.live_event(entry)))

    @contextlib.contextmanager
    def _registered(self, watcher: Watcher) -> Iterator[None]:
        self._watchers.add(watcher)
        if self._closing:
            watcher.close()
        try:
            yield
        finally:
            self._watchers.discard(watcher)

"""The use cases on events: the recent ones with what each led to, watching live ones, publishing one's own.

An event that no hook hears is neither stored nor told to watchers: there is nothing to say of it but that.

Limits: an event's name 256 characters, its data as deep and large as any definition
(``hooks.validation.json_values``); after a break, a watcher is told at most ``CAUGHT_UP`` events again.
"""

import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from kong_eventhooks_plugin.api.service import paging
from kong_eventhooks_plugin.api.service.deliveries import about_offset, check_range
from kong_eventhooks_plugin.api.service.feed import Feed, LiveEvent, Missed, Watcher, WatchFilter
from kong_eventhooks_plugin.errors import QueueError, ValidationError
from kong_eventhooks_plugin.hooks.validation import json_values
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.queue.contract import Accepted, EventFilter, EventPage, Publish, Queue, Receipt
from kong_eventhooks_plugin.sources.catalogue import CUSTOM

SOURCE: Final = CUSTOM
"""What everything published has as its source; a hook names it and any event."""

CAUGHT_UP: Final = 1_000
MAX_NAME: Final = 256
MAX_KEY: Final = 128

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Events:
    """See the file's head. ``clock`` gives Unix seconds."""

    def __init__(self, queue: Queue, feed: Feed, publish: Publish, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._feed = feed
        self._publish = publish
        self._clock = clock

    async def page(self, where: EventFilter, size: float | None = None, offset: str | None = None) -> EventPage:
        """Return a page of accepted events, newest first. Raises ``BadArgument``, ``StoreUnavailable``."""
        length = paging.page_size(size)
        check_range(where.since, where.until)
        position = None if offset is None else paging.decoded(offset)
        try:
            found = await self._queue.events(where, length, position)
        except QueueError as error:
            raise about_offset(error, offset) from error
        return EventPage(found.events, None if found.next_offset is None else paging.encoded(found.next_offset))

    async def publish(self, name: str, data: dict[str, Any], key: str | None = None) -> Receipt:
        """Fire the hooks on source ``custom``; return what came of it, committed.

        With a ``key`` of the caller's, the same key again is the same event: it fires nothing twice, and its receipt
        says ``duplicate``. Raises ``ValidationError``, ``QueueFull``, ``StoreUnavailable``.
        """
        _check_event(name, data, key)
        event = self._event(name, data, key)
        accepted = self._publish(event)
        if accepted is None:
            return Receipt(event_id=event.id, duplicate=False, fired=(), held_back={})
        return await accepted

    @contextmanager
    def watch(self, wanted: WatchFilter) -> Iterator[Watcher]:
        """Watch live events inside the block. Raises ``TooBusy``."""
        with self._feed.watch(wanted) as watcher:
            yield watcher

    async def follow(
        self, watcher: Watcher, wanted: WatchFilter, last: str | None
    ) -> AsyncGenerator[LiveEvent | Missed]:
        """Yield what was accepted after the event ``last`` and is still known, then what ``watcher`` hears."""
        told: set[str] = set()
        if last is not None:
            async for entry in self._since(wanted, last):
                if isinstance(entry, LiveEvent):
                    told.add(entry.event.id)
                yield entry
        async for entry in watcher:
            # Accepted between the beginning of the watch and the reading of the list: in both.
            if isinstance(entry, LiveEvent) and told and entry.event.id in told:
                continue
            yield entry

    async def _since(self, wanted: WatchFilter, last: str) -> AsyncIterator[LiveEvent | Missed]:
        where = EventFilter(source=wanted.source, event=wanted.event, hook_id=wanted.hook_id, after=last)
        page = await self._queue.events(where, CAUGHT_UP)
        if page.next_offset is not None:
            yield Missed(None)
        for accepted in reversed(page.events):
            yield LiveEvent(accepted.event, _receipt(accepted))

    def _event(self, name: str, data: dict[str, Any], key: str | None) -> Event:
        now = self._clock()
        # A key's event has the same id whenever it is told; 0 is as good a time as any for that.
        told = event_id(0.0, SOURCE, "key", key) if key is not None else event_id(now, SOURCE, name, uuid.uuid4().hex)
        return Event(id=told, source=SOURCE, event=name, data=data, time=now)


def _receipt(accepted: Accepted) -> Receipt:
    return Receipt(accepted.event.id, duplicate=False, fired=tuple(accepted.fired), held_back=accepted.held_back)


def _is_word(text: str, longest: int) -> bool:
    return 1 <= len(text) <= longest and _CONTROL.search(text) is None


def _check_event(name: str, data: dict[str, Any], key: str | None) -> None:
    faults: dict[str, str] = {}
    if not _is_word(name, MAX_NAME):
        faults["event"] = f"expected 1 to {MAX_NAME} characters, none of them a control character"
    if key is not None and not _is_word(key, MAX_KEY):
        faults["key"] = f"expected 1 to {MAX_KEY} characters, none of them a control character"
    problem = json_values.json_error(data)
    if problem is not None:
        faults["data"] = f"{problem.path}: {problem.text}" if problem.path else problem.text
    if faults:
        raise ValidationError(faults)

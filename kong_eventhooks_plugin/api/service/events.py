"""The use cases on events: list with their outcome, watch live, publish.

An event that no hook subscribes to is neither stored nor published to watchers.

Limits: an event's name 256 characters, its data as deep and large as any definition
(``hooks.validation.json_values``); after a break, a watcher gets at most ``CAUGHT_UP`` past events.
"""

import re
from asyncio import Future
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

from kong_eventhooks_plugin.api.service import paging
from kong_eventhooks_plugin.api.service.deliveries import check_range
from kong_eventhooks_plugin.api.service.feed import Feed, LiveEvent, Missed, Watcher, WatchFilter
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks.validation import json_values
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id, unique_ids
from kong_eventhooks_plugin.queue.contract import Accepted, EventFilter, EventPage, Publish, Queue, Receipt
from kong_eventhooks_plugin.sources.catalogue import CUSTOM

SOURCE: Final = CUSTOM
CAUGHT_UP: Final = 1_000
MAX_NAME: Final = 256
MAX_KEY: Final = 128

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Events:
    def __init__(self, queue: Queue, feed: Feed, publish: Publish, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._feed = feed
        self._publish = publish
        self._clock = clock
        self._unique_id = unique_ids()

    async def page(self, where: EventFilter, size: float | None = None, offset: str | None = None) -> EventPage:
        """Return a page of accepted events, newest first. Raises ``BadArgument``, ``StoreUnavailable``."""
        check_range(where.since, where.until)
        return await paging.read_page(partial(self._queue.events, where), size, offset)

    async def publish(self, name: str, data: dict[str, Any], key: str | None = None) -> Receipt:
        """Fire the hooks on source ``custom``; return the receipt, committed.

        The same ``key`` again is the same event: it fires nothing twice, and its receipt is a ``duplicate``. Raises
        ``ValidationError``, ``QueueFull``, ``StoreUnavailable``.
        """
        offered = self.offer(name, data, key)
        return offered if isinstance(offered, Receipt) else await offered

    def offer(
        self, name: str, data: dict[str, Any], key: str | None, *, is_json: bool = False
    ) -> "Receipt | Future[Receipt]":
        """As ``publish``; the receipt is there at once where no hook subscribes.

        ``is_json``: who has read the data has found no error in it.
        """
        _check_event(name, None if is_json else data, key)
        now = self._clock()
        # The id of a key's event does not depend on the time; 0 is as good as any.
        new_id = self._unique_id(now) if key is None else event_id(0.0, SOURCE, "key", key)
        event = Event(id=new_id, source=SOURCE, event=name, data=data, time=now)
        accepted = self._publish(event)
        if accepted is None:
            return Receipt(event_id=event.id, duplicate=False, fired=(), held_back={})
        return accepted

    def watch(self, wanted: WatchFilter) -> AbstractContextManager[Watcher]:
        """May raise ``TooBusy``."""
        return self._feed.watch(wanted)

    async def follow(
        self, watcher: Watcher, wanted: WatchFilter, last: str | None
    ) -> AsyncGenerator[LiveEvent | Missed]:
        """Yield what was accepted after the event ``last`` and is still known, then what ``watcher`` gets."""
        caught_up: set[str] = set()
        if last is not None:
            async for entry in self._since(wanted, last):
                if isinstance(entry, LiveEvent):
                    caught_up.add(entry.event.id)
                yield entry
        async for entry in watcher:
            # Accepted between the beginning of the watch and the reading of the list: in both.
            if isinstance(entry, LiveEvent) and entry.event.id in caught_up:
                continue
            yield entry

    async def _since(self, wanted: WatchFilter, last: str) -> AsyncIterator[LiveEvent | Missed]:
        where = EventFilter(source=wanted.source, event=wanted.event, hook_id=wanted.hook_id, after=last)
        page = await self._queue.events(where, CAUGHT_UP)
        if page.next_offset is not None:
            yield Missed(None)
        for accepted in reversed(page.events):
            yield LiveEvent(accepted.event, _receipt(accepted))


def _receipt(accepted: Accepted) -> Receipt:
    return Receipt(accepted.event.id, duplicate=False, fired=tuple(accepted.fired), held_back=accepted.held_back)


def _is_word(text: str, longest: int) -> bool:
    return 1 <= len(text) <= longest and (text.isprintable() or _CONTROL.search(text) is None)


def _check_event(name: str, data: dict[str, Any] | None, key: str | None) -> None:
    errors: dict[str, str] = {}
    if not _is_word(name, MAX_NAME):
        errors["event"] = f"expected 1 to {MAX_NAME} characters, none of them a control character"
    if key is not None and not _is_word(key, MAX_KEY):
        errors["key"] = f"expected 1 to {MAX_KEY} characters, none of them a control character"
    error = None if data is None else json_values.json_error(data)
    if error is not None:
        errors["data"] = str(error)
    if errors:
        raise ValidationError(errors)

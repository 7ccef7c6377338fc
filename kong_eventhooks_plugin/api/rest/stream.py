"""``GET /events/stream``: live events as server-sent events (WHATWG HTML, "Server-sent events").

Each event is a message with the event's id; ``event: missed`` says how many a slow reader lost (null: unknown); a
comment every ``HEARTBEAT`` seconds keeps proxies from closing a quiet stream. A reader that comes back with
``Last-Event-ID`` is told what it missed, as far as the store knows.

Limits: those of ``feed``; a reader that takes nothing for ``STALLED`` seconds is let go, one that went is noticed after
``CHECK_SECONDS`` seconds at most, and all end when the process leaves.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Final

import msgspec
from aiohttp import web

from kong_eventhooks_plugin.api.rest.answers import NameOf, live_event_body
from kong_eventhooks_plugin.api.rest.error_mapping import response_for
from kong_eventhooks_plugin.api.rest.sending import cut
from kong_eventhooks_plugin.api.service.events import Events
from kong_eventhooks_plugin.api.service.feed import LiveEvent, Missed, WatchFilter
from kong_eventhooks_plugin.errors import QueueError

HEARTBEAT: Final = 15.0
STALLED: Final = 30.0
CHECK_SECONDS: Final = 1.0
RETRY_MILLISECONDS: Final = 2_000
"""What a browser's EventSource is told to wait before it comes back."""

_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    # nginx, and so Kong, would otherwise collect a stream into a buffer.
    "x-accel-buffering": "no",
}


async def stream(
    request: web.Request,
    events: Events,
    name_of: NameOf,
    wanted: WatchFilter,
    last: str | None,
    heartbeat: float,
) -> web.StreamResponse:
    """Answer with events until the reader or the process leaves. Raises ``TooBusy`` before anything is sent.

    ``last`` is the event after which to begin; ``heartbeat`` in seconds.
    """
    with events.watch(wanted) as watcher:
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        try:
            await _write(response, f"retry: {RETRY_MILLISECONDS}\n\n".encode())
            async with (
                contextlib.aclosing(events.follow(watcher, wanted, last)) as entries,
                contextlib.aclosing(_with_heartbeats(entries, heartbeat, partial(_is_there, request))) as beating,
            ):
                async for entry in beating:
                    await _write(response, _message(entry, name_of))
        except (ConnectionError, QueueError):
            pass  # the reader left, or is to come again with ``Last-Event-ID``
        except TimeoutError:
            # What waits for a reader that takes nothing would be kept as long as it stays connected.
            cut(request)
        except Exception as error:  # noqa: BLE001 - no other answer can be given any more; logged, and the reader comes again
            response_for(error)
            cut(request)
    return response


def _message(entry: LiveEvent | Missed | None, name_of: NameOf) -> bytes:
    if entry is None:
        return b":\n\n"
    if isinstance(entry, Missed):
        return b"event: missed\ndata: %s\n\n" % msgspec.json.encode({"count": entry.count})
    data = msgspec.json.encode(live_event_body(entry, name_of))
    return b"id: %s\ndata: %s\n\n" % (entry.event.id.encode(), data)


def _is_there(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


async def _with_heartbeats(
    entries: AsyncGenerator[LiveEvent | Missed], seconds: float, is_there: Callable[[], bool]
) -> AsyncGenerator[LiveEvent | Missed | None]:
    """Yield the entries, and None whenever there was none for so many seconds; end when the reader has gone."""
    waiting: asyncio.Task[LiveEvent | Missed] | None = None
    quiet = 0.0
    try:
        while is_there():
            waiting = waiting or asyncio.ensure_future(anext(entries))
            pause = min(CHECK_SECONDS, seconds - quiet)
            done, _ = await asyncio.wait({waiting}, timeout=pause)
            quiet = 0.0 if done else quiet + pause
            if done:
                try:
                    entry = waiting.result()
                except StopAsyncIteration:
                    return
                waiting = None
                yield entry
            elif quiet >= seconds:
                quiet = 0.0
                yield None
    finally:
        if waiting is not None and not waiting.done():
            waiting.cancel()
            await asyncio.wait({waiting})


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(STALLED):
        await response.write(data)

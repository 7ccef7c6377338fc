"""``GET /events/stream``: live events as server-sent events (WHATWG HTML, "Server-sent events").

Each event is a message with the event's id; ``event: missed`` counts what a slow reader lost (null: unknown); a
comment every ``HEARTBEAT`` seconds keeps proxies from closing a quiet stream. A reader that reconnects with
``Last-Event-ID`` gets what it missed, as far as the store has it.

Limits: those of ``feed``; a reader that reads nothing for ``STALLED`` seconds is disconnected, a closed connection, or
a session that has ended, is noticed within ``CHECK_SECONDS``, and all streams end when the process exits.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final

from aiohttp import web

from kong_eventhooks_plugin.api.rest.answers import encode
from kong_eventhooks_plugin.api.rest.error_mapping import response_for
from kong_eventhooks_plugin.api.rest.sending import cut
from kong_eventhooks_plugin.api.service.feed import LiveEvent, Missed, WatchFilter
from kong_eventhooks_plugin.api.service.presenter import Presenter
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.errors import QueueError

HEARTBEAT: Final = 15.0
STALLED: Final = 30.0
CHECK_SECONDS: Final = 1.0
RETRY_MILLISECONDS: Final = 2_000
"""How long a browser's EventSource waits before it reconnects."""

_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    # nginx, and so Kong, would otherwise collect a stream into a buffer.
    "x-accel-buffering": "no",
}


async def stream(
    request: web.Request,
    service: Service,
    wanted: WatchFilter,
    last: str | None,
    heartbeat: float,
    *,
    may_read: Callable[[], bool] = lambda: True,
) -> web.StreamResponse:
    """Send events until the reader disconnects, may no longer read, or the process exits.

    ``last`` is the event after which to begin; ``heartbeat`` in seconds. Raises ``TooBusy`` before it sends anything.
    """

    def goes_on() -> bool:
        return may_read() and request.transport is not None and not request.transport.is_closing()

    with service.events.watch(wanted) as watcher:
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        try:
            await _write(response, f"retry: {RETRY_MILLISECONDS}\n\n".encode())
            async with (
                contextlib.aclosing(service.events.follow(watcher, wanted, last)) as entries,
                contextlib.aclosing(_with_heartbeats(entries, heartbeat, goes_on)) as beating,
            ):
                async for entry in beating:
                    await _write(response, _message(entry, service.presenter))
        except (ConnectionError, QueueError):
            pass  # the reader left, or reconnects with ``Last-Event-ID``
        except TimeoutError:
            # What is pending for a reader that reads nothing would be kept as long as it stays connected.
            cut(request)
        except Exception as error:  # noqa: BLE001 - too late for another answer; logged, and the reader reconnects
            response_for(error)
            cut(request)
    return response


def _message(entry: LiveEvent | Missed | None, presenter: Presenter) -> bytes:
    if entry is None:
        return b":\n\n"
    if isinstance(entry, Missed):
        return b"event: missed\ndata: %s\n\n" % encode({"count": entry.count})
    return b"id: %s\ndata: %s\n\n" % (entry.event.id.encode(), encode(presenter.live_event(entry)))


async def _with_heartbeats(
    entries: AsyncGenerator[LiveEvent | Missed], seconds: float, goes_on: Callable[[], bool]
) -> AsyncGenerator[LiveEvent | Missed | None]:
    """Yield the entries, and None after so many seconds without one; end when nobody reads any more."""
    waiting: asyncio.Task[LiveEvent | Missed] | None = None
    quiet = 0.0
    try:
        while goes_on():
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

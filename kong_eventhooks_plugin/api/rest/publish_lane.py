"""A short way for the call that is made most, ``POST /events``: from its bytes to its answer without aiohttp's request.

What aiohttp does around a published event, from its parser to the answer's headers, costs several times what accepting
it does. So each connection begins here. A request that is plain (``plain_head``), and that its caller may make, is
answered here, by the functions that answer it in aiohttp's application too: ``CallGuard``, ``Events``, the presenter,
``error_mapping``. With anything else the connection is aiohttp's for good, with every byte of that request: nobody is
refused here.

aiohttp's parser reads a head, so that both sides take the same for a request; one that is the same as one of the last
``HEADS`` is not read again. Who calls is checked each time.

Limits, past which the connection is aiohttp's: ``LONGEST_HEAD`` and ``LONGEST_BODY`` bytes, a length of
``LENGTH_DIGITS``, ``READS`` reads of one request, ``HELD_SECONDS`` until it has come. What comes while a call runs, at
most what is read at once, waits for the call's end, and then the connection is aiohttp's; so it is where the peer does
not read its answers.
"""

import asyncio
from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple, Protocol, cast

from aiohttp import hdrs, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, HttpRequestParser

from kong_eventhooks_plugin.api.rest.answers import json_response
from kong_eventhooks_plugin.api.rest.bodies import JSON, media_type
from kong_eventhooks_plugin.api.rest.error_mapping import response_for
from kong_eventhooks_plugin.api.rest.request_protocol import RequestProtocol
from kong_eventhooks_plugin.api.rest.requests import ShallowEvent, read_new_event
from kong_eventhooks_plugin.api.rest.routes import CallGuard, caller_from
from kong_eventhooks_plugin.api.service.access import Access, Caller
from kong_eventhooks_plugin.api.transport.connections import Call
from kong_eventhooks_plugin.errors import AccessRefused
from kong_eventhooks_plugin.http_heads import HEAD_END, plain_message
from kong_eventhooks_plugin.queue.contract import Receipt
from kong_eventhooks_plugin.time_limits import TimeLimits

HEADS: Final = 64
LONGEST_HEAD: Final = 8 << 10
LONGEST_BODY: Final = 64 << 10
LENGTH_DIGITS: Final = 9
READS: Final = 4
HELD_SECONDS: Final = 1.0

_BEGIN: Final = b"POST /events"
_PATHS: Final = frozenset({"/events", "/events/"})
_UNUSUAL: Final = (hdrs.CONTENT_ENCODING, hdrs.EXPECT, hdrs.TRANSFER_ENCODING, hdrs.UPGRADE)


class Offer(Protocol):
    def __call__(
        self, name: str, data: dict[str, Any], key: str | None, *, is_json: bool
    ) -> "Receipt | asyncio.Future[Receipt]": ...


class Publishing(NamedTuple):
    """What an application publishes with: ``Events.offer`` and ``ReceiptBody``."""

    access: Access
    guard: CallGuard
    offer: Offer
    receipt_body: Callable[[Receipt], bytes]
    held: TimeLimits
    """Of requests that have not come whole."""


PUBLISHING: Final = web.AppKey("publishing", Publishing)


class NotPlainError(Exception):
    """A request is none for here."""


class PlainHead(NamedTuple):
    caller: Caller
    length: int


class PublishLane(RequestProtocol):
    __slots__ = ("_call", "_calling", "_had", "_left", "_offered", "_publishing", "_reads", "_stopped")

    def __init__(self, server: web.Server, publishing: Publishing, calling: Callable[[Hashable], Call]) -> None:
        super().__init__(server)
        self._publishing = publishing
        self._calling = calling
        self._left = False  # the connection is aiohttp's, or ends
        self._had, self._reads = b"", 0  # of a request, or of what came during a call
        self._call: Call | None = None
        self._offered: asyncio.Future[Receipt] | None = None
        self._stopped: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        if self._left:
            super().data_received(data)
            return
        had = self._had = self._had + data
        if self._call is not None:
            if self.transport is not None:
                self.transport.pause_reading()
            return
        self._reads += 1
        try:
            body = self._body(had)
        except (NotPlainError, AccessRefused):
            plain = False
        else:
            plain = True
        if not plain:
            self._leave()  # outside of the handler: what aiohttp logs has no context of ours
        elif body is not None:
            self._start(body)
        elif self._reads == 1:
            self._publishing.held.begin(self, HELD_SECONDS)

    def expire(self) -> None:
        """Give up a request that has not come, or a call that takes too long."""
        if self._call is None:
            self._leave()
            return
        if self._offered is not None:
            offered, self._offered = self._offered, None
            offered.cancel()
        self._end(self._call, TimeoutError())

    def close(self) -> None:
        self._left = True
        super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's
        self._left = True
        if self._call is not None:
            self._stopped = self._loop.create_future()
            await asyncio.wait([self._stopped], timeout=timeout)
            if self._offered is not None:
                self._offered.cancel()
        await super().shutdown(timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._left = True
        if self._call is None:
            self._publishing.held.end(self)
        super().connection_lost(exc)

    def _body(self, had: bytes) -> bytes | None:
        """Return a request's body, None where it has not come; raises ``NotPlainError`` and ``AccessRefused``."""
        if self._reads > READS or self.writing_paused:
            raise NotPlainError
        whole = whole_request(had)
        if whole is None:
            return None
        caller, body = whole
        access = self._publishing.access
        access.check_host(caller.host)
        access.admit("change", caller)
        return body

    def _leave(self) -> None:
        """Leave the connection to aiohttp, with what has come."""
        if self._reads > 1:
            self._publishing.held.end(self)
        self._left = True
        had, self._had = self._had, b""
        try:
            super().data_received(had)
        except Exception:
            if self.transport is not None:
                self.transport.abort()  # as it does itself, where it is the caller
            raise

    def _start(self, body: bytes) -> None:
        if self._reads > 1:
            self._publishing.held.end(self)
        self._had, self._reads = b"", 0
        self._stay_open()
        call = self._call = self._calling(self)
        turn = call.turn()
        if turn is None:
            self._publish(call, body)
        else:
            turn.add_done_callback(partial(self._publish, call, body))

    def _publish(self, call: Call, body: bytes, _turn: object = None) -> None:
        publishing = self._publishing
        call.begin()
        end = self._answer
        try:
            publishing.guard.begin(self)
            end = self._end
            given = read_new_event(body)
            result: Receipt | Exception | asyncio.Future[Receipt]
            is_json = isinstance(given, ShallowEvent)
            result = publishing.offer(given.event, given.data or {}, given.key, is_json=is_json)
        except Exception as error:  # noqa: BLE001 - every error has its answer; the unforeseen is logged there
            result = error  # answered outside of the handler: aiohttp may log what comes behind it
        if isinstance(result, asyncio.Future):
            self._offered = result
            result.add_done_callback(partial(self._accepted, call))
        else:
            end(call, result)

    def _accepted(self, call: Call, offered: "asyncio.Future[Receipt]") -> None:
        if offered is not self._offered:
            return  # its time was over
        self._offered = None
        if offered.cancelled():
            self.force_close()  # as aiohttp, where what a handler waits for is cancelled
            self._end(call, ConnectionResetError())
        else:
            self._end(call, cast("Exception | None", offered.exception()) or offered.result())

    def _end(self, call: Call, result: Receipt | Exception) -> None:
        self._publishing.guard.end(self)
        self._answer(call, result)

    def _answer(self, call: Call, result: Receipt | Exception) -> None:
        head, body = self._written(result)
        call.end()
        self._call = None
        if self._stopped is not None:
            self._stopped.set_result(None)
        if self.transport is not None and not self.transport.is_closing():
            date = rfc822_formatted_time().encode()
            self.transport.write(b"".join((head, b"%d" % len(body), _DATE, date, _SERVER, body)))
            self._stay_open()
            if self._had and not self.transport.is_closing():  # it closes where that found no peer
                self.transport.resume_reading()
                self._leave()

    def _written(self, result: Receipt | Exception) -> tuple[bytes, bytes]:
        """Return what comes before the body's length, and the body."""
        if isinstance(result, Receipt):
            try:
                return _CREATED, self._publishing.receipt_body(result)
            except Exception as error:  # noqa: BLE001 - as above
                result = error
        response = response_for(result)
        return _head(response), cast("bytes", response.body)

    def _stay_open(self) -> None:
        """Let the idle time begin anew, which aiohttp counts from the last request that it has answered itself."""
        self._next_keepalive_close_time = self._loop.time() + self.keepalive_timeout


def whole_request(had: bytes) -> tuple[Caller, bytes] | None:
    """Return caller and body, None where not all of it has come. Raises ``NotPlainError``."""
    if not had.startswith(_BEGIN):
        if _BEGIN.startswith(had):
            return None
        raise NotPlainError
    head, end, body = had.partition(HEAD_END)
    if len(head) > LONGEST_HEAD:
        raise NotPlainError
    if not end:
        return None
    plain = plain_head(head)
    if plain is None:
        raise NotPlainError
    caller, missing = plain.caller, plain.length - len(body)
    if missing < 0:
        raise NotPlainError
    return None if missing else (caller, body)


@lru_cache(HEADS)
def plain_head(head: bytes) -> PlainHead | None:
    """Return what counts of a head without its end, None unless it is plain.

    That is JSON of a known length, on a connection that stays open, and nothing else that changes what is read.
    """
    loop = asyncio.get_running_loop()
    message = plain_message(HttpRequestParser(BaseProtocol(loop), loop, LONGEST_BODY), head)
    if message is None:
        return None
    headers = message.headers
    is_plain = (
        message.method == hdrs.METH_POST
        and message.path in _PATHS
        and not any(name in headers for name in _UNUSUAL)
        and media_type(headers.get(hdrs.CONTENT_TYPE, "")) == JSON
    )
    length = headers.get(hdrs.CONTENT_LENGTH, "0")
    if not is_plain or len(length) > LENGTH_DIGITS or int(length) > LONGEST_BODY:
        return None
    return PlainHead(caller_from(headers), int(length))


def _head(response: web.Response) -> bytes:
    first = f"HTTP/1.1 {response.status} {response.reason}"
    lines = [first, *(f"{name}: {text}" for name, text in response.headers.items())]
    return f"{_LINE_END.join(lines)}{_LINE_END}{hdrs.CONTENT_LENGTH}: ".encode()


_LINE_END: Final = "\r\n"
_CREATED: Final = _head(json_response({}, 201))
_DATE: Final = f"{_LINE_END}{hdrs.DATE}: ".encode()
_SERVER: Final = f"{_LINE_END}{hdrs.SERVER}: {SERVER_SOFTWARE}{_LINE_END * 2}".encode()

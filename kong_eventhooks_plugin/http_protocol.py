"""aiohttp's protocol of a client's connection, with limits on what an answer may cost beside its body.

aiohttp bounds one header line and the lines of one head. Without these limits a peer keeps a connection, and this
process, busy until its time is over: informational answers (1xx) without end wait in an unbounded queue, extensions of
a chunk and bytes that come one by one take CPU and bring nothing.

Limits of an exchange, past which the answer is an ``AnswerOverrun`` and its connection is cut:

- ``INFORMATIONAL`` informational answers before the final one;
- ``BESIDE_BODY`` bytes that are no body: informational answers, headers, chunk sizes with their extensions, trailers.
  A read of fewer than ``SMALLEST_READ`` bytes counts as so many, since each costs a turn of the loop, and so do
  chunks that are smaller on average, since each costs two microseconds.

What comes is parsed in pieces of ``PIECE`` bytes, so that no more answers and chunks than fit in one are counted too
late.

A connection on which something comes that no request asked for is closed: aiohttp would keep it and return it as the
answer to the next request.
"""

import asyncio
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_parser import RawResponseMessage

from kong_eventhooks_plugin.http_errors import AnswerOverrun
from kong_eventhooks_plugin.outgoing_tls import bound_handshakes

INFORMATIONAL = 16
BESIDE_BODY = 128 << 10
SMALLEST_READ = 64
PIECE = 4 << 10


_SWITCHING_PROTOCOLS = 101


def is_informational(status: int) -> bool:
    """Return whether the final answer comes after this one."""
    return 100 <= status < 200 and status != _SWITCHING_PROTOCOLS


class AnswerProtocol(ResponseHandler):
    answered = False
    """The final answer's head has come."""

    _first_read = False
    """Nothing of the answer has come yet."""

    _informational = 0
    _beside_body = 0
    """Counted so far, what has come of the body included."""

    _lacking = 0
    """What small chunks count more than they have."""

    def set_response_params(self, **params: Any) -> None:
        # Called in the request's task, before it is sent.
        self.answered = False
        self._first_read = True
        self._informational = self._beside_body = self._lacking = 0
        super().set_response_params(**params)

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        if is_informational(data[0].code):
            self._informational += 1
        else:
            self.answered = True
        super().feed_data(data, size)

    def resume_reading(self, resume_parser: bool = True) -> None:
        # aiohttp calls it after each read, and parses on with nothing where nothing was paused.
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def data_received(self, data: bytes) -> None:
        if self._first_read and 0 < len(data) <= PIECE:
            self._first_read = False
            super().data_received(data)
            if not self._is_whole():
                self._beside_body += max(len(data), SMALLEST_READ)
                self._check()
            return
        self._first_read = False
        if data:
            self._beside_body += max(SMALLEST_READ - len(data), 0)
        while len(data) > PIECE and not self._reading_paused and not self._is_failed():
            self._take(data[:PIECE])
            data = data[PIECE:]
        self._take(data)

    def _take(self, data: bytes) -> None:
        if self._is_failed():
            return
        if data and self.answered and (self._payload is None or self._payload.is_eof()):
            self.close()
            return
        self._beside_body += len(data)
        chunks = ChunkCount(self._payload)
        super().data_received(data)
        self._lacking += chunks.lacking()
        self._check()

    def _is_whole(self) -> bool:
        """Return whether all of an answer has come: most come in one read, and there is nothing to count."""
        if not self.answered or self._informational > INFORMATIONAL:
            return False
        return self._payload is None or self._payload.is_eof()

    def _check(self) -> None:
        if (overrun := self._overrun()) is not None:
            self._fail(AnswerOverrun(overrun))

    def _is_failed(self) -> bool:
        return self._exception is not None

    def _overrun(self) -> str | None:
        body = 0 if self._payload is None else self._payload.total_bytes
        # What a reader has not made room for yet is not parsed: it may be body.
        beside = 0 if self._reading_paused else self._beside_body - body
        if self._lacking + beside > BESIDE_BODY:
            return f"more than {BESIDE_BODY:,} bytes of headers, chunk sizes and trailers"
        if self._informational > INFORMATIONAL:
            return f"more than {INFORMATIONAL} informational answers"
        return None

    def _fail(self, error: AnswerOverrun) -> None:
        payload, self._payload = self._payload, None
        self.set_exception(error)
        if payload is not None and not payload.is_eof():
            payload.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


class ChunkCount:
    """Counts the chunks of a body that are parsed from now on; nothing is read meanwhile."""

    def __init__(self, payload: aiohttp.StreamReader | None) -> None:
        self._payload = payload
        self._chunks, self._bytes = self._parsed()

    def lacking(self) -> int:
        """Return what the chunks lack to ``SMALLEST_READ`` bytes each."""
        chunks, size = self._parsed()
        return max((chunks - self._chunks) * SMALLEST_READ - (size - self._bytes), 0)

    def _parsed(self) -> tuple[int, int]:
        if self._payload is None:
            return 0, 0
        # aiohttp keeps where those end that nobody has read, and no other count.
        return len(getattr(self._payload, "_http_chunk_splits", None) or ()), self._payload.total_bytes


def use_protocol(connector: aiohttp.BaseConnector, protocol: type[AnswerProtocol] = AnswerProtocol) -> None:
    """Make the connector's connections with ``protocol``, for which aiohttp has no argument; on the running loop."""
    bound_handshakes()
    connector._factory = partial(protocol, loop=asyncio.get_running_loop())  # type: ignore[assignment] # noqa: SLF001

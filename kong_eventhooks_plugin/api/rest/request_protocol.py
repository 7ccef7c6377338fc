"""aiohttp's protocol of a server's connection, with limits on what a request may cost beside its body.

The other side of ``http_protocol``: extensions of chunks, trailers and bytes that come one by one bring nothing, and
take time that Kong's calls need, long before anybody has looked at a token.

Limits of a request, past which the connection is cut: ``HEAD_BYTES`` of its head, with blank lines before it, and
``CHUNKS_BYTES`` beside its body, which are the chunks' sizes and extensions and the trailers, and ``BODY_BYTES`` of a
body that is refused long before and whose sender goes on. A read of fewer than
``SMALLEST_READ`` bytes counts as so many, and so do chunks that are smaller on average. What is read at once is parsed
in pieces of ``PIECE`` bytes.

Behind a request that cannot be read, nothing more is: aiohttp would parse on, and keep an error, with the bytes that it
is about, for each read.
"""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from kong_eventhooks_plugin.http_protocol import PIECE, SMALLEST_READ, ChunkCount

HEAD_BYTES = 128 << 10
CHUNKS_BYTES = 32 << 10
BODY_BYTES = 8 << 20


class RequestProtocol(web.RequestHandler):
    __slots__ = ("_before", "_beside_body", "_lacking", "_payload", "_unreadable")

    def __init__(self, server: web.Server) -> None:
        options: dict[str, Any] = server._kwargs  # noqa: SLF001 - what the runner hands to each connection
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._beside_body = self._lacking = 0
        self._before = 0
        self._payload: StreamReader = EMPTY_PAYLOAD
        self._unreadable = False

    def data_received(self, data: bytes) -> None:
        if data:
            self._beside_body += max(SMALLEST_READ - len(data), 0)
        while len(data) > PIECE and not self._reading_paused and not self._unreadable:
            self._take(data[:PIECE])
            data = data[PIECE:]
        if not self._unreadable:
            self._take(data)

    def resume_reading(self, resume_parser: bool = True) -> None:
        # As in http_protocol: aiohttp calls it after each read.
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def _take(self, data: bytes) -> None:
        self._beside_body += len(data)
        requests, chunks = self._request_count, ChunkCount(self._payload)
        super().data_received(data)
        if self._request_count != requests and self._messages:
            self._begin(*self._messages[-1])
            return
        self._lacking += chunks.lacking()
        if self._is_overrun():
            self._unreadable = True
            if self.transport is not None:
                self.transport.abort()

    def _begin(self, message: Any, payload: StreamReader) -> None:
        """Count anew; what has come of the body already is not counted at all."""
        self._unreadable = not isinstance(message, RawRequestMessage)
        self._payload, self._before = payload, payload.total_bytes
        self._beside_body = self._lacking = 0

    def _is_overrun(self) -> bool:
        limit, body = HEAD_BYTES if self._payload.is_eof() else CHUNKS_BYTES, self._payload.total_bytes
        # What a handler has not made room for yet is not parsed: it may be body.
        waiting = self._reading_paused or self._buffer_paused
        beside = 0 if waiting else self._beside_body - (body - self._before)
        return body > BODY_BYTES or self._lacking + beside > limit

"""A real HTTP/1.1 server on loopback that answers as it is told, faults included.

Written on bare streams, because a proper server library refuses to misbehave.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Self

from tests.support.waiting import SECONDS

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Request:
    """One request that arrived whole."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *rest = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = first.split(" ", 2)
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        self.body = body


def answer(status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """A proper answer with a length; 1xx and 204 and 304 have no body."""

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Scripted"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        bodyless = status < 200 or status in (204, 304)
        if not bodyless:
            lines.append(f"content-length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + (b"" if bodyless else body))

    return send


def raw(data: bytes, *, close: bool = True) -> Answer:
    """Just these bytes, then the end of the connection, or nothing more."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()
        else:
            await reader.read()

    return send


def reset(data: bytes = b"") -> Answer:
    """These bytes, then a reset of the connection."""

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return send


def hang() -> Answer:
    """Never a word; ends when the client gives up."""

    async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    return wait


def repeat(head: bytes, piece: bytes, pause: float = 0.0) -> Answer:
    """A beginning, then the same piece for ever, with pauses where asked."""

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return send


class HttpReceiver:
    """``async with HttpReceiver(answer(500), answer(200)) as receiver``: answers in turn, the last one for ever."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.answers = list(answers) or [answer()]
        self.requests: list[Request] = []
        self.connections = 0
        self.bytes_sent = 0
        self._tls = tls
        self._host = host
        self._news = asyncio.Condition()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        """The ``webhook-id`` of each request, in order of arrival."""
        return [request.headers.get("webhook-id", "") for request in self.requests]

    async def received(self, count: int, seconds: float = SECONDS) -> list[Request]:
        """Wait until so many requests have arrived."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    async def idle(self) -> None:
        """Wait until no connection is open."""
        async with asyncio.timeout(SECONDS):
            while self._writers:  # noqa: ASYNC110 - their ends tell nobody
                await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while not writer.is_closing() and (request := await self._read(reader)) is not None:
                    turn = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                    async with self._news:
                        self.requests.append(request)
                        self._news.notify_all()
                    await turn(reader, writer)
                    await writer.drain()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        head = await reader.readuntil(b"\r\n\r\n")
        request = Request(head[:-4], b"")
        request.body = await reader.readexactly(int(request.headers.get("content-length", "0")))
        return request

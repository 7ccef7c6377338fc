"""A real forward proxy on loopback: tunnels for CONNECT, and absolute URLs of plain HTTP. It resolves no name.

Every request ends up at 127.0.0.1, at the port that it names: so a test can call hosts that do not exist.
"""

import asyncio
import base64
import contextlib
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """``credentials``: what it asks for. ``refusing``: the status that it answers every CONNECT with."""

    def __init__(self, credentials: str | None = None, refusing: int | None = None) -> None:
        self.url = ""
        self.requests: list[str] = []
        self.heads: list[dict[str, str]] = []
        self._wanted = None if credentials is None else "Basic " + base64.b64encode(credentials.encode()).decode()
        self._refusing = refusing
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._answer(reader, writer)
        finally:
            await _closed(writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *rest = head.rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
            self.requests.append(first)
            self.heads.append(headers)
            method, target, _ = first.split(" ")
            if self._wanted is not None and headers.get("proxy-authorization") != self._wanted:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            elif method != "CONNECT":
                await self._forward(method, target, head, reader, writer)
            elif self._refusing is not None:
                writer.write(b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n" % self._refusing)
            else:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await self._relay(int(target.rpartition(":")[2]), b"", reader, writer)

    async def _forward(
        self, method: str, target: str, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        url = urlsplit(target)
        lines = [line for line in head.split("\r\n")[1:] if not line.lower().startswith("proxy-")]
        path = url.path + (f"?{url.query}" if url.query else "")
        await self._relay(url.port or 80, "\r\n".join([f"{method} {path} HTTP/1.1", *lines]).encode(), reader, writer)

    async def _relay(self, port: int, sent: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        outer.write(sent)
        ways = [asyncio.ensure_future(_copy(reader, outer)), asyncio.ensure_future(_copy(inner, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _closed(outer)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        target.write(data)
        await target.drain()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()

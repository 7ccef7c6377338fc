"""A relay in front of PostgreSQL that cuts connections (one at a chosen message, before the server sees it or after),
stalls, refuses new ones, leads to another server after a failover, and leaves out what a pooler does.
"""

import asyncio
import math
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit

CHUNK = 65_536


class Proxy:
    """It listens on a unix socket in ``folder`` or, without one, on a TCP port.

    ``cut(text, answered=...)`` is for one message: the next that holds ``text``.
    """

    def __init__(self, url: str, folder: Path | None = None) -> None:
        self._parts = urlsplit(url)
        self._folder = folder
        self.lead_to(url)
        self._text: bytes | None = None
        self._answered = False
        self._refused: float = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._listening: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.cuts = 0
        self.ignored = b""
        """A setting, with its value, that new connections ask for in vain."""

    async def __aenter__(self) -> Self:
        if self._folder is None:
            self._listening = await asyncio.start_server(self._relay, "127.0.0.1", 0)
            port = self._listening.sockets[0].getsockname()[1]
            self.url = self._parts._replace(netloc=f"postgres@127.0.0.1:{port}", query="").geturl()
        else:
            self._listening = await asyncio.start_unix_server(self._relay, self._folder / ".s.PGSQL.5432")
            self.url = self._parts._replace(query=f"host={quote(str(self._folder), safe='')}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listening is not None
        self._listening.close()
        self.close_all()
        self.stall(stalls=False)
        for _ in range(3):
            await asyncio.sleep(0)

    def lead_to(self, url: str) -> None:
        """Have new connections lead to this server."""
        self._server = f"{parse_qs(urlsplit(url).query)['host'][0]}/.s.PGSQL.5432"

    def cut(self, text: str, *, answered: bool) -> None:
        """Cut at the next message that holds the text: once the server has answered it, or before it sees it."""
        self._text, self._answered = text.encode(), answered

    def refuse(self, *, refuses: bool = True, times: float = math.inf) -> None:
        """Refuse so many new connections, or take them again."""
        self._refused = times if refuses else 0

    def stall(self, *, stalls: bool = True) -> None:
        """Pass nothing on in either direction, as a network that drops packets; or go on."""
        if stalls:
            self._flowing.clear()
        else:
            self._flowing.set()

    def close_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refused:
            self._refused -= 1
            writer.transport.abort()
            return
        try:
            from_server, to_server = await asyncio.open_unix_connection(self._server)
        except OSError:  # it is down
            writer.transport.abort()
            return
        self._open |= {writer, to_server}
        back = asyncio.create_task(self._back(from_server, writer))
        try:
            while data := await reader.read(CHUNK):
                await self._flowing.wait()
                if self.ignored and self.ignored in data:
                    data = data[4:].replace(self.ignored, b"")
                    data = (len(data) + 4).to_bytes(4, "big") + data
                if self._text is not None and self._text in data:
                    self._text = None
                    self.cuts += 1
                    if self._answered:
                        back.cancel()
                        await asyncio.wait([back])
                        to_server.write(data)
                        await from_server.read(CHUNK)
                    break
                to_server.write(data)
        except OSError:
            pass
        finally:
            back.cancel()
            for one in (writer, to_server):
                one.transport.abort()
            self._open -= {writer, to_server}

    async def _back(self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await from_server.read(CHUNK):
                await self._flowing.wait()
                writer.write(data)
        except OSError:
            pass
        writer.transport.abort()

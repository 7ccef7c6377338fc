"""A relay in front of PostgreSQL that cuts a connection at a chosen message: before the server sees it, or after."""

import asyncio
import math
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit

CHUNK = 65_536


class Proxy:
    """``cut(text, answered=...)`` is for one message: the next that holds ``text``."""

    def __init__(self, url: str, folder: Path) -> None:
        parts = urlsplit(url)
        self._server = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._folder = folder
        self.url = parts._replace(query=f"host={quote(str(folder), safe='')}").geturl()
        self._text: bytes | None = None
        self._answered = False
        self._refused: float = 0
        self._held: asyncio.Event | None = None
        self._listening: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_unix_server(self._relay, self._folder / ".s.PGSQL.5432")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listening is not None
        self._listening.close()
        self.close_all()
        for _ in range(3):
            await asyncio.sleep(0)

    def cut(self, text: str, *, answered: bool) -> None:
        """Cut at the next message that holds the text: once the server has answered it, or before it sees it."""
        self._text, self._answered = text.encode(), answered

    def refuse(self, *, refuses: bool = True, times: float = math.inf) -> None:
        """Refuse so many new connections, or take them again."""
        self._refused = times if refuses else 0

    def close_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refused:
            self._refused -= 1
            writer.transport.abort()
            return
        from_server, to_server = await asyncio.open_unix_connection(self._server)
        self._open |= {writer, to_server}
        back = asyncio.create_task(self._back(from_server, writer))
        try:
            while data := await reader.read(CHUNK):
                if self._text is not None and self._text in data:
                    self._text = None
                    self.cuts += 1
                    if self._answered:
                        back.cancel()
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
        while data := await from_server.read(CHUNK):
            writer.write(data)
        writer.transport.abort()

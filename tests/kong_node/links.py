"""Links that can fail: what Kong sends comes late, not at all, or the connection is cut after so many bytes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from kong_eventhooks_plugin.cli.demo.link import SocketLink


class Links:
    """Opens links; while one of its faults is in force, every link opened by it has that fault."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.dropping = False
        self.bytes_left: int | None = None
        self.opened = 0

    async def open(self, path: str) -> SocketLink:
        """Connect; the player calls it."""
        self.opened += 1
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(lambda: FaultyLink(self), path)
        return link

    @contextmanager
    def delay(self, seconds: float) -> Iterator[None]:
        """Hold everything that is sent back for ``seconds``."""
        self.seconds = seconds
        try:
            yield
        finally:
            self.seconds = 0.0

    @contextmanager
    def drop(self) -> Iterator[None]:
        """Send nothing at all."""
        self.dropping = True
        try:
            yield
        finally:
            self.dropping = False

    @contextmanager
    def cut(self, after: int) -> Iterator[None]:
        """Cut the connection once ``after`` more bytes were sent, wherever that is."""
        self.bytes_left = after
        try:
            yield
        finally:
            self.bytes_left = None


class FaultyLink(SocketLink):
    """A link with its ``Links``' faults."""

    def __init__(self, links: Links) -> None:
        super().__init__()
        self._links = links

    def write(self, data: bytes) -> None:
        links = self._links
        if links.dropping:
            return
        if links.bytes_left is not None and len(data) >= links.bytes_left:
            super().write(data[: links.bytes_left])
            links.bytes_left = 0
            self.close()
        elif links.bytes_left is not None:
            links.bytes_left -= len(data)
            super().write(data)
        elif links.seconds:
            asyncio.get_running_loop().call_later(links.seconds, super().write, data)
        else:
            super().write(data)

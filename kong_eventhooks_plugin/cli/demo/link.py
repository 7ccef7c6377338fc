"""A connection to a plugin socket, as nginx keeps one.

Limits: ``ANSWER_SECONDS`` for each frame of the server's.
"""

import asyncio
from collections import deque
from typing import cast

from kong_eventhooks_plugin.kong.wire.frames import FrameReader, Oversized, encode_frame

ANSWER_SECONDS = 60.0
_LENGTH_BYTES = 4


class SocketLink(asyncio.Protocol):
    """A link over a unix socket. It closes itself when the server ends it, as nginx does with idle connections.

    ``receive`` raises EOFError where the server ended it, OSError or TimeoutError for all else.
    """

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._frames: deque[bytes | Oversized] = deque()
        self._came = asyncio.Event()
        self._end: Exception | None = None
        self._transport = asyncio.Transport()

    @classmethod
    async def open(cls, path: str) -> "SocketLink":
        """Connect; OSError where nobody listens."""
        _, link = await asyncio.get_running_loop().create_unix_connection(cls, path)
        return link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        frame: bytes | Oversized | None = self._reader.feed(data)
        while frame is not None or (frame := self._reader.next()) is not None:
            self._frames.append(frame)
            frame = None
        if self._frames:
            self._came.set()

    def eof_received(self) -> None:
        self._ended(EOFError("closed"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc or EOFError("closed"))

    def _ended(self, why: Exception) -> None:
        self._end = self._end or why
        self._came.set()

    def send(self, frame: bytes) -> None:
        """Send a frame as Kong does: its length, then its bytes."""
        framed = encode_frame(frame)
        self.write(framed[:_LENGTH_BYTES])
        if frame:
            self.write(frame)

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def receive(self) -> bytes:
        if not self._frames:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._came.wait()
        if not self._frames:
            raise self._end or EOFError("closed")
        frame = self._frames.popleft()
        if not self._frames and self._end is None:
            self._came.clear()
        if isinstance(frame, Oversized):
            raise ConnectionError(f"a frame of {frame.length} bytes")
        return frame

    def usable(self) -> bool:
        """Return whether another call may be made on it."""
        return self._end is None

    def close(self) -> None:
        self._transport.close()

"""Frames: a little-endian uint32 length and that many bytes. Bytes in, frames out; no sockets here.

Limits:

- ``FRAME_BYTES`` (16 MiB) for one frame, empty ones allowed. A longer one is drained to its end and handed over as
  ``Oversized`` with its first ``HEAD_BYTES`` and last ``TAIL_BYTES``: Kong writes a call's sequence last, other
  encoders first, so the call can still be answered.
- ``LARGE_BYTES`` (64 KiB): a frame beyond it counts against a ``ByteBudget`` while it is collected, where one was
  given. What finds no place there is treated as oversized, so that many peers together cannot fill the memory either.
"""

from struct import Struct

import msgspec

FRAME_BYTES = 16 << 20
HEAD_BYTES = 4_096
TAIL_BYTES = 64
LARGE_BYTES = 64 << 10
BUDGET_BYTES = 256 << 20

_LENGTH = Struct("<I")
_HEADER = _LENGTH.size
EMPTY_FRAME = _LENGTH.pack(0)


def encode_frame(payload: bytes) -> bytes:
    return _LENGTH.pack(len(payload)) + payload


class Oversized(msgspec.Struct, frozen=True):
    """A frame that was longer than what is taken: its length, first and last bytes."""

    length: int
    head: bytes
    tail: bytes


class ByteBudget:
    """Bytes that all readers together may hold in large frames that are not complete yet."""

    __slots__ = ("_left",)

    def __init__(self, size: int = BUDGET_BYTES) -> None:
        self._left = size

    def acquire(self, size: int) -> bool:
        """Reserve ``size`` bytes; False where they are not left."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def release(self, size: int) -> None:
        self._left += size


class FrameReader:
    """Collects one connection's bytes into frames.

    ``feed`` takes bytes, ``next`` gives the frames that are complete. Most reads are exactly one frame, or one
    frame's length and then its bytes (Kong sends them apart): ``feed`` gives such a frame back at once, without a copy
    into a buffer.
    """

    __slots__ = ("_buffer", "_byte_budget", "_drain", "_held", "_limit", "_wanted")

    def __init__(self, limit: int = FRAME_BYTES, budget: ByteBudget | None = None) -> None:
        self._limit = limit
        self._byte_budget = budget
        self._buffer = bytearray()
        self._wanted = -1  # the length of the frame whose bytes come next; -1 while its length is not read
        self._drain: _Drain | None = None
        self._held = 0  # what the frame under way has of the budget

    @property
    def partial(self) -> bool:
        """Whether the peer is in the middle of a frame (or of frames that nobody has asked for yet)."""
        return self._wanted >= 0 or bool(self._buffer)

    @property
    def waiting(self) -> int:
        """How many bytes are kept."""
        return len(self._buffer)

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes. A frame comes back where they end exactly one and none is before it; else ask ``next``."""
        if not self._buffer and self._drain is None:
            size = len(data)
            wanted = self._wanted
            if wanted < 0:
                if size >= _HEADER:
                    wanted = _LENGTH.unpack_from(data)[0]
                    if wanted == size - _HEADER:
                        if wanted <= self._limit:
                            return data[_HEADER:]
                    elif size == _HEADER and wanted <= LARGE_BYTES and wanted <= self._limit:
                        self._wanted = wanted
                        return None
            elif wanted == size and not self._held:
                self._wanted = -1
                return data
        self._buffer += data
        return None

    def keep(self, data: bytes) -> None:
        """Take bytes for ``next``, without reading them."""
        self._buffer += data

    def next(self) -> bytes | Oversized | None:
        """Return the next complete frame, None where more bytes are needed first."""
        if self._drain is not None:
            return self._drained()
        buffer = self._buffer
        if self._wanted < 0:
            if len(buffer) < _HEADER:
                return None
            wanted: int = _LENGTH.unpack_from(buffer)[0]
            del buffer[:_HEADER]
            self._wanted = wanted
            if not self._fits(wanted):
                self._drain = _Drain(wanted)
                return self._drained()
        if len(buffer) < self._wanted:
            return None
        frame = bytes(memoryview(buffer)[: self._wanted])
        del buffer[: self._wanted]
        self._wanted = -1
        self._release()
        return frame

    def close(self) -> None:
        """Forget everything and release the budget; for a connection that has ended."""
        self._buffer.clear()
        self._wanted = -1
        self._drain = None
        self._release()

    def _fits(self, wanted: int) -> bool:
        if wanted > self._limit:
            return False
        if wanted > LARGE_BYTES and self._byte_budget is not None:
            if not self._byte_budget.acquire(wanted):
                return False
            self._held = wanted
        return True

    def _release(self) -> None:
        if self._held and self._byte_budget is not None:
            self._byte_budget.release(self._held)
            self._held = 0

    def _drained(self) -> Oversized | None:
        drain = self._drain
        if drain is None or not drain.consume(self._buffer):
            return None
        self._drain = None
        self._wanted = -1
        return Oversized(drain.length, bytes(drain.head), bytes(drain.tail))


class _Drain:
    """Lets a frame pass by, keeping its ends."""

    __slots__ = ("head", "left", "length", "tail")

    def __init__(self, length: int) -> None:
        self.length = length
        self.left = length
        self.head = bytearray()
        self.tail = bytearray()

    def consume(self, buffer: bytearray) -> bool:
        """Take what of ``buffer`` belongs to the frame; True at the frame's end."""
        passing = buffer[: self.left]
        del buffer[: len(passing)]
        self.left -= len(passing)
        self.head += passing[: HEAD_BYTES - len(self.head)]
        self.tail = (self.tail + passing[-TAIL_BYTES:])[-TAIL_BYTES:]
        return self.left == 0

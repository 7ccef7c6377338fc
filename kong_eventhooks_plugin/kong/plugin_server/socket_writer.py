"""Writes to a socket at once, and hands the transport only what the socket does not take.

So we know when an answer has left, and it costs no more.
"""

import asyncio
import socket
from collections.abc import Callable


class SocketWriter:
    __slots__ = ("_queued", "_send", "_transport")

    def __init__(self, sock: socket.socket) -> None:
        self._send: Callable[[bytes], int] = sock.send
        self._transport: asyncio.Transport | None = None
        self._queued = False  # the transport may still hold bytes of ours

    def connect(self, transport: asyncio.Transport) -> None:
        """Use ``transport`` for what the socket does not take; it reports a peer that does not read."""
        self._transport = transport

    def write(self, data: bytes) -> bool:
        """Write ``data``; True where all of it has left."""
        if self._queued:
            if self._transport is not None and self._transport.get_write_buffer_size():
                return self._enqueue(data)
            self._queued = False
        send = self._send  # a local name, as in ``phase_run``
        try:
            sent = send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._send = _discard  # the peer has gone; the transport is about to report it
            return False
        if sent == len(data):
            return True
        self._queued = True
        return self._enqueue(data[sent:])

    def close(self) -> None:
        """Drop everything from now on."""
        self._send = _discard
        self._transport = None

    def _enqueue(self, data: bytes) -> bool:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
        return False


def _discard(data: bytes) -> int:
    raise BrokenPipeError

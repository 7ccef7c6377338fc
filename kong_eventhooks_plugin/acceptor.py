"""Accepts connections on a listening socket that somebody else owns; it is neither closed nor unlinked here.

Limits: while ``limit`` connections are open, or the process has no file descriptor left, nothing is accepted and
callers wait in the socket's backlog, where nothing is lost. Descriptors are tried again after ``DESCRIPTOR_PAUSE``.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

DESCRIPTOR_PAUSE = 0.5
_AT_ONCE = 256
"""Kong makes a connection for each call past the 256 that its workers keep: with fewer they waited to be accepted."""
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """``connections`` returns how many are open, ``serve`` is called with each new one. For the running loop.

    ``errors`` is told ``"connections"``, with the limit, or ``"no_descriptors"``, with the error.
    """

    def __init__(
        self,
        errors: Callable[..., Any],
        limit: int,
        connections: Callable[[], int],
        serve: Callable[[socket.socket], None],
    ) -> None:
        self._errors = errors
        self._limit = limit
        self._connections = connections
        self._serve = serve
        self._sock: socket.socket | None = None
        self._accepting = False

    def start(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self.resume()

    def stop(self) -> None:
        """Accept no more, for good."""
        self._pause()
        self._sock = None

    def resume(self) -> None:
        """Accept again where there is room; to be called when a connection has closed."""
        if self._sock is not None and not self._accepting and self._connections() < self._limit:
            self._accepting = True
            asyncio.get_running_loop().add_reader(self._sock.fileno(), self._accept)

    def _pause(self) -> None:
        if self._sock is not None and self._accepting:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
        self._accepting = False

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if self._sock is None:
                return
            if self._connections() >= self._limit:
                self._errors("connections", limit=self._limit)
                self._pause()
                return
            try:
                peer, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._on_error(error)
                return
            self._serve(peer)

    def _on_error(self, error: OSError) -> None:
        """Wait for descriptors to come free; the loop calls again after any other error."""
        self._errors("no_descriptors", error)
        if error.errno in _NO_DESCRIPTOR:
            self._pause()
            asyncio.get_running_loop().call_later(DESCRIPTOR_PAUSE, self.resume)

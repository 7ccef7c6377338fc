"""The worker's side of its supervisor: it says when it serves, and hears when to leave.

Two events, each set once and for good:

- ``drain``: take no new connection, end what runs, exit. SIGTERM or SIGINT came, or the supervisor has gone
  (without it nobody would restart us or free the socket's path).
- ``taken_over``: the socket's path leads to another server now. Give the delivery lease back and deliver
  no more; serve the connections that are open until ``drain``.
"""

import asyncio
import contextlib
import signal
import socket
from typing import Literal

import structlog

from kong_eventhooks_plugin.pluginserver.worker_process import READY, TAKEN_OVER

_log = structlog.get_logger()

Why = Literal["signal", "supervisor gone"]
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class WorkerLink:
    """Made inside the running loop of the worker's main thread; ``close`` it in the end.

    ``descriptor`` is ``--link``'s number, None for a worker without a supervisor: then only signals count.
    """

    def __init__(self, descriptor: int | None) -> None:
        self.drain = asyncio.Event()
        self.taken_over = asyncio.Event()
        self.why: Why | None = None
        """Why ``drain`` is set."""
        self._loop = asyncio.get_running_loop()
        self._sock = socket.socket(fileno=descriptor) if descriptor is not None else None
        if self._sock is not None:
            self._sock.setblocking(False)
            self._sock.set_inheritable(False)  # our own children (the sandbox) must not keep it open
            self._loop.add_reader(self._sock, self._hear)
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._leave, "signal")

    def ready(self) -> None:
        """Tell the supervisor that calls are served from now on."""
        if self._sock is not None:
            with contextlib.suppress(OSError):  # it has gone: the end of the stream is about to be read
                self._sock.send(READY)

    def close(self) -> None:
        """Let link and signals go."""
        for number in _SIGNALS:
            self._loop.remove_signal_handler(number)
        self._hang_up()

    def _hear(self) -> None:
        if self._sock is None:
            return
        try:
            said = self._sock.recv(64)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            said = b""
        if TAKEN_OVER in said and not self.taken_over.is_set():
            _log.info("socket taken over, no more deliveries from here")
            self.taken_over.set()
        if not said:
            self._hang_up()
            self._leave("supervisor gone")

    def _hang_up(self) -> None:
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self._sock = None

    def _leave(self, why: Why) -> None:
        if not self.drain.is_set():
            _log.info("draining", why=why)
            self.why = why
            self.drain.set()

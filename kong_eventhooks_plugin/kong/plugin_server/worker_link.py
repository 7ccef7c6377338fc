"""The worker's side of the link to its supervisor: reports that it serves, and learns when to leave.

Two events, each set once and for good:

- ``drain``: take no new connection, end what runs, exit. SIGTERM or SIGINT came, or the supervisor has exited (without
  it nobody would restart us or free the socket's path).
- ``taken_over``: the socket's path leads to another server now. Release the delivery lease and deliver no
  more; serve the connections that are open until ``drain``.

Limit: the link keeps some 270 messages that the supervisor has not read. A connection accepted while it is full is not
held; one that is handed to us waits, so that we never serve one that the supervisor believes untouched; and what we
have released is reported later.
"""

import asyncio
import contextlib
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, MutableSequence
from typing import Any, Literal, cast

import structlog

from kong_eventhooks_plugin.background import RECENT_SECONDS
from kong_eventhooks_plugin.kong.supervisor import call_marks
from kong_eventhooks_plugin.kong.supervisor.call_marks import IDLE, NO_SLOT, SLOTS
from kong_eventhooks_plugin.kong.supervisor.worker_process import (
    ADOPT,
    ALIVE,
    ASK,
    HOLD,
    MARKS,
    READY,
    RELEASE,
    RESTARTS,
    SLOT_BYTES,
    TAKEN_OVER,
    Restarts,
    receive,
)

_log = structlog.get_logger()

StopReason = Literal["signal", "supervisor exited"]
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class WorkerLink:
    """Made inside the running loop of the worker's main thread; ``close`` it in the end.

    ``descriptor`` is ``--link``'s number, None for a worker without a supervisor: then only signals count.
    """

    def __init__(self, descriptor: int | None) -> None:
        self.drain = asyncio.Event()
        self.taken_over = asyncio.Event()
        self.reason: StopReason | None = None
        """Why ``drain`` is set."""
        self.restarts = Restarts()
        """How often a worker before this one was replaced."""
        self._started_at = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._sock = socket.socket(fileno=descriptor) if descriptor is not None else None
        self._adopt: Callable[[socket.socket], None] | None = None
        self._adopted: list[socket.socket] = []
        self._unreported_releases: deque[int] = deque()  # slots that the supervisor does not know of yet
        self._slots = list(range(SLOTS))
        self.marks = self._make_marks()
        """A byte for each slot: ``call_marks.UNDER_WAY`` while a call runs on that connection."""
        if self._sock is not None:
            self._sock.setblocking(False)
            self._sock.set_inheritable(False)  # our own children (the sandbox) must not keep it open
            self._loop.add_reader(self._sock, self._on_message)
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._stop, "signal")

    def ready(self) -> None:
        """Report to the supervisor that calls are served from now on."""
        if self._sock is not None:
            with contextlib.suppress(OSError):  # it has exited: the end of the stream is about to be read
                self._sock.send(READY)

    def errors(self) -> list[str]:
        """Return what needs a person: for a while, that the worker before did not answer."""
        ago = self.restarts.seconds_ago
        if ago is None or (ago := int(ago + time.monotonic() - self._started_at)) > RECENT_SECONDS:
            return []
        count = f"{self.restarts.unresponsive} since the supervisor's start"
        return [f"a worker did not answer and was replaced {ago} s ago ({count}): see worker_killed in the log"]

    # ---- Kong's connections ----

    @property
    def holds(self) -> bool:
        """Whether the supervisor holds the connections: then one that we release lives on."""
        return self._sock is not None

    def hold(self, connection: socket.socket) -> int:
        """Have the supervisor hold a connection, from before its first byte is read; return its slot."""
        if self._sock is None or not self._slots:
            return NO_SLOT
        slot = self._slots.pop()
        self.marks[slot] = IDLE
        try:
            socket.send_fds(self._sock, [HOLD + slot.to_bytes(SLOT_BYTES, "little")], [connection.fileno()])
        except OSError:  # the supervisor is slow or has exited: the connection will end with us
            self._slots.append(slot)
            return NO_SLOT
        return slot

    def removed(self, slot: int) -> None:
        """Free the slot of a connection that has ended for both sides."""
        if slot != NO_SLOT:
            self.marks[slot] = IDLE
            self._slots.append(slot)

    def released(self, slot: int) -> None:
        """Hand a connection over; ours is closed, and nothing of it was read that was not answered."""
        if self._sock is not None and slot != NO_SLOT:
            self.marks[slot] = IDLE
            self._unreported_releases.append(slot)
            self._report_releases()

    def on_adopt(self, adopt: Callable[[socket.socket], None]) -> None:
        """Have ``adopt`` called with each connection that we are handed, also those that came already."""
        self._adopt = adopt
        waiting, self._adopted = self._adopted, []
        for connection in waiting:
            adopt(connection)

    def _report_releases(self) -> None:
        while self._unreported_releases and self._sock is not None:
            try:
                self._sock.send(RELEASE + self._unreported_releases[0].to_bytes(SLOT_BYTES, "little"))
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._sock, self._on_writable)
                return
            except OSError:  # it has exited: the end of the stream is about to be read
                self._unreported_releases.clear()
            else:
                self._unreported_releases.popleft()

    def _make_marks(self) -> MutableSequence[int]:
        if self._sock is None:
            return bytearray(SLOTS + 1)
        descriptor = call_marks.make()
        try:
            socket.send_fds(self._sock, [MARKS], [descriptor])
            marks: Any = call_marks.map_marks(descriptor)
        finally:
            os.close(descriptor)
        return cast("MutableSequence[int]", marks)

    # ---- messages of the supervisor ----

    def close(self) -> None:
        for number in _SIGNALS:
            self._loop.remove_signal_handler(number)
        self._close_link()

    def _on_message(self) -> None:
        while self._sock is not None:
            if not _is_writable(self._sock):  # for our HOLD, should the next message be a connection
                self._loop.remove_reader(self._sock)
                self._loop.add_writer(self._sock, self._on_writable)
                return
            try:
                message, descriptors = receive(self._sock)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                message, descriptors = b"", []
            if not message:
                self._close_link()
                self._stop("supervisor exited")
            elif message == ADOPT and descriptors:
                self._adopt_connection(socket.socket(fileno=descriptors[0]))
            elif message == ASK:
                self._answer()
            elif message.startswith(RESTARTS):
                self.restarts = Restarts.unpacked(message[1:])
            elif message == TAKEN_OVER and not self.taken_over.is_set():
                self.taken_over.set()
                _log.info("delivery_handed_over")

    def _answer(self) -> None:
        """Show that the event loop runs; there is room for it, as ``_on_message`` sees to."""
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.send(ALIVE)

    def _on_writable(self) -> None:
        """Continue with what waited for the supervisor to read."""
        if self._sock is not None:
            self._loop.remove_writer(self._sock)
            self._loop.add_reader(self._sock, self._on_message)
            self._report_releases()
            self._on_message()

    def _adopt_connection(self, connection: socket.socket) -> None:
        if self._adopt is None:
            self._adopted.append(connection)
        else:
            self._adopt(connection)

    def _close_link(self) -> None:
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
            self._sock = None

    def _stop(self, reason: StopReason) -> None:
        if not self.drain.is_set():
            self.reason = reason
            self.drain.set()  # before it is logged: whoever read our log may have exited, and writing raises then
            _log.info("worker_draining", reason=reason)


def _is_writable(sock: socket.socket) -> bool:
    """Return whether messages go out (the kernel says so while less than a quarter is taken), or never will again."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(0))

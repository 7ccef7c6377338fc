"""A worker as its supervisor sees it: a child process, the listening socket it inherits, and a link to it.

The link is a pair of connected sockets that preserve message boundaries. A message is one byte, some followed by
a connection's slot (two bytes), a descriptor or numbers. When one side exits, the other reads the end: that is how a
worker notices a killed supervisor.

============== ================== ====================================================================
from           message            meaning
============== ================== ====================================================================
worker         READY              it serves
worker         MARKS, descriptor  its ``call_marks``
worker         HOLD slot, desc.   it serves this connection of Kong's (``held_connections``)
worker         RELEASE slot        it no longer does: another worker may
worker         ALIVE              the answer to ASK, from its event loop
supervisor     TAKEN_OVER         the socket's path leads to another server
supervisor     ADOPT, descriptor  serve this connection
supervisor     ASK                answer, so that I see that you are not stuck; one at a time
supervisor     RESTARTS, numbers  ``Restarts``, once at the start
============== ================== ====================================================================

``--fd N --link M`` is appended to the worker's command: the numbers of the two descriptors. SIGTERM makes it drain.
It runs in a process group of its own, so that a Ctrl-C reaches the supervisor alone.
"""

import contextlib
import mmap
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from kong_eventhooks_plugin.kong.supervisor.call_marks import map_marks

READY = b"R"
MARKS = b"M"
HOLD = b"H"
RELEASE = b"L"
TAKEN_OVER = b"T"
ADOPT = b"A"
ALIVE = b"V"
ASK = b"?"
RESTARTS = b"S"

EXIT_SETTINGS = 78
"""The exit status of a worker that refuses its settings: EX_CONFIG of sysexits.h."""

MESSAGE_BYTES = 16
SLOT_BYTES = 2
_MESSAGES_AT_ONCE = 1_000
_RESTARTS = struct.Struct("<3I")
_NEVER = 0xFFFF_FFFF


class Restarts(NamedTuple):
    """How often the supervisor replaced a worker: that had ended by itself; that did not answer.

    ``seconds_ago`` is how long ago it last was one that did not answer, None for never.
    """

    crashed: int = 0
    unresponsive: int = 0
    seconds_ago: int | None = None

    def packed(self) -> bytes:
        return _RESTARTS.pack(self.crashed, self.unresponsive, _NEVER if self.seconds_ago is None else self.seconds_ago)

    @classmethod
    def unpacked(cls, data: bytes) -> "Restarts":
        crashed, unresponsive, seconds_ago = _RESTARTS.unpack(data)
        return cls(crashed, unresponsive, None if seconds_ago == _NEVER else seconds_ago)


def receive(link: socket.socket) -> tuple[bytes, list[int]]:
    """Return a message (empty: the other side has exited) and its descriptors, which our children do not inherit.

    ``socket.recv_fds`` drops the flag for that (seen in Python 3.11).
    """
    message, descriptors, _, _ = socket.recv_fds(link, MESSAGE_BYTES, 1)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return message, descriptors


class WorkerProcess:
    """One running worker.

    ``deadline`` (clock seconds) is when it is killed: unready for too long, or undrained. ``answered_at`` is when it
    last answered, ``asked_at`` since when an answer is due (None: it is not).
    """

    def __init__(self, command: Sequence[str], listening: socket.socket, now: float, deadline: float) -> None:
        """Start it; raises ``OSError`` where the system cannot."""
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link.setblocking(False)
        descriptors = (listening.fileno(), theirs.fileno())
        try:
            # Not user input: our own command line, with the two descriptors.
            self._process = subprocess.Popen(  # noqa: S603
                [*command, "--fd", str(descriptors[0]), "--link", str(descriptors[1])],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                process_group=0,
            )
        except BaseException:
            self.link.close()
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid
        self.started_at = now
        self.deadline: float | None = deadline
        self.ready = False
        self.killed = False
        self.unresponsive = False
        self.asked_at: float | None = None
        self.answered_at = now
        self._asked = False
        self.marks: mmap.mmap | None = None

    def messages(self) -> Iterator[tuple[bytes, int, socket.socket | None]]:
        """Yield its new messages: kind, slot (0 where there is none), connection. Closes the link at its end.

        ``READY`` and ``MARKS`` set ``ready`` and ``marks``.
        """
        for _ in range(_MESSAGES_AT_ONCE):
            try:
                message, descriptors = receive(self.link)
            except BlockingIOError:
                return
            except OSError:
                message, descriptors = b"", []
            if not message:
                self.link.close()
                return
            kind, slot = message[:1], int.from_bytes(message[1 : 1 + SLOT_BYTES], "little")
            connection = None
            if kind == MARKS and descriptors:
                with contextlib.suppress(OSError):  # no memory: any of its connections may then have a call
                    self.marks = map_marks(descriptors[0])
                os.close(descriptors[0])
            elif descriptors:
                connection = socket.socket(fileno=descriptors[0])
            elif kind == READY:
                self.ready = True
                self.deadline = None
            yield kind, slot, connection

    def ask(self, now: float) -> None:
        """Ask it to answer, unless it was asked. Where the link is full, it is due to answer all the same."""
        if self.asked_at is None:
            self.asked_at, self._asked = now, False
        if not self._asked:
            with contextlib.suppress(OSError):
                self.link.send(ASK)
                self._asked = True

    def answered(self, now: float) -> None:
        self.asked_at, self.answered_at = None, now

    def send(self, message: bytes) -> None:
        """Send it a message; the end of one that has exited is noticed elsewhere."""
        with contextlib.suppress(OSError):
            self.link.send(message)

    def send_connection(self, connection: socket.socket) -> bool:
        """Have it serve a connection; return False where the link is full."""
        try:
            socket.send_fds(self.link, [ADOPT], [connection.fileno()])
        except OSError:
            return False
        return True

    def exit_code(self) -> int | None:
        """Return its exit status (negative: the signal that ended it), None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Have it drain and exit."""
        self._process.send_signal(signal.SIGTERM)

    def abort(self, deadline: float) -> None:
        """End one that does not answer: with SIGABRT, on which it prints where it stands, then as ``deadline`` says."""
        self.unresponsive, self.deadline = True, deadline
        self._process.send_signal(signal.SIGABRT)

    def kill(self) -> None:
        self.killed = True
        self._process.kill()

    def close(self) -> None:
        """Close the link to a worker that has exited."""
        self.link.close()


def reap_children(workers: Container[int]) -> None:
    """Reap exited processes that are no workers: process 1 of a container inherits them from killed workers."""
    with contextlib.suppress(ChildProcessError):
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid in workers:
                return
            os.waitpid(ended.si_pid, 0)

"""A worker as its supervisor sees it: a child process, the listening socket it inherits, and a link to it.

The link is a pair of connected sockets that keep messages apart; a message is one byte, some with a connection's slot
(two bytes) or a descriptor behind it. When one side has gone, the other reads the end: that is how a worker notices a
killed supervisor.

============== ================== ====================================================================
from           message            meaning
============== ================== ====================================================================
worker         READY              it serves
worker         MARKS, descriptor  its ``call_marks``
worker         HOLD slot, desc.   it serves this connection of Kong's (``held_connections``)
worker         RELEASE slot        it no longer does: somebody else may
supervisor     TAKEN_OVER         the socket's path leads to another server
supervisor     ADOPT, descriptor  serve this connection
============== ================== ====================================================================

The worker's command gets ``--fd N --link M`` appended: the numbers of the two descriptors. To drain it
gets SIGTERM. It runs in a process group of its own, so that a Ctrl-C reaches the supervisor alone.
"""

import contextlib
import mmap
import os
import signal
import socket
import subprocess
from collections.abc import Container, Iterator, Sequence

from kong_eventhooks_plugin.kong.supervisor.call_marks import map_marks

READY = b"R"
MARKS = b"M"
HOLD = b"H"
RELEASE = b"L"
TAKEN_OVER = b"T"
ADOPT = b"A"

MESSAGE_BYTES = 16
SLOT_BYTES = 2
_MESSAGES_AT_ONCE = 1_000


def receive(link: socket.socket) -> tuple[bytes, list[int]]:
    """Return a message (empty: the other side has gone) and its descriptors, which are not for our children.

    ``socket.recv_fds`` drops the flag that would say so (seen in Python 3.11).
    """
    said, descriptors, _, _ = socket.recv_fds(link, MESSAGE_BYTES, 1)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return said, descriptors


class WorkerProcess:
    """One running worker on the socket ``listening``.

    ``deadline`` (clock seconds) is when it is killed: unready for too long, or undrained.
    """

    def __init__(self, command: Sequence[str], listening: socket.socket, now: float, deadline: float) -> None:
        """Start it; raises ``OSError`` where the system cannot."""
        self.listening = listening
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
        self.marks: mmap.mmap | None = None

    def messages(self) -> Iterator[tuple[bytes, int, socket.socket | None]]:
        """Yield what it said since: kind, slot (0 where there is none), connection. Closes the link at its end.

        ``READY`` and ``MARKS`` are noted here as well.
        """
        for _ in range(_MESSAGES_AT_ONCE):
            try:
                said, descriptors = receive(self.link)
            except BlockingIOError:
                return
            except OSError:
                said, descriptors = b"", []
            if not said:
                self.link.close()
                return
            kind, slot = said[:1], int.from_bytes(said[1 : 1 + SLOT_BYTES], "little")
            connection = None
            if kind == MARKS and descriptors:
                with contextlib.suppress(OSError):  # no memory: then each of its connections may have a call
                    self.marks = map_marks(descriptors[0])
                os.close(descriptors[0])
            elif descriptors:
                connection = socket.socket(fileno=descriptors[0])
            elif kind == READY:
                self.ready = True
                self.deadline = None
            yield kind, slot, connection

    def send(self, message: bytes) -> None:
        """Send it a message; one that has gone does not hear it, and its end is seen anyway."""
        with contextlib.suppress(OSError):
            self.link.send(message)

    def send_connection(self, connection: socket.socket) -> bool:
        """Have it serve a connection; False where it takes none now."""
        try:
            socket.send_fds(self.link, [ADOPT], [connection.fileno()])
        except OSError:
            return False
        return True

    def exit_code(self) -> int | None:
        """Return its exit status (negative: the signal that ended it), None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to drain and leave."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self.killed = True
        self._process.kill()

    def close(self) -> None:
        """Forget a worker that has ended."""
        self.link.close()


def reap_children(workers: Container[int]) -> None:
    """Collect ended processes that are no workers: as process 1 of a container we inherit them from killed ones."""
    with contextlib.suppress(ChildProcessError):
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid in workers:
                return
            os.waitpid(ended.si_pid, 0)

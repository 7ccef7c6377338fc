"""A worker as its supervisor sees it: a child process, the listening socket it inherits, and a link to it.

The link is a pair of connected sockets; each message is one byte. The worker says ``READY`` when it
serves; the supervisor says ``TAKEN_OVER`` when the socket's path leads to another server. When one side
has gone, the other reads the end of the stream: that is how a worker notices a killed supervisor.

The worker's command gets ``--fd N --link M`` appended: the numbers of the two descriptors. To drain it
gets SIGTERM. It runs in a process group of its own, so that a Ctrl-C reaches the supervisor alone.
"""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Container, Sequence

READY = b"R"
TAKEN_OVER = b"T"


class WorkerProcess:
    """One running worker. ``deadline`` (clock seconds) is when it is killed: unready for too long, or undrained."""

    def __init__(self, command: Sequence[str], listening: int, now: float, deadline: float) -> None:
        """Start it; raises ``OSError`` where the system cannot."""
        self.link, theirs = socket.socketpair()
        self.link.setblocking(False)
        descriptors = (listening, theirs.fileno())
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

    def hear(self) -> bool:
        """Read what it said; True when it has just become ready. Closes the link at its end."""
        try:
            said = self.link.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            said = b""
        if not said:
            self.link.close()
        if READY in said and not self.ready:
            self.ready = True
            self.deadline = None
            return True
        return False

    def tell(self, message: bytes) -> None:
        """Send it a message; one that has gone does not hear it, and its end is seen anyway."""
        try:
            self.link.send(message)
        except OSError:
            return

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


def bury_orphans(workers: Container[int]) -> None:
    """Collect ended processes that are no workers: as process 1 of a container we inherit them from killed ones."""
    with contextlib.suppress(ChildProcessError):
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid in workers:
                return
            os.waitpid(ended.si_pid, 0)

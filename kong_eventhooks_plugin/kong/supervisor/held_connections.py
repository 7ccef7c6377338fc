"""Kong's connections, held by the supervisor beside the worker that serves them.

Why they are held (all of it seen on Kong 3.9, kong/runloop/plugin_servers): where a worker is killed, the
kernel resets every connection with unread bytes, and Kong drops the call instead of making it again. And Kong's pool
is left full of dead connections: a ``StartInstance`` on one of them fails by an assertion that leaves Kong's claim on
the instance behind, and for 10 s every event of that nginx worker is lost. So connections live on here:

======================================  =========================================================================
the worker ends while a connection is    what becomes of it
======================================  =========================================================================
idle (a call may be on its way)          handed to the next worker, which reads what Kong sent meanwhile
in the middle of a call                  ended in Kong's direction alone, and drained: Kong reads "closed" and calls
                                         again; closing it outright would be a reset
released by a worker that drains         handed to its successor; without one, ended as above
======================================  =========================================================================

Limits: ``call_marks.SLOTS`` connections; one more is not held and dies with its worker. Nor is one held that was
accepted in the instant before the worker died, or while the link was full (``worker_link``). A connection that was
ended is closed when Kong has closed it, at the latest after ``ENDING_SECONDS``.
"""

import contextlib
import mmap
import os
import select
import socket
from collections.abc import Callable

from kong_eventhooks_plugin.kong.supervisor.call_marks import IDLE, SLOTS

ENDING_SECONDS = 2.0
_DRAIN_BYTES = 64 << 10


class _Held:
    """One connection. ``worker`` serves it (None: it waits for one) as ``slot``, None until the worker reports it."""

    __slots__ = ("ending_until", "inode", "slot", "sock", "worker")

    def __init__(self, sock: socket.socket, inode: int) -> None:
        self.sock = sock
        self.inode = inode
        self.worker: int | None = None
        self.slot: int | None = None
        self.ending_until: float | None = None


class HeldConnections:
    """The connections of all workers; call ``poll`` when ``fileno`` is readable. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._epoll = select.epoll()
        self._by_inode: dict[int, _Held] = {}
        self._by_descriptor: dict[int, _Held] = {}
        self._by_slot: dict[tuple[int | None, int | None], _Held] = {}  # by worker and slot
        # The few that the supervisor looks for in each iteration: a flood has thousands of others.
        self._unassigned: dict[int, _Held] = {}  # by inode, as _ending
        self._ending: dict[int, _Held] = {}

    def __len__(self) -> int:
        return len(self._by_inode)

    def fileno(self) -> int:
        """Return the descriptor that is readable when a held connection has an event."""
        return self._epoll.fileno()

    def hold(self, worker: int, slot: int, sock: socket.socket) -> None:
        """Hold a connection that ``worker`` (its process id) serves as ``slot``; the same one again only moves."""
        inode = os.fstat(sock.fileno()).st_ino
        known = self._by_inode.get(inode)
        if known is not None:
            sock.close()
            self._assign(known, worker, slot)
            return
        if len(self._by_inode) >= SLOTS:
            sock.close()
            return
        sock.setblocking(False)
        try:
            self._epoll.register(sock.fileno(), 0)  # an end is always reported
        except OSError:  # no memory, or past fs.epoll.max_user_watches
            sock.close()
            return
        held = _Held(sock, inode)
        self._by_inode[inode] = held
        self._by_descriptor[sock.fileno()] = held
        self._assign(held, worker, slot)

    def release(self, worker: int, slot: int) -> None:
        """Unassign a connection that a draining worker no longer serves."""
        held = self._by_slot.get((worker, slot))
        if held is not None:
            self._unassign(held)

    def orphan(self, worker: int, marks: mmap.mmap | None) -> None:
        """End the connections on which an exited worker had a call, keep the rest for the next worker."""
        for held in [held for held in self._by_inode.values() if held.worker == worker]:
            # Without a slot it was handed over and not yet accepted: nothing of it was read.
            under_way = held.slot is not None and (marks is None or marks[held.slot] != IDLE)
            self._unassign(held)
            if under_way:
                self._end(held)

    def waiting(self) -> bool:
        """Return whether connections wait for a worker."""
        return bool(self._unassigned)

    def offer(self, worker: int, send: Callable[[socket.socket], bool]) -> None:
        """Hand the waiting connections to a worker; ``send`` returns False when it accepts no more for now."""
        for held in list(self._unassigned.values()):
            if not send(held.sock):
                return
            held.worker = worker
            del self._unassigned[held.inode]

    def end_waiting(self) -> None:
        """End the connections that wait for a worker: none will come."""
        for held in list(self._unassigned.values()):
            self._end(held)

    def poll(self) -> None:
        """Drop the connections that have ended, drain those that are ending."""
        for descriptor, events in self._epoll.poll(0):
            held = self._by_descriptor.get(descriptor)
            if held is not None and (events & (select.EPOLLHUP | select.EPOLLERR) or not _drain(held.sock)):
                self._drop(held)

    def prune(self) -> None:
        """Close the connections that take too long to end."""
        now = self._clock()
        for held in list(self._ending.values()):
            if held.ending_until is not None and now >= held.ending_until:
                self._drop(held)

    def ending(self) -> bool:
        """Return whether connections are ending."""
        return bool(self._ending)

    def close(self) -> None:
        """Close every connection."""
        for held in list(self._by_inode.values()):
            self._drop(held)
        self._epoll.close()

    def _assign(self, held: _Held, worker: int, slot: int) -> None:
        """Record who serves it. A worker reuses a slot at once, so its earlier connection has ended."""
        self._unassign(held)
        held.worker, held.slot = worker, slot
        self._by_slot[worker, slot] = held
        self._unassigned.pop(held.inode, None)

    def _unassign(self, held: _Held) -> None:
        if self._by_slot.get((held.worker, held.slot)) is held:
            del self._by_slot[held.worker, held.slot]
        held.worker = held.slot = None
        if held.ending_until is None:
            self._unassigned[held.inode] = held

    def _end(self, held: _Held) -> None:
        with contextlib.suppress(OSError):  # it has ended already
            held.sock.shutdown(socket.SHUT_WR)
        held.ending_until = self._clock() + ENDING_SECONDS
        self._unassigned.pop(held.inode, None)
        self._ending[held.inode] = held
        self._epoll.modify(held.sock.fileno(), select.EPOLLIN)

    def _drop(self, held: _Held) -> None:
        descriptor = held.sock.fileno()
        self._by_inode.pop(held.inode, None)
        self._by_descriptor.pop(descriptor, None)
        self._unassign(held)
        self._unassigned.pop(held.inode, None)
        self._ending.pop(held.inode, None)
        self._epoll.unregister(descriptor)
        held.sock.close()


def _drain(sock: socket.socket) -> bool:
    """Read and discard; return False at the end."""
    try:
        return bool(sock.recv(_DRAIN_BYTES))
    except (BlockingIOError, InterruptedError):
        return True
    except OSError:
        return False

"""The small process that holds the plugin socket while its workers come and go.

It runs no user code and imports little (about 12 MB), so that it has no reason to die. A call that
arrives while no worker runs waits in the socket's queue for the next one; Kong itself repeats a call whose
connection a dying worker closed. So no call is lost, whatever happens to a worker.

What it does, and its limits (``states`` has the same as a table):

==============================  ==================================================================================
a worker dies                   another one at once, then after growing pauses up to 5 s (``restart_backoff``); Kong's
                                connections live on for it (``held_connections``)
a worker is not ready in 60 s   killed, which counts as a death
a worker does not answer        it is asked every 0.5 s, and its event loop answers; after ``watchdog_seconds`` without
                                an answer it prints where it stands and is killed, which counts as a death. It does not
                                matter what hangs it: a blocked loop, a thread in C that holds Python's lock, SIGSTOP.
                                Only one that waits in the kernel for a disk ends no sooner than that wait
we were stopped, or the machine  such a time counts for no limit (``running_clock``)
a worker exits with 78          before any was ever ready: trying again is useless (settings); we exit with 78 too
SIGTERM, SIGINT                 the worker drains; after ``drain_seconds``, and 3 s to close its store, it is killed;
                                the path goes; exit 0
SIGHUP                          a second worker on the same socket; once it is ready the first one drains. One such
                                change at a time and 2 draining workers at most, one more change is remembered. A new
                                worker that dies leaves the old one in its place
the path is another server's    (checked every 0.5 s) started by Kong: the worker delivers no more and serves the
                                connections that it has until our Kong exits; it is not started again, and we do not
                                take the path back, or two servers would take it from each other for ever.
                                Stand-alone: another server replaced us, so drain and exit
the path has vanished           bound again, and a new worker on the new socket as with SIGHUP; where binding fails:
                                logged once for each reason, tried again every 0.5 s; a new worker that dies is
                                restarted as above, because nobody else accepts on the new socket
our parent has exited           (every 0.5 s, only where Kong started us) as SIGTERM, but only once another server
                                has the path or 3 s have passed: when one of Kong's processes crashes, the next one
                                starts our successor, and Kong's others go on calling meanwhile
we are killed                   the worker reads the end of its link, drains and exits
==============================  ==================================================================================

While no worker can be started, calls wait in the queue (``sockets.BACKLOG``) until Kong's own
60 s are over; past the queue's length Kong is refused at once.
"""

import contextlib
import resource
import selectors
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from kong_eventhooks_plugin.errors import SocketError
from kong_eventhooks_plugin.kong.supervisor.parent import ParentMonitor
from kong_eventhooks_plugin.kong.supervisor.plain_log import Log
from kong_eventhooks_plugin.kong.supervisor.running_clock import RunningClock
from kong_eventhooks_plugin.kong.supervisor.sockets import SocketLease
from kong_eventhooks_plugin.kong.supervisor.states import Event
from kong_eventhooks_plugin.kong.supervisor.workers import Workers

CHECK_SECONDS = 0.5
ENDING_CHECK_SECONDS = 0.05
LINGER_SECONDS = 3.0

_HANDLED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Supervisor:
    """One loop over signals, links and the clock; no threads.

    ``command`` starts a worker (its first part an absolute path: there may be no PATH); ``--fd N --link M`` is
    appended.
    """

    def __init__(
        self,
        lease: SocketLease,
        command: Sequence[str],
        *,
        started_by_kong: bool,
        drain_seconds: float,
        watchdog_seconds: float,
        log: Log,
        parent: ParentMonitor | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._lease = lease
        self._started_by_kong = started_by_kong
        self._log = log
        self._parent = parent or ParentMonitor()
        self._clock = clock = clock or RunningClock()
        self._selector = selectors.DefaultSelector()
        self._workers = Workers(command, lease, drain_seconds, watchdog_seconds, self._selector, log, clock)
        self._check_at = 0.0
        self._parent_exited_at: float | None = None
        self._rebind_error = ""

    def run(self) -> int:
        """Run until every worker has exited; return the exit status. In the main thread, for its signals."""
        _raise_descriptor_limit(self._log)
        with self._signals():
            held = self._workers.held_connections
            self._selector.register(held.fileno(), selectors.EVENT_READ, held.poll)
            self._log.info("supervisor_started", socket=str(self._lease.path), parent_pid=self._parent.pid)
            try:
                while self._run_once():
                    pass
            finally:  # leave nothing behind, whatever ended the loop
                self._workers.kill_all()
                self._lease.release()
        exit_code = self._workers.exit_code
        self._log.info("supervisor_stopped", restarts=self._workers.backoff.total, exit_code=exit_code)
        return exit_code

    def _run_once(self) -> bool:
        """Do what is due and wait for the next event; return False when nothing is left to do."""
        self._workers.reap()
        self._workers.kill_overdue()
        self._check_surroundings()
        self._workers.start_due()
        self._workers.assign_connections()
        if self._workers.have_stopped():
            return False
        for key, _ in self._selector.select(self._wait_seconds()):
            key.data()
        return True

    def _wait_seconds(self) -> float:
        longest = ENDING_CHECK_SECONDS if self._workers.held_connections.ending() else CHECK_SECONDS
        due = min(self._check_at, self._workers.due_at())
        return max(0.0, min(due - self._clock(), longest))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Have signals wake the loop; restore everything in the end."""
        ours, pythons = socket.socketpair()
        with ours, pythons:
            ours.setblocking(False)
            pythons.setblocking(False)
            before = {number: signal.signal(number, _ignore) for number in _HANDLED_SIGNALS}
            woken = signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)
            self._selector.register(ours, selectors.EVENT_READ, lambda: self._on_signals(ours))
            try:
                yield
            finally:
                signal.set_wakeup_fd(woken)
                for number, handler in before.items():
                    signal.signal(number, handler)
                self._selector.close()

    def _on_signals(self, ours: socket.socket) -> None:
        for number in ours.recv(256):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._workers.stop(signal.Signals(number).name)
            elif number == signal.SIGHUP:
                self._log.info("reload_requested")
                self._workers.handle(Event.RELOAD)
            # SIGCHLD only wakes the loop, which reaps in each iteration.

    def _check_surroundings(self) -> None:
        """Check whose the path is and whether the parent lives, at intervals."""
        now = self._clock()
        if now < self._check_at:
            return
        self._check_at = now + CHECK_SECONDS
        self._workers.kill_unresponsive()
        if self._workers.stopping:
            return
        state = self._lease.state()
        if state == "taken" and not self._workers.taken_over:
            self._on_taken_over()
        if self._started_by_kong and self._parent.exited():
            self._on_parent_exit(now)
        elif state == "gone":
            self._rebind()

    def _on_parent_exit(self, now: float) -> None:
        if self._parent_exited_at is None:
            self._parent_exited_at = now
        if self._workers.taken_over or now >= self._parent_exited_at + LINGER_SECONDS:
            self._workers.stop("parent gone")

    def _on_taken_over(self) -> None:
        self._log.info("socket_taken_over", socket=str(self._lease.path))
        if self._started_by_kong:
            self._workers.set_taken_over()
        else:
            self._workers.stop("taken over")

    def _rebind(self) -> None:
        try:
            new = self._lease.rebind()
        except SocketError as error:
            if str(error) != self._rebind_error:
                self._rebind_error = str(error)
                self._log.warning("socket_rebind_failed", error=str(error))
            return
        self._log.warning("socket_rebound", socket=str(new.path))
        self._rebind_error = ""
        self._lease.release()
        self._lease = new
        self._workers.set_lease(new)


def _raise_descriptor_limit(log: Log) -> None:
    """Raise the limit as far as allowed: each of Kong's connections takes a descriptor here, and one in the worker."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        log.info("descriptor_limit_raised", before=soft, limit=hard)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the wake-up descriptor wakes the loop."""

"""The small process that holds the plugin socket while workers come and go under it.

It runs no user code and imports little (about 12 MB), so that it has no reason to die. A call that
arrives while no worker runs waits in the socket's queue for the next one; Kong itself repeats a call whose
connection a dying worker closed. So no call is lost, whatever happens to a worker.

What it does, and the limits it keeps:

==============================  ==================================================================================
a worker dies                   another one at once, then after growing pauses up to 5 s (``restart_pauses``); Kong's
                                connections live on for it (``held_connections``)
a worker is not ready in 60 s   killed, which counts as a death
a worker exits with 78          before any was ever ready: trying again is useless (settings); we exit with 78 too
SIGTERM, SIGINT                 the worker drains; after ``drain_seconds``, and 3 s to close its store, it is killed;
                                the path goes; exit 0
SIGHUP                          a second worker on the same socket; once it is ready the first one drains. One such
                                change at a time and 2 draining workers at most, one more change is remembered. A new
                                worker that dies leaves the old one in its place
the path is another server's    (looked at every 0.5 s) started by Kong: the worker delivers no more and serves the
                                connections it has, until our Kong has gone; it is not started again, and nor do we
                                take the path back, or two servers would take it from each other for ever.
                                Stand-alone: somebody replaced us, so drain and leave
the path has vanished           bound anew, and a new worker on the new socket as with SIGHUP; where binding fails:
                                told once for each reason, tried again every 0.5 s; a worker that dies meanwhile is
                                followed as above, because the old one hears nothing on the new socket
our parent has gone             (every 0.5 s, only where Kong started us) as SIGTERM, but only once another server
                                has the path or 3 s have passed: when one of Kong's processes crashes, the next one
                                starts our successor, and Kong's others go on calling meanwhile
we are killed                   the worker reads the end of its link, drains and leaves
==============================  ==================================================================================

While a worker cannot be started for long, calls wait in the queue (``sockets.BACKLOG``) until Kong's own
60 s are over; past the queue's length Kong is refused at once.
"""

import contextlib
import resource
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from kong_eventhooks_plugin.errors import SocketError
from kong_eventhooks_plugin.kong.supervisor.held_connections import HeldConnections
from kong_eventhooks_plugin.kong.supervisor.parent import ParentMonitor
from kong_eventhooks_plugin.kong.supervisor.plain_log import Log
from kong_eventhooks_plugin.kong.supervisor.restart_backoff import RestartBackoff
from kong_eventhooks_plugin.kong.supervisor.sockets import SocketLease
from kong_eventhooks_plugin.kong.supervisor.worker_process import (
    HOLD,
    READY,
    RELEASE,
    TAKEN_OVER,
    WorkerProcess,
    reap_children,
)

CHECK_SECONDS = 0.5
ENDING_CHECK_SECONDS = 0.05
READY_SECONDS = 60.0
CLOSING_SECONDS = 3.0
LINGER_SECONDS = 3.0
MAX_DRAINING = 2
EXIT_SETTINGS = 78
"""EX_CONFIG of sysexits.h."""

_HANDLED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def run(
    socket_lease: SocketLease, command: Sequence[str], *, started_by_kong: bool, drain_seconds: float, log: Log
) -> int:
    """Keep a worker running on the lease's socket until told to stop; return the exit status.

    ``command`` starts the worker (its first part an absolute path: there may be no PATH);
    ``--fd N --link M`` is appended. Must run in the main thread: it handles signals.
    """
    return Supervisor(
        socket_lease, command, started_by_kong=started_by_kong, drain_seconds=drain_seconds, log=log
    ).run()


class Supervisor:
    """One loop over signals, links and the clock; no threads.

    Of its workers one is ``serving``, one may be ``coming`` to replace it, others are ``leaving``.
    """

    def __init__(
        self,
        lease: SocketLease,
        command: Sequence[str],
        *,
        started_by_kong: bool,
        drain_seconds: float,
        log: Log,
        parent: ParentMonitor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease = lease
        self._command = command
        self._started_by_kong = started_by_kong
        self._drain_seconds = drain_seconds
        self._log = log
        self._parent = parent or ParentMonitor()
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._held_connections = HeldConnections(clock)
        self._backoff = RestartBackoff()
        self._serving: WorkerProcess | None = None
        self._starting: WorkerProcess | None = None
        self._draining: list[WorkerProcess] = []
        self._start_at: float | None = None
        self._check_at = 0.0
        self._parent_exited_at: float | None = None
        self._reload_requested = False
        self._taken_over = False
        self._stopping = False
        self._was_ready = False
        self._rebind_error = ""
        self._exit_code = 0

    # --- the loop -----------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run until stopped and every worker has left; return the exit status."""
        _raise_descriptor_limit()
        with self._signals():
            self._selector.register(self._held_connections.fileno(), selectors.EVENT_READ, self._held_connections.poll)
            self._log.info("supervisor_started", socket=str(self._lease.path), parent_pid=self._parent.pid)
            self._start_at = self._clock()
            try:
                while self._run_once():
                    pass
            finally:
                self._shut_down()
        self._log.info("supervisor_stopped", restarts=self._backoff.total, exit_code=self._exit_code)
        return self._exit_code

    def _run_once(self) -> bool:
        """Do what is due, wait for what comes next; False when there is nothing left to do."""
        self._reap()
        self._keep_deadlines()
        self._check_surroundings()
        self._start_due_workers()
        self._assign_connections()
        if self._stopping and not any(self._workers()) and not self._held_connections.ending():
            return False
        for key, _ in self._selector.select(self._wait_seconds()):
            key.data()
        return True

    def _wait_seconds(self) -> float:
        due = self._check_at if self._start_at is None else min(self._check_at, self._start_at)
        return max(
            0.0, min(due - self._clock(), ENDING_CHECK_SECONDS if self._held_connections.ending() else CHECK_SECONDS)
        )

    def _workers(self) -> Iterator[WorkerProcess]:
        yield from (worker for worker in (self._serving, self._starting) if worker is not None)
        yield from self._draining

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Have signals wake the loop; put everything back in the end."""
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
                self._stop(signal.Signals(number).name)
            elif number == signal.SIGHUP:
                self._log.info("reload_requested")
                self._reload_requested = True
            # SIGCHLD: waking up is all it is for; each round looks who has ended.

    # --- starting -----------------------------------------------------------------------------------------------

    def _start_due_workers(self) -> None:
        if self._stopping:
            return
        if self._start_at is not None and self._clock() >= self._start_at:
            self._start_at = None
            self._reload_requested = self._serving is not None  # else the one that starts now is as new as one can be
            if self._serving is None:
                self._serving = self._start()
        if self._reload_requested and self._serving is not None and self._can_reload():
            self._reload_requested = False
            self._starting = self._start()

    def _can_reload(self) -> bool:
        return self._starting is None and len(self._draining) < MAX_DRAINING

    def _is_served(self) -> bool:
        """Tell whether somebody accepts on our socket: a worker from before it was bound anew does not."""
        return self._serving is not None and self._serving.listening is self._lease.sock

    def _start(self) -> WorkerProcess | None:
        """Start a worker on the socket; what the system refuses counts as a death."""
        now = self._clock()
        try:
            worker = WorkerProcess(self._command, self._lease.sock, now, now + READY_SECONDS)
        except OSError as error:
            self._log.warning("worker_start_failed", error=error.strerror or str(error))
            if not self._is_served():
                self._start_at = now + self._backoff.delay_after(0.0)
            return None
        self._selector.register(worker.link, selectors.EVENT_READ, lambda: self._on_message(worker))
        self._log.info("worker_started", pid=worker.pid)
        if self._taken_over:
            worker.send(TAKEN_OVER)
        return worker

    def _on_message(self, worker: WorkerProcess) -> bool:
        """Do what it says; False where it has nothing to say, though the link may be open in a child that it left."""
        link = worker.link
        key = link.fileno()
        if key < 0:
            return False
        heard = False
        for kind, slot, connection in worker.messages():
            heard = True
            if kind == READY:
                self._on_ready(worker)
            elif kind == HOLD and connection is not None:
                self._held_connections.hold(worker.pid, slot, connection)
            elif kind == RELEASE:
                self._held_connections.release(worker.pid, slot)
        if link.fileno() < 0:
            self._selector.unregister(key)
        return heard

    def _on_ready(self, worker: WorkerProcess) -> None:
        self._was_ready = True
        self._lease.listen()
        self._log.info("worker_ready", pid=worker.pid, seconds=round(self._clock() - worker.started_at, 3))
        if worker is self._starting:
            old, self._serving, self._starting = self._serving, worker, None
            if old is not None:
                self._drain(old)

    # --- ending -------------------------------------------------------------------------------------------------

    def _stop(self, why: str) -> None:
        if self._stopping:
            return
        self._log.info("supervisor_stopping", reason=why, drain_seconds=self._drain_seconds)
        self._stopping = True
        self._start_at = None
        for worker in (self._serving, self._starting):
            if worker is not None:
                self._drain(worker)
        self._serving = self._starting = None

    def _drain(self, worker: WorkerProcess) -> None:
        worker.deadline = self._clock() + self._drain_seconds + CLOSING_SECONDS
        worker.terminate()
        self._draining.append(worker)

    def _reap(self) -> None:
        for worker in list(self._workers()):
            code = worker.exit_code()
            if code is not None:
                while self._on_message(worker):  # what it still said, above all which connections it had
                    pass
                self._held_connections.orphan(worker.pid, worker.marks)
                self._forget(worker)
                self._on_exit(worker, code)
        reap_children({worker.pid for worker in self._workers()})

    def _forget(self, worker: WorkerProcess) -> None:
        if worker.link.fileno() >= 0:
            self._selector.unregister(worker.link)
        worker.close()

    def _on_exit(self, worker: WorkerProcess, code: int) -> None:
        lived = self._clock() - worker.started_at
        told: dict[str, object] = {"pid": worker.pid, "exit_code": code, "seconds": round(lived, 3)}
        if worker in self._draining:
            self._draining.remove(worker)
            self._log.info("worker_exited", **told, killed=worker.killed)
        elif worker is self._starting:
            self._starting = None
            self._log.warning("replacement_worker_failed", **told)
            if not (self._taken_over or self._is_served()):
                self._start_at = self._clock() + self._backoff.delay_after(lived)
        elif self._starting is not None:
            self._serving, self._starting = self._starting, None
            self._log.warning("worker_crashed", **told, next="replacement_starting")
        else:
            self._serving = None
            self._on_crash(told, lived, code)

    def _on_crash(self, told: dict[str, object], lived: float, code: int) -> None:
        """Decide what follows when the worker that served has ended by itself."""
        if code == EXIT_SETTINGS and not self._was_ready:
            self._exit_code = code
            self._stop("worker refuses its settings")
        elif self._taken_over:
            self._log.warning("worker_crashed", **told, next="none")
        else:
            pause = self._backoff.delay_after(lived)
            self._log.warning("worker_crashed", **told, next="restart", restarts=self._backoff.total, retry_in=pause)
            self._start_at = self._clock() + pause

    def _keep_deadlines(self) -> None:
        now = self._clock()
        for worker in self._workers():
            if worker.deadline is not None and now >= worker.deadline and not worker.killed:
                self._log.warning(
                    "worker_killed", pid=worker.pid, reason="drain_timeout" if worker.ready else "start_timeout"
                )
                worker.kill()

    def _shut_down(self) -> None:
        """Leave nothing behind, whatever ended the loop."""
        for worker in list(self._workers()):
            worker.kill()
        self._held_connections.close()
        self._lease.release()

    def _assign_connections(self) -> None:
        """Hand connections without a worker to the one that serves; end them where none will come."""
        self._held_connections.prune()
        if not self._held_connections.waiting():
            return
        if self._serving is not None and self._serving.ready:
            self._held_connections.offer(self._serving.pid, self._serving.send_connection)
        elif self._serving is None and self._start_at is None:
            self._held_connections.end_waiting()

    # --- looking round ------------------------------------------------------------------------------------------

    def _check_surroundings(self) -> None:
        now = self._clock()
        if now < self._check_at:
            return
        self._check_at = now + CHECK_SECONDS
        if self._stopping:
            return
        state = self._lease.state()
        if state == "taken" and not self._taken_over:
            self._on_taken_over()
        if self._started_by_kong and self._parent.exited():
            self._on_parent_exit(now)
        elif state == "gone":
            self._rebind()

    def _on_parent_exit(self, now: float) -> None:
        if self._parent_exited_at is None:
            self._parent_exited_at = now
        if self._taken_over or now >= self._parent_exited_at + LINGER_SECONDS:
            self._stop("parent gone")

    def _on_taken_over(self) -> None:
        self._taken_over = True
        self._log.info("socket_taken_over", socket=str(self._lease.path))
        if not self._started_by_kong:
            self._stop("taken over")
            return
        for worker in self._workers():
            worker.send(TAKEN_OVER)

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
        self._taken_over = False
        self._replace_workers()

    def _replace_workers(self) -> None:
        """Have a worker started on the new socket; those on the old one end the connections that they have."""
        if self._starting is not None:
            self._drain(self._starting)
            self._starting = None
        if self._serving is None:
            self._start_at = self._start_at or self._clock()
        else:
            self._reload_requested = True


def _raise_descriptor_limit() -> None:
    """Use as many descriptors as we may: each of Kong's connections takes one here, and one in the worker."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the wake-up descriptor has told the loop."""

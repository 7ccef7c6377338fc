"""The workers of a supervisor: the one that serves, the one that replaces it, and those that drain.

``states`` says what follows from what; this file carries it out. Limits: a worker has ``READY_SECONDS`` to become
ready and, once asked to drain, the given seconds and ``CLOSING_SECONDS`` to close its store; the one that serves has
``watchdog_seconds`` to answer (0: for ever) and then ``ABORT_SECONDS`` to print where it stands. Past that it is
killed.
A replacement waits while ``MAX_DRAINING`` workers drain.
"""

import selectors
from collections.abc import Callable, Iterator, Sequence

from kong_eventhooks_plugin.kong.supervisor.held_connections import HeldConnections
from kong_eventhooks_plugin.kong.supervisor.plain_log import Log
from kong_eventhooks_plugin.kong.supervisor.restart_backoff import RestartBackoff
from kong_eventhooks_plugin.kong.supervisor.sockets import SocketLease
from kong_eventhooks_plugin.kong.supervisor.states import STARTABLE, Action, Event, State, transition
from kong_eventhooks_plugin.kong.supervisor.worker_process import (
    ALIVE,
    EXIT_SETTINGS,
    HOLD,
    READY,
    RELEASE,
    RESTARTS,
    TAKEN_OVER,
    Restarts,
    WorkerProcess,
    reap_children,
)

READY_SECONDS = 60.0
CLOSING_SECONDS = 3.0
ABORT_SECONDS = 1.0
"""How long a worker that does not answer has to print where it stands. One that was stopped cannot."""
MAX_DRAINING = 2


class Workers:
    """Starts, promotes, drains and reaps workers. ``exit_code`` is the supervisor's once they ``have_stopped``."""

    def __init__(
        self,
        command: Sequence[str],
        lease: SocketLease,
        drain_seconds: float,
        watchdog_seconds: float,
        selector: selectors.BaseSelector,
        log: Log,
        clock: Callable[[], float],
    ) -> None:
        self._command = command
        self._lease = lease
        self._drain_seconds = drain_seconds
        self._watchdog_seconds = watchdog_seconds
        self._selector = selector
        self._log = log
        self._clock = clock
        self.held_connections = HeldConnections(clock)
        self.backoff = RestartBackoff()
        self.state = State.WAITING
        self.taken_over = False
        self.exit_code = 0
        self._serving: WorkerProcess | None = None
        self._replacement: WorkerProcess | None = None
        self._draining: list[WorkerProcess] = []
        self._start_at: float | None = clock()
        self._was_ready = False
        self._crashed = self._unresponsive = 0
        self._unresponsive_at: float | None = None

    def __iter__(self) -> Iterator[WorkerProcess]:
        yield from (worker for worker in (self._serving, self._replacement) if worker is not None)
        yield from self._draining

    # --- the state ----------------------------------------------------------------------------------------------

    def handle(self, event: Event, lived: float = 0.0) -> None:
        """Go where the event leads; ``lived`` is the seconds that a worker lived whose end it is."""
        self.state, action = transition(self.state, event, taken_over=self.taken_over)
        if action is Action.START_NOW:
            self._start_at = self._clock()
        elif action is Action.START_LATER:
            self._start_at = self._clock() + self.backoff.delay_after(lived)
        elif action is Action.PROMOTE:
            self._drain(self._serving)
            self._serving, self._replacement = self._replacement, None
        elif action is Action.START_OVER:
            self._drain(self._replacement)
            self._replacement, self._start_at = None, self._clock()
        elif action is Action.DRAIN_ALL:
            self._drain(self._serving)
            self._drain(self._replacement)
            self._serving = self._replacement = None

    def stop(self, reason: str) -> None:
        """Have every worker drain, and start none any more."""
        if not self.stopping:
            self._log.info("supervisor_stopping", reason=reason, drain_seconds=self._drain_seconds)
            self.handle(Event.STOP)

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self.state is State.STOPPING

    def have_stopped(self) -> bool:
        """Return whether every worker and every held connection has ended."""
        return self.stopping and not any(self) and not self.held_connections.ending()

    def set_taken_over(self) -> None:
        """Record that the path leads to another server, and tell the workers."""
        self.taken_over = True
        for worker in self:
            worker.send(TAKEN_OVER)

    def set_lease(self, lease: SocketLease) -> None:
        """Serve a socket that was bound again; workers on the old one end the connections that they have."""
        self._lease = lease
        self.taken_over = False
        self.handle(Event.REBOUND)

    # --- starting -----------------------------------------------------------------------------------------------

    def due_at(self) -> float:
        """Return the time of the next start; infinity where none is due or can be."""
        if self._start_at is None or self.state not in STARTABLE:
            return float("inf")
        has_room = self._serving is None or len(self._draining) < MAX_DRAINING
        return self._start_at if has_room else float("inf")

    def start_due(self) -> None:
        """Start the worker that is due. One that the system refuses to start counts as a death."""
        now = self._clock()
        if now < self.due_at():
            return
        self._start_at = None
        try:
            worker = WorkerProcess(self._command, self._lease.sock, now, now + READY_SECONDS)
        except OSError as error:
            self._log.warning("worker_start_failed", error=error.strerror or str(error))
            self.handle(Event.START_FAILED)
            return
        self._selector.register(worker.link, selectors.EVENT_READ, lambda: self._on_message(worker))
        self._log.info("worker_started", pid=worker.pid)
        worker.send(RESTARTS + self._restarts(now).packed())
        if self.taken_over:
            worker.send(TAKEN_OVER)
        if self._serving is None:
            self._serving = worker
        else:
            self._replacement = worker
        self.handle(Event.STARTED)

    def _restarts(self, now: float) -> Restarts:
        ago = None if self._unresponsive_at is None else int(now - self._unresponsive_at)
        return Restarts(self._crashed, self._unresponsive, ago)

    def _on_message(self, worker: WorkerProcess) -> bool:
        """Read a worker's messages; return False where there are none, though the link may be open in its child."""
        link = worker.link
        key = link.fileno()
        if key < 0:
            return False
        received = False
        for kind, slot, connection in worker.messages():
            received = True
            if kind == READY:
                self._on_ready(worker)
            elif kind == HOLD and connection is not None:
                self.held_connections.hold(worker.pid, slot, connection)
            elif kind == RELEASE:
                self.held_connections.release(worker.pid, slot)
            elif kind == ALIVE:
                worker.answered(self._clock())
        if link.fileno() < 0:
            self._selector.unregister(key)
        return received

    def _on_ready(self, worker: WorkerProcess) -> None:
        self._was_ready = True
        self._lease.listen()
        self._log.info("worker_ready", pid=worker.pid, seconds=round(self._clock() - worker.started_at, 3))
        if worker is self._replacement:
            self.handle(Event.REPLACEMENT_READY)

    def assign_connections(self) -> None:
        """Hand connections without a worker to the one that serves; end them where none will come."""
        held = self.held_connections
        held.prune()
        if not held.waiting():
            return
        if self._serving is not None and self._serving.ready:
            held.offer(self._serving.pid, self._serving.send_connection)
        elif self.state in (State.ABANDONED, State.STOPPING):
            held.end_waiting()

    # --- ending -------------------------------------------------------------------------------------------------

    def _drain(self, worker: WorkerProcess | None) -> None:
        if worker is not None:
            if not worker.unresponsive:
                worker.deadline = self._clock() + self._drain_seconds + CLOSING_SECONDS
            worker.terminate()
            self._draining.append(worker)

    def reap(self) -> None:
        """Follow the workers that have exited, and collect every other child that has."""
        for worker in list(self):
            code = worker.exit_code()
            if code is not None:
                while self._on_message(worker):  # its last messages, above all which connections it had
                    pass
                self.held_connections.orphan(worker.pid, worker.marks)
                if worker.link.fileno() >= 0:
                    self._selector.unregister(worker.link)
                worker.close()
                self._on_exit(worker, code)
        reap_children({worker.pid for worker in self})

    def _on_exit(self, worker: WorkerProcess, code: int) -> None:
        now = self._clock()
        lived = now - worker.started_at
        fields: dict[str, object] = {"pid": worker.pid, "exit_code": code, "seconds": round(lived, 3)}
        if worker in self._draining:
            self._draining.remove(worker)
            self._log.info("worker_exited", **fields, killed=worker.killed)
        elif worker is self._replacement:
            self._replacement = None
            self._log.warning("replacement_worker_failed", **fields)
            self.handle(Event.REPLACEMENT_EXITED, lived)
        else:
            self._count_restart(worker, now)
            # One that hangs soon after each start cannot live either, however long it took to see that.
            hung = worker.unresponsive or worker.killed
            self._on_crash(code, worker.answered_at - worker.started_at if hung else lived, fields)

    def _count_restart(self, worker: WorkerProcess, now: float) -> None:
        if worker.unresponsive:
            self._unresponsive, self._unresponsive_at = self._unresponsive + 1, now
        else:
            self._crashed += 1

    def _on_crash(self, code: int, lived: float, fields: dict[str, object]) -> None:
        """Follow the end of the worker that served."""
        self._serving = None
        if code == EXIT_SETTINGS and not self._was_ready and self._replacement is None:
            self.exit_code = code
            self.stop("worker refuses its settings")
            return
        self.handle(Event.EXITED, lived)
        if self.state is State.WAITING:
            fields |= {"next": "restart", "restarts": self.backoff.total, "retry_in": self.backoff.delay}
        else:
            fields["next"] = "none" if self.state is State.ABANDONED else "replacement_starting"
        self._log.warning("worker_crashed", **fields)

    def kill_overdue(self) -> None:
        """Kill the workers that take too long to become ready or to drain."""
        now = self._clock()
        for worker in self:
            if worker.deadline is not None and now >= worker.deadline and not worker.killed:
                if not worker.unresponsive:
                    reason = "drain_timeout" if worker.ready else "start_timeout"
                    self._log.warning("worker_killed", pid=worker.pid, reason=reason)
                worker.kill()

    def kill_unresponsive(self) -> None:
        """Ask the worker that serves to answer; kill it where it has not for too long."""
        worker, now = self._serving, self._clock()
        if worker is None or not worker.ready or worker.unresponsive or not self._watchdog_seconds:
            return
        worker.ask(now)
        if worker.asked_at is not None and now - worker.asked_at >= self._watchdog_seconds:
            seconds = round(now - worker.asked_at, 3)
            self._log.warning("worker_killed", pid=worker.pid, reason="unresponsive", seconds=seconds)
            worker.abort(now + ABORT_SECONDS)

    def kill_all(self) -> None:
        """Kill every worker and close every held connection."""
        for worker in self:
            worker.kill()
        self.held_connections.close()

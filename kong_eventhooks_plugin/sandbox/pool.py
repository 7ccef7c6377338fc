"""The pool of worker processes: the only part of the sandbox that the rest of the program calls.

``await pool.run(task, lane)`` always returns a result; a failure is a ``Failed``. The first task starts a worker, and
with it a spare, so that the next one is ready when that one is killed; all of them end after a while without tasks.

Rules
- Filters and checks go first: a request or an event waits for them. All other tasks take turns by ``lane`` (a hook's
  id), so that one hook's burst does not delay another's delivery.
- A worker is sent up to ``SandboxLimits.batch`` tasks. When it dies the first of them is the cause and fails. The
  others have not begun and go to another worker.
- A worker that died otherwise than by a time limit, or ran out of memory, may have been full of earlier garbage: where
  it had done other tasks, the task is run again in a new one; not so a filter or check of a lane, which cannot wait.
- A lane whose task killed a worker is on probation until one of its tasks succeeds: its tasks run one by one, filters
  and checks too, alone in their worker, and one ready worker is always reserved for the others.

Limits (``SandboxLimits``): past ``waiting`` tasks a new one fails with ``busy``. ``PROBATIONS`` lanes are remembered.
After ``STARTS`` workers in a row that did not start, all waiting tasks fail with ``unavailable``; the next start is
tried after ``PAUSE_SECONDS`` times the number of failures, at most ``LONGEST_PAUSE_SECONDS``.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable

import msgspec
import structlog

from kong_eventhooks_plugin.sandbox.process import Listener, SandboxJob, SandboxWorker, make_job
from kong_eventhooks_plugin.sandbox.tasks import (
    HEADER,
    Engine,
    Failed,
    LuaRules,
    Reason,
    Result,
    SandboxLimits,
    Setup,
    Task,
    unsendable,
)

PROBATIONS = 1_000
STARTS = 3
PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0

_URGENT = ("decide", "check")
_SECOND_CHANCE: tuple[Reason, ...] = ("crash", "memory")
_ENGINES: tuple[Engine, ...] = ("lua", "jinja2", "cel")
_UNSENDABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)

log = structlog.get_logger()


class Pool:
    """Runs tasks in worker processes. Used on one event loop. ``counts`` is by task and outcome."""

    def __init__(
        self,
        limits: SandboxLimits | None = None,
        lua: LuaRules | None = None,
        counts: dict[tuple[str, str], int] | None = None,
    ) -> None:
        self.limits = limits or SandboxLimits()
        self._lua = lua or LuaRules()
        self.counts: dict[tuple[str, str], int] = Counter() if counts is None else counts
        self._urgent: deque[SandboxJob] = deque()
        self._lanes: OrderedDict[str, deque[SandboxJob]] = OrderedDict()
        self._waiting = 0
        self._workers: dict[SandboxWorker, asyncio.Task[None]] = {}
        self._engines: frozenset[Engine] = frozenset()
        self._probation: OrderedDict[str, None] = OrderedDict()
        self._failed_starts = 0
        self._start_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._listener = Listener(ready=self._on_ready, answered=self._on_answer, ended=self._on_end)

    async def run(self, task: Task, lane: str = "") -> Result:
        """Run a task for ``lane``. Cancelled, it removes the task from the queue or ignores its answer."""
        result = await self._run(task, lane)
        outcome = result.reason if isinstance(result, Failed) else "done"
        self.counts[str(task.__struct_config__.tag), outcome] += 1
        return result

    async def close(self) -> None:
        """End every worker; waiting tasks fail with ``closed``."""
        self._closed = True
        for timer in (self._start_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._fail_waiting("closed", "the sandbox is closed")
        workers = dict(self._workers)
        for worker in workers:
            self._fail(worker.jobs, "closed", "the sandbox is closed")
            worker.jobs.clear()
            worker.stop()
        if workers:
            await asyncio.wait(workers.values())

    @property
    def processes(self) -> list[int]:
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def _run(self, task: Task, lane: str) -> Result:
        if self._closed:
            return Failed("closed", "the sandbox is closed")
        if self._waiting >= self.limits.waiting:
            return Failed("busy", f"{self._waiting} tasks wait already")
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        try:
            job = make_job(task, lane, answer)
        except _UNSENDABLE as error:
            return unsendable(error)
        if len(job.frame) - HEADER > self.limits.task_bytes:
            return Failed("data", f"the event has more than {self.limits.task_bytes} bytes")
        self._put(job)
        self._pump()
        try:
            return await answer
        except asyncio.CancelledError:
            self._unqueue(job)
            raise

    # Waiting jobs

    def _put(self, job: SandboxJob) -> None:
        self._engines |= {job.engine}
        self._queue_of(job).append(job)
        self._waiting += 1

    def _put_back(self, jobs: Iterable[SandboxJob]) -> None:
        for job in reversed([job for job in jobs if not job.answer.done()]):
            self._queue_of(job).appendleft(job)
            self._waiting += 1

    def _queue_of(self, job: SandboxJob) -> deque[SandboxJob]:
        suspect = job.lane != "" and job.lane in self._probation
        urgent = job.kind in _URGENT and not suspect
        return self._urgent if urgent else self._lanes.setdefault(job.lane, deque())

    def _unqueue(self, job: SandboxJob) -> None:
        for queue in (self._urgent, self._lanes.get(job.lane)):  # its lane may be on probation since
            if queue is not None and job in queue:
                queue.remove(job)
                self._waiting -= 1
                if not queue and queue is not self._urgent:
                    del self._lanes[job.lane]

    def _next(self, worker: SandboxWorker, room: int) -> list[SandboxJob]:
        """Unqueue up to ``room`` jobs that ``worker`` can run, urgent ones first, then one of each lane in turn."""
        jobs: list[SandboxJob] = []
        while self._urgent and len(jobs) < room and self._urgent[0].engine in worker.engines:
            jobs.append(self._urgent.popleft())
        for lane in list(self._lanes):
            if len(jobs) >= room:
                break
            if self._lanes[lane][0].engine in worker.engines and not self._needs_worker_alone(lane):
                jobs.append(self._from_lane(lane))
        self._waiting -= len(jobs)
        return jobs

    def _needs_worker_alone(self, lane: str) -> bool:
        return lane in self._probation or self._lanes[lane][0].fresh

    def _from_lane(self, lane: str) -> SandboxJob:
        queue = self._lanes[lane]
        job = queue.popleft()
        if queue:
            self._lanes.move_to_end(lane)
        else:
            del self._lanes[lane]
        return job

    # Assignment to workers

    def _pump(self) -> None:
        """Assign what can be, and start missing workers."""
        if self._closed:
            return
        while self._waiting and self._assign():
            pass
        self._start_missing()
        self._start_idle_timer()

    def _assign(self) -> bool:
        """Send jobs to each worker with room; False where none could be sent."""
        takers = sorted(filter(self._has_room, self._workers), key=lambda each: (len(each.jobs), each.done))
        if not takers:
            return False
        assigned = False
        lane = next(iter(self._lanes), None)
        if lane is not None and self._needs_worker_alone(lane) and self._may_be_alone():
            assigned = self._assign_alone(takers.pop(0), lane)
        for worker in takers:
            room = self.limits.batch - len(worker.jobs)
            jobs = self._next(worker, min(room, max(-(-self._waiting // len(takers)), 1)))
            if jobs:
                worker.send(jobs)
                assigned = True
        return assigned

    def _assign_alone(self, worker: SandboxWorker, lane: str) -> bool:
        """Send the lane's next job to ``worker`` if it is free; else the worker gets no other job until it is."""
        job = self._lanes[lane][0]
        if worker.jobs or job.engine not in worker.engines or (job.fresh and worker.done):
            return False
        job.alone = True
        self._from_lane(lane)
        self._waiting -= 1
        worker.send([job])
        return True

    def _has_room(self, worker: SandboxWorker) -> bool:
        return (
            worker.is_open
            and not self._is_outdated(worker)
            and len(worker.jobs) < self.limits.batch
            and not (worker.jobs and worker.jobs[0].alone)
        )

    def _may_be_alone(self) -> bool:
        """Return whether one more worker can run a single task: one ready worker is reserved for the others."""
        up = [worker for worker in self._workers if worker.is_open]
        alone = sum(1 for worker in up if worker.jobs and worker.jobs[0].alone)
        return len(up) - alone > min(1, self.limits.workers - 1)

    def _start_missing(self) -> None:
        """Start workers while there are tasks: a free one beside the busy ones. Let outdated ones exit."""
        for worker in self._workers:
            if worker.idle and (self._is_outdated(worker) or self._is_in_the_way(worker)):
                worker.leave()
        if self._start_timer is not None or not (self._waiting or any(worker.jobs for worker in self._workers)):
            return
        staying = [worker for worker in self._workers if not worker.leaving]
        one_more = bool(self._lanes) and not self._may_be_alone()
        if len(staying) < self.limits.workers and all(each.jobs or (one_more and each.ready) for each in staying):
            self._start()

    def _is_outdated(self, worker: SandboxWorker) -> bool:
        """Return whether a worker has run enough tasks, or lacks an engine."""
        return worker.done >= self.limits.worker_tasks or not self._engines.issubset(worker.engines)

    def _is_in_the_way(self, worker: SandboxWorker) -> bool:
        """Return whether a worker occupies the place of the new one that a task needs."""
        return worker.done > 0 and any(queue[0].fresh for queue in self._lanes.values())

    def _start(self) -> None:
        engines = tuple(engine for engine in _ENGINES if engine in self._engines)
        worker = SandboxWorker(Setup(engines=engines, limits=self.limits, lua=self._lua), self._listener)
        self._workers[worker] = asyncio.get_running_loop().create_task(worker.run())

    # Callbacks of workers

    def _on_ready(self, worker: SandboxWorker) -> None:
        self._failed_starts = 0
        self._pump()

    def _on_answer(self, worker: SandboxWorker, job: SandboxJob, result: Result) -> None:
        if isinstance(result, Failed) and result.reason == "memory":
            worker.leaving = True  # it exits by itself
            self._on_fatal_job(worker, job, result)
            return
        self._probation.pop(job.lane, None)
        _resolve(job, result)
        if len(worker.jobs) * 2 <= self.limits.batch:
            self._pump()

    def _on_end(self, worker: SandboxWorker, reason: Reason, text: str) -> None:
        del self._workers[worker]
        jobs = list(worker.jobs)
        worker.jobs.clear()
        if jobs and worker.ready and not worker.leaving and not self._closed:
            fields = {"reason": reason, "hook_id": jobs[0].lane, "task": jobs[0].kind}
            # A forbidden call is an error: the code may have broken out of its language.
            (log.error if reason == "syscall" else log.warning)("sandbox_worker_exited", **fields)
            self._on_fatal_job(worker, jobs.pop(0), Failed(reason, text))
        elif not (worker.ready or worker.leaving or self._closed):
            self._on_failed_start(text)
        self._put_back(jobs)
        self._pump()

    def _on_fatal_job(self, worker: SandboxWorker, job: SandboxJob, result: Failed) -> None:
        others = worker.done - 1 if result.reason == "memory" else worker.done
        self._put_on_probation(job.lane)
        urgent = job.lane != "" and job.kind in _URGENT
        if result.reason in _SECOND_CHANCE and others > 0 and not (urgent or job.fresh or job.answer.done()):
            job.fresh = True
            self._put_back([job])
        else:
            _resolve(job, result)

    def _put_on_probation(self, lane: str) -> None:
        self._probation[lane] = None
        self._probation.move_to_end(lane)
        if len(self._probation) > PROBATIONS:
            self._probation.popitem(last=False)

    def _on_failed_start(self, text: str) -> None:
        self._failed_starts += 1
        log.error("sandbox_worker_start_failed", error=text, failures=self._failed_starts)
        if self._failed_starts >= STARTS:
            self._fail_waiting("unavailable", f"no sandbox can be started: {text}")
        pause = min(PAUSE_SECONDS * self._failed_starts, LONGEST_PAUSE_SECONDS)
        self._start_timer = asyncio.get_running_loop().call_later(pause, self._resume)

    def _resume(self) -> None:
        self._start_timer = None
        self._pump()

    def _fail_waiting(self, reason: Reason, text: str) -> None:
        for queue in (self._urgent, *self._lanes.values()):
            self._fail(queue, reason, text)
        self._urgent.clear()
        self._lanes.clear()
        self._waiting = 0

    @staticmethod
    def _fail(jobs: Iterable[SandboxJob], reason: Reason, text: str) -> None:
        for job in jobs:
            _resolve(job, Failed(reason, text))

    # Idle workers

    def _start_idle_timer(self) -> None:
        if self._idle_timer is None and self._workers:
            self._tasks_seen = self._tasks_done()
            self._idle_timer = asyncio.get_running_loop().call_later(self.limits.idle_seconds, self._end_idle)

    def _end_idle(self) -> None:
        """End the workers where no task came since the last check."""
        self._idle_timer = None
        if self._waiting or any(worker.jobs for worker in self._workers) or self._tasks_done() != self._tasks_seen:
            self._start_idle_timer()
            return
        for worker in self._workers:
            worker.leave()

    def _tasks_done(self) -> int:
        return sum(worker.done for worker in self._workers)

    _tasks_seen = 0


def _resolve(job: SandboxJob, result: Result) -> None:
    if not job.answer.done():
        job.answer.set_result(result)

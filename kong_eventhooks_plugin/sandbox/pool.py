"""The pool of worker processes: the only part of the sandbox that the rest of the program talks to.

``await pool.run(task, lane)`` always returns a result: what went wrong is a ``Failed``. Nothing is started before the
first task. The first task starts a worker, and with it a spare, so that the next one is there when that one must be
killed; all of them end after a while without tasks.

Rules
- Filters and checks go first: somebody waits for them. All other tasks take turns by ``lane`` (a hook's id), so that
  one hook's burst does not stand before another's delivery.
- A worker has up to ``SandboxLimits.batch`` tasks in hand. When it dies the first of them is why: that one fails. The
  others have not begun and go to another worker.
- A worker that died otherwise than by a time limit, or ran out of memory, may have been full of what came before:
  where it had done other tasks, the task gets a second chance in a fresh one; not so a filter or check of a lane, for
  which nobody waits that long.
- A lane whose task killed a worker is on probation until one of its tasks goes well: its tasks run one by one, filters
  and checks too, with no other in the same worker, and one worker that is up is always left to the others.

Limits (``SandboxLimits``): past ``waiting`` tasks a new one fails with ``busy``. ``PROBATIONS`` lanes are remembered.
After ``STARTS`` workers in a row that did not come up, all that waits fails with ``unavailable``; the next start is
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
    """Runs tasks in worker processes. Used on one event loop.

    ``counts`` is by task and what came of it; one that is given has a default of 0.
    """

    def __init__(
        self,
        limits: SandboxLimits | None = None,
        lua: LuaRules | None = None,
        counts: dict[tuple[str, str], int] | None = None,
    ) -> None:
        self._limits = limits or SandboxLimits()
        self._lua = lua or LuaRules()
        self.counts: dict[tuple[str, str], int] = Counter() if counts is None else counts
        self._urgent: deque[SandboxJob] = deque()
        self._lanes: OrderedDict[str, deque[SandboxJob]] = OrderedDict()
        self._waiting = 0
        self._workers: dict[SandboxWorker, asyncio.Task[None]] = {}
        self._engines: frozenset[Engine] = frozenset()
        self._probation: OrderedDict[str, None] = OrderedDict()
        self._failed_starts = 0
        self._paused: asyncio.TimerHandle | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._closed = False
        self._listener = Listener(progress=self._came_up, answered=self._answered, ended=self._ended)

    async def run(self, task: Task, lane: str = "") -> Result:
        """Do a task for ``lane`` and return its result. Cancelled, it takes the task back or forgets its answer."""
        result = await self._run(task, lane)
        outcome = result.reason if isinstance(result, Failed) else "done"
        self.counts[str(task.__struct_config__.tag), outcome] += 1
        return result

    async def close(self) -> None:
        """End every worker; what waits fails with ``closed``."""
        self._closed = True
        for timer in (self._paused, self._resting):
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
        """The ids of the processes that run now."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def _run(self, task: Task, lane: str) -> Result:
        if self._closed:
            return Failed("closed", "the sandbox is closed")
        if self._waiting >= self._limits.waiting:
            return Failed("busy", f"{self._waiting} tasks wait already")
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        try:
            job = make_job(task, lane, answer)
        except _UNSENDABLE as error:
            return Failed("data", f"the event cannot be handed to the sandbox: {error}")
        if len(job.frame) - HEADER > self._limits.task_bytes:
            return Failed("data", f"the event has more than {self._limits.task_bytes} bytes")
        self._put(job)
        self._pump()
        try:
            return await answer
        except asyncio.CancelledError:
            self._take_back(job)
            raise

    # What waits

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

    def _take_back(self, job: SandboxJob) -> None:
        for queue in (self._urgent, self._lanes.get(job.lane)):  # its lane may have gone on probation meanwhile
            if queue is not None and job in queue:
                queue.remove(job)
                self._waiting -= 1
                if not queue and queue is not self._urgent:
                    del self._lanes[job.lane]

    def _next(self, worker: SandboxWorker, room: int) -> list[SandboxJob]:
        """Take up to ``room`` jobs that ``worker`` can do, urgent ones first, then one of each lane in turn."""
        jobs: list[SandboxJob] = []
        while self._urgent and len(jobs) < room and self._urgent[0].engine in worker.engines:
            jobs.append(self._urgent.popleft())
        for lane in list(self._lanes):
            if len(jobs) >= room:
                break
            if self._lanes[lane][0].engine in worker.engines and not self._wants_a_worker(lane):
                jobs.append(self._from_lane(lane))
        self._waiting -= len(jobs)
        return jobs

    def _wants_a_worker(self, lane: str) -> bool:
        return lane in self._probation or self._lanes[lane][0].fresh

    def _from_lane(self, lane: str) -> SandboxJob:
        queue = self._lanes[lane]
        job = queue.popleft()
        if queue:
            self._lanes.move_to_end(lane)
        else:
            del self._lanes[lane]
        return job

    # Handing out

    def _pump(self) -> None:
        """Hand out what can be, and start what is missing."""
        if self._closed:
            return
        while self._waiting and self._hand_out():
            pass
        self._start_missing()
        self._rest_later()

    def _hand_out(self) -> bool:
        """Give each worker that has room some jobs; False where nothing could be given."""
        takers = sorted(filter(self._has_room, self._workers), key=lambda each: (len(each.jobs), each.done))
        if not takers:
            return False
        given = False
        lane = next(iter(self._lanes), None)
        if lane is not None and self._wants_a_worker(lane) and self._may_be_alone():
            given = self._give_alone(takers.pop(0), lane)
        for worker in takers:
            room = self._limits.batch - len(worker.jobs)
            jobs = self._next(worker, min(room, max(-(-self._waiting // len(takers)), 1)))
            if jobs:
                worker.send(jobs)
                given = True
        return given

    def _give_alone(self, worker: SandboxWorker, lane: str) -> bool:
        """Give ``worker`` up to the lane's next job, where it is free for it; it gets nothing else until it is."""
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
            and len(worker.jobs) < self._limits.batch
            and not (worker.jobs and worker.jobs[0].alone)
        )

    def _may_be_alone(self) -> bool:
        """Tell whether one more worker can be given up to a single task: one that is up is left to the others."""
        up = [worker for worker in self._workers if worker.is_open]
        alone = sum(1 for worker in up if worker.jobs and worker.jobs[0].alone)
        return len(up) - alone > min(1, self._limits.workers - 1)

    def _start_missing(self) -> None:
        """Start workers while there are tasks: one that is free, beside those that work. Let outdated ones go."""
        for worker in self._workers:
            if worker.idle and (self._is_outdated(worker) or self._is_in_the_way(worker)):
                worker.leave()
        if self._paused is not None or not (self._waiting or any(worker.jobs for worker in self._workers)):
            return
        staying = [worker for worker in self._workers if not worker.leaving]
        one_more = bool(self._lanes) and not self._may_be_alone()
        if len(staying) < self._limits.workers and all(each.jobs or (one_more and each.ready) for each in staying):
            self._start()

    def _is_outdated(self, worker: SandboxWorker) -> bool:
        """Tell whether a worker has done enough, or lacks an engine."""
        return worker.done >= self._limits.worker_tasks or not self._engines.issubset(worker.engines)

    def _is_in_the_way(self, worker: SandboxWorker) -> bool:
        """Tell whether a worker keeps a task that wants a fresh one from having it."""
        return worker.done > 0 and any(queue[0].fresh for queue in self._lanes.values())

    def _start(self) -> None:
        engines = tuple(engine for engine in _ENGINES if engine in self._engines)
        worker = SandboxWorker(Setup(engines=engines, limits=self._limits, lua=self._lua), self._listener)
        self._workers[worker] = asyncio.get_running_loop().create_task(worker.run())

    # What workers tell

    def _came_up(self, worker: SandboxWorker) -> None:
        self._failed_starts = 0
        self._pump()

    def _answered(self, worker: SandboxWorker, job: SandboxJob, result: Result) -> None:
        if isinstance(result, Failed) and result.reason == "memory":
            worker.leaving = True  # it ends by itself
            self._died_of(worker, job, result)
            return
        self._probation.pop(job.lane, None)
        _resolve(job, result)
        if len(worker.jobs) * 2 <= self._limits.batch:
            self._pump()

    def _ended(self, worker: SandboxWorker, reason: Reason, text: str) -> None:
        del self._workers[worker]
        jobs = list(worker.jobs)
        worker.jobs.clear()
        if jobs and worker.ready and not worker.leaving and not self._closed:
            log.warning("sandbox_worker_exited", reason=reason, hook_id=jobs[0].lane, task=jobs[0].kind)
            self._died_of(worker, jobs.pop(0), Failed(reason, text))
        elif not (worker.ready or worker.leaving or self._closed):
            self._did_not_start(text)
        self._put_back(jobs)
        self._pump()

    def _died_of(self, worker: SandboxWorker, job: SandboxJob, result: Failed) -> None:
        others = worker.done - 1 if result.reason == "memory" else worker.done
        self._on_probation(job.lane)
        hurried = job.lane != "" and job.kind in _URGENT
        if result.reason in _SECOND_CHANCE and others > 0 and not (hurried or job.fresh or job.answer.done()):
            job.fresh = True
            self._put_back([job])
        else:
            _resolve(job, result)

    def _on_probation(self, lane: str) -> None:
        self._probation[lane] = None
        self._probation.move_to_end(lane)
        if len(self._probation) > PROBATIONS:
            self._probation.popitem(last=False)

    def _did_not_start(self, text: str) -> None:
        self._failed_starts += 1
        log.error("sandbox_worker_start_failed", error=text, failures=self._failed_starts)
        if self._failed_starts >= STARTS:
            self._fail_waiting("unavailable", f"no sandbox can be started: {text}")
        pause = min(PAUSE_SECONDS * self._failed_starts, LONGEST_PAUSE_SECONDS)
        self._paused = asyncio.get_running_loop().call_later(pause, self._go_on)

    def _go_on(self) -> None:
        self._paused = None
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

    # Rest

    def _rest_later(self) -> None:
        if self._resting is None and self._workers:
            self._tasks_seen = self._tasks_done()
            self._resting = asyncio.get_running_loop().call_later(self._limits.idle_seconds, self._rest)

    def _rest(self) -> None:
        """End the workers where nothing was asked of them since the last look."""
        self._resting = None
        if self._waiting or any(worker.jobs for worker in self._workers) or self._tasks_done() != self._tasks_seen:
            self._rest_later()
            return
        for worker in self._workers:
            worker.leave()

    def _tasks_done(self) -> int:
        return sum(worker.done for worker in self._workers)

    _tasks_seen = 0


def _resolve(job: SandboxJob, result: Result) -> None:
    if not job.answer.done():
        job.answer.set_result(result)

"""The delivery worker: has due deliveries claimed, attempted and settled. The only place that retries.

It delivers its share: all hooks in the process that holds the lease (``leadership``), or those of this node where nodes
share the store (``membership``). A hook that moves is left to its new owner: what is claimed and not started is
released, what is under way ends here.

Each hook has a lane (``lanes``). Here is what wakes them: the queue announces work, something becomes due, or the poll
finds work of another process. Then ``claims`` claims and ``attempt_runs`` starts attempts. ``readiness`` decides
whether a hook may deliver, ``backoff`` what follows an outcome; ``settler`` writes outcomes in batches;
``endpoint_switch`` switches hooks off for their endpoints, and on again.

After a crash or an error of the store between sending and settling a lease expires, and the delivery is sent again
under the same id: at least once.

Limits are ``DeliveryLimits``; past them nothing is dropped, it waits in the queue.
"""

import asyncio
import random as random_module
import time
from collections.abc import Callable, Mapping

import structlog

from kong_eventhooks_plugin.background import SupervisedLoop, cancel
from kong_eventhooks_plugin.delivery.activity import Activity
from kong_eventhooks_plugin.delivery.attempt_ends import AttemptEnds
from kong_eventhooks_plugin.delivery.attempt_runs import AttemptRuns
from kong_eventhooks_plugin.delivery.attempts import Attempts
from kong_eventhooks_plugin.delivery.backoff import Random
from kong_eventhooks_plugin.delivery.breaker import Block
from kong_eventhooks_plugin.delivery.claims import Claims
from kong_eventhooks_plugin.delivery.delivery_spans import DeliverySpans
from kong_eventhooks_plugin.delivery.endpoint_breakers import EndpointBreakers
from kong_eventhooks_plugin.delivery.endpoint_health import EndpointHealthTracker
from kong_eventhooks_plugin.delivery.endpoint_switch import EndpointSwitch
from kong_eventhooks_plugin.delivery.hook_readiness import DeliveryReadiness, EndpointStanding
from kong_eventhooks_plugin.delivery.lanes import Lanes
from kong_eventhooks_plugin.delivery.leadership import Leadership
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.delivery.membership import Membership
from kong_eventhooks_plugin.delivery.ping_turns import PingTurns
from kong_eventhooks_plugin.delivery.pings import Pings
from kong_eventhooks_plugin.delivery.reports import DeliveryReporter, Incidents
from kong_eventhooks_plugin.delivery.settler import Settler
from kong_eventhooks_plugin.delivery.share import Share
from kong_eventhooks_plugin.delivery.waiting import Wait, pause, waiting
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.hooks.contract import ActiveHooks, HookChange
from kong_eventhooks_plugin.queue.contract import Clock, Queue
from kong_eventhooks_plugin.telemetry.metrics import Metrics

_DEFAULT_LIMITS = DeliveryLimits()

log = structlog.get_logger()


class DeliveryWorker:
    """``holder`` names this process in the lease. ``membership`` is there where nodes share the store.

    ``clock`` returns Unix seconds and ``wait`` goes with it; ``monotonic`` returns seconds of a clock that never jumps.
    ``spans`` is there where tracing is on. ``incidents`` takes what hooks can hear of. ``calls_waiting`` returns how
    many of Kong's calls wait for a commit.
    """

    def __init__(
        self,
        queue: Queue,
        active: ActiveHooks,
        handlers: Mapping[str, Handler],
        metrics: Metrics,
        limits: DeliveryLimits = _DEFAULT_LIMITS,
        *,
        holder: str,
        membership: Membership | None = None,
        clock: Clock = time.time,
        random: Random = random_module.random,
        wait: Wait | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        spans: DeliverySpans | None = None,
        incidents: Incidents | None = None,
        calls_waiting: Callable[[], int] = lambda: 0,
    ) -> None:
        self._queue = queue
        self._active = active
        self._limits = limits
        self._clock = clock
        self._wait = wait or waiting(clock)
        self._membership = membership
        self._wakeup = asyncio.Event()
        self._lanes = Lanes(limits)
        self._settler = Settler(queue, limits, clock, self._wait, on_flush=self._feed)
        self._health = EndpointHealthTracker(limits, self._settler.save_health)
        self._readiness = DeliveryReadiness(active, handlers, self._health, EndpointBreakers(limits.breaker), limits)
        self._reports = DeliveryReporter(metrics, active, incidents)
        self._leadership = Leadership(
            queue, holder, limits.leadership, clock, self._wait, won=self._won, lost=self._wakeup.set
        )
        self._share: Share = membership or self._leadership
        self._endpoints = EndpointSwitch(queue, self._health, self._share, self._reports, self._wakeup.set)
        self._claims = Claims(
            queue,
            self._lanes,
            self._readiness,
            self._health,
            self._settler,
            limits,
            clock,
            delivers=self.delivers,
            shared=membership is not None,
            claimed=self._feed,
        )
        self.activity = Activity(clock())
        self._runs = AttemptRuns(
            Attempts(queue, clock, monotonic, random, traced=spans is not None),
            AttemptEnds(self._settler, self._endpoints, self._reports, self.activity, spans),
            self._lanes,
            self._claims,
            self._readiness,
            self._settler,
            limits,
            clock,
            monotonic,
            delivers=self.delivers,
            calls_waiting=calls_waiting,
        )
        self._pings = Pings(
            active,
            handlers,
            lambda: self._working,
            clock,
            self._wait,
            self._endpoints.ping_arrived,
            owns=self._share.owns,
            turn=(lambda _: True) if membership is None else PingTurns(membership, clock),
        )
        self._owned: frozenset[str] = frozenset()
        self._draining = False
        self._next_poll = 0.0
        self._next_health = 0.0
        self._loops: list[asyncio.Task[None]] = []
        if membership is not None:
            membership.follow(self._read_health, self._moved, self._work_elsewhere)
        queue.on_work(self._work_added)
        queue.lease_to(self._claims)
        active.on_change(self._hooks_changed)

    async def run(self) -> None:
        """Deliver until ``drain`` has ended or this is cancelled; not at all where ``drain`` was called before."""
        if self._draining:
            return  # else it would hold the lease, and deliver nothing
        work = (self._leadership.keep, self._watch, self._settler.write)
        loop = SupervisedLoop("delivery loop", lambda: pause(self._wait, self._clock, self._limits.store_pause))
        self._loops = [asyncio.create_task(loop.run(each)) for each in work]
        try:
            await asyncio.wait(self._loops)
        finally:
            self._draining = True
            await self._runs.cancel()
            await cancel(*self._loops)
            await self._claims.finish(0)
            await self._pings.stop()

    async def drain(self, seconds: float) -> None:
        """Stop: claim nothing more, let attempts in flight end within ``seconds``, release the rest and the lease.

        Other nodes take the hooks over at once. An attempt that is cut off may have arrived; the next owner sends it
        again with the same id. May be called twice, or without ``run``.
        """
        self._draining = True
        if self._membership is not None:
            await self._membership.leave("leaving")
        if not self._loops:
            return
        until = self._clock() + seconds
        await self._claims.finish(seconds)
        for lane in self._lanes:
            self._claims.release(lane)
        await self._pings.stop()
        await self._wait(self._runs.idle, until)
        await self._runs.cancel()
        if not await self._settler.flush(self._clock() + self._limits.store_pause):
            log.warning("outcomes_unwritten")
        if self._membership is not None:
            await self._membership.leave("gone")
        await self._leadership.resign()
        self._reports.show_leading(value=False)
        self._reports.show_share(hooks=0, nodes=0)
        await cancel(*self._loops)

    def held_reason(self, hook_id: str) -> str | None:
        """Return why the hook's deliveries are held back now (``hook_readiness``), None where they are not."""
        verdict = self._readiness.check(hook_id, self._clock())
        return verdict.reason if isinstance(verdict, Block) else None

    def standing(self, hook_id: str) -> EndpointStanding:
        """Return since when the hook's endpoint fails, and until when it is spared."""
        return self._readiness.standing(hook_id, self._clock())

    def ping_changes(self, changes: list[HookChange]) -> None:
        """Ping the endpoints of hooks that were created, changed or deleted; call it when stored definitions change."""
        self._pings.add(changes)
        self._wakeup.set()

    async def enable(self, hook_id: str) -> bool:
        """Switch a hook on that was switched off for its endpoint; return whether it was off.

        To be called when the endpoint is known to work: a ping or a test arrived, or a person says so. Raises
        ``StoreUnavailable``.
        """
        return await self._endpoints.enable(hook_id)

    @property
    def leading(self) -> bool:
        """Whether this process does what is to be done by one."""
        return self._leadership.held

    @property
    def delivering(self) -> bool:
        """Whether this process delivers, all hooks or its share of them."""
        return self._share.held

    @property
    def _working(self) -> bool:
        return self._share.held and not self._draining

    def delivers(self, hook_id: str) -> bool:
        """Return whether this process delivers a hook, now."""
        return self._share.owns(hook_id) and not self._draining

    def _feed(self) -> None:
        self._runs.feed()

    # What wakes the worker.

    def _work_added(self, hook_id: str) -> None:
        if self._membership is not None and not self.delivers(hook_id):
            self._membership.wake(hook_id)
            return
        lane = self._lanes.lane(hook_id)
        lane.expect_work(self._clock())
        self._claims.consider(lane)

    def _hooks_changed(self, changes: list[HookChange]) -> None:
        self._endpoints.definitions_changed(changes)
        self._wakeup.set()

    async def _won(self) -> None:
        await self._read_health()
        self._poll_now()

    async def _read_health(self) -> None:
        self._health.load(await self._queue.endpoints())

    def _poll_now(self) -> None:
        self._next_poll = 0.0
        self._wakeup.set()

    def _work_elsewhere(self, hook_id: str) -> None:
        """Take the news that another process made work for a hook."""
        if self.delivers(hook_id):
            self._work_added(hook_id)
            read_for = self._clock() + self._limits.reread_health - self._next_health
            if self._health.disabled(hook_id) is not None and read_for >= self._limits.poll:
                self._next_health = 0.0  # it may have been enabled there
                self._poll_now()

    def _moved(self) -> None:
        """Leave the hooks that are not ours any more, and take up those that are."""
        for lane in self._lanes:
            if not self._share.owns(lane.hook_id):
                self._claims.release(lane)
        self._health.forget_others(self._share.owns)
        self._report_share()
        self._poll_now()

    def _report_share(self) -> None:
        before, owned = self._owned, frozenset(filter(self._share.owns, self._active.hooks()))
        if owned != before:
            self._owned = owned
            log.info("delivery_share_changed", hooks=len(owned), gained=len(owned - before), lost=len(before - owned))

    async def _watch(self) -> None:
        """Check all lanes whenever something is due or was announced."""
        while True:
            await self._wait(self._wakeup, self._next_check())
            self._wakeup.clear()
            now = self._clock()
            if now >= self._next_poll:
                self._next_poll = now + self._limits.poll
                await self._poll(now)
            for lane in self._lanes:
                self._claims.consider(lane)
            self._pings.send()
            self._lanes.prune()

    def _next_check(self) -> float:
        now = self._clock()
        # Never later than one poll from now: a clock that is set back must not postpone it.
        self._next_poll = min(self._next_poll, now + self._limits.poll)
        expected = [lane.check_at for lane in self._lanes if lane.check_at is not None and lane.check_at > now]
        return min([self._next_poll, *expected])

    async def _poll(self, now: float) -> None:
        self._reports.show_leading(value=self._leadership.held and not self._draining)
        self._show_share()
        if not self._working:
            return
        try:
            # Never later than one period from now, for the same reason.
            waits = now < self._next_health <= now + self._limits.reread_health
            if not waits and not self._settler.busy:
                self._next_health = now + self._limits.reread_health
                await self._reread_health()
            for work in await self._queue.work():
                if self._share.owns(work.hook_id):
                    self._lanes.lane(work.hook_id).expect_work(work.due_at)
        except QueueError as error:
            log.warning("queue_poll_failed", error=type(error).__name__)
        self._readiness.prune(now)

    def _show_share(self) -> None:
        hooks, membership = self._active.hooks(), self._membership
        if membership is None:
            self._reports.show_share(hooks=len(hooks) if self._working else 0, nodes=int(self._working))
        else:
            live = {node.id for node in membership.distribution.live} if self._working else ()
            self._reports.show_share(hooks=sum(map(self.delivers, hooks)), nodes=len(live))

    async def _reread_health(self) -> None:
        writes = self._health.writes
        stored = await self._queue.endpoints()
        if writes == self._health.writes:
            self._health.load(stored)

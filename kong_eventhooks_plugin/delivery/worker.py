"""The delivery worker: claims due deliveries, attempts and settles them. The only place that retries.

It delivers its share: all hooks in the process that holds the lease (``leadership``), or those of this node where nodes
share the store (``membership``). A hook that moves is left to its new owner: what is claimed and not started is
released, what is under way ends here.

Each hook has a lane (``lanes``). Where nothing of it waits in the queue, a lane gets new deliveries with the
transaction that accepts them (``queue.contract.Taker``); else it claims in small batches, when the queue announces
work, when something becomes due, or when the poll finds work of another process. An ordered hook's lane has one
delivery at a time: the first unsettled one, after the outcome of the one before it is committed. ``readiness`` decides
whether a hook may deliver, ``backoff`` what follows an outcome; ``settler`` writes outcomes in batches.

A claimed delivery is leased for ``lease`` seconds. After a crash or an error of the store between sending and settling
the lease expires, and the delivery is sent again under the same id: at least once.

Limits are ``DeliveryLimits``; past them nothing is dropped, it waits in the queue.
"""

import asyncio
import random as random_module
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import takewhile
from typing import Any, cast

import structlog

from kong_eventhooks_plugin.background import SupervisedLoop, TaskSet, cancel
from kong_eventhooks_plugin.delivery.activity import Activity, PastAttempt
from kong_eventhooks_plugin.delivery.attempts import AttemptResult, Attempts
from kong_eventhooks_plugin.delivery.backoff import Random
from kong_eventhooks_plugin.delivery.breaker import Block
from kong_eventhooks_plugin.delivery.concurrency_throttle import BEAT, HANGING, ConcurrencyThrottle
from kong_eventhooks_plugin.delivery.delivery_spans import DeliverySpans
from kong_eventhooks_plugin.delivery.endpoint_breakers import EndpointBreakers
from kong_eventhooks_plugin.delivery.endpoint_health import EndpointHealthTracker
from kong_eventhooks_plugin.delivery.hook_readiness import REMOVED, DeliveryReadiness, EndpointStanding, Ready
from kong_eventhooks_plugin.delivery.hook_rules import attempt_seconds, concurrency, is_ordered
from kong_eventhooks_plugin.delivery.lanes import Claimed, Lane, Lanes
from kong_eventhooks_plugin.delivery.leadership import Leadership
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.delivery.membership import Membership
from kong_eventhooks_plugin.delivery.ping_turns import PingTurns
from kong_eventhooks_plugin.delivery.pings import Pings
from kong_eventhooks_plugin.delivery.reports import DeliveryReporter, Incidents
from kong_eventhooks_plugin.delivery.settler import Settler
from kong_eventhooks_plugin.delivery.share import Share
from kong_eventhooks_plugin.delivery.start_pacing import pause_between_starts
from kong_eventhooks_plugin.delivery.waiting import Wait, pause, waiting
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.hooks.contract import ActiveHooks, HookChange
from kong_eventhooks_plugin.model.delivery import Delivered, Delivery, Retry
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import NO_ROOM, Clock, EndpointHealth, Queue, Room, Settlement
from kong_eventhooks_plugin.telemetry.metrics import Metrics

ENDPOINT_ERRORS = frozenset({"connect", "tls", "timeout", "status", "redirect", "rejected", "protocol"})
"""Errors of the endpoint; others (config, template, internal, address_refused) do not concern its health."""

MAX_REMOVED = 1_000
"""How many removed definitions are kept, to see whether one is added again with changes."""

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
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._wait = wait or waiting(clock)
        self._calls_waiting = calls_waiting
        self._wakeup = asyncio.Event()
        self._attempts = Attempts(queue, limits, clock, monotonic, random, traced=spans is not None)
        self._spans = spans
        self._task_set = TaskSet()  # one claim or one fail_pending a lane
        self._throttle = ConcurrencyThrottle(limits.total)
        self._lanes = Lanes(limits)
        self._settler = Settler(queue, limits, clock, self._wait, on_flush=self._feed)
        self._health = EndpointHealthTracker(limits, self._settler.save_health)
        self._readiness = DeliveryReadiness(active, handlers, self._health, EndpointBreakers(limits.breaker))
        self._reports = DeliveryReporter(metrics, active, incidents)
        self._leadership = Leadership(
            queue, holder, limits.leadership, clock, self._wait, won=self._won, lost=self._wakeup.set
        )
        self._active = active
        self._membership = membership
        self._share: Share = membership or self._leadership
        if membership is not None:
            membership.follow(self._read_health, self._moved, self._work_elsewhere)
        self._owned: frozenset[str] = frozenset()
        self._pings = Pings(
            active,
            handlers,
            lambda: self._working,
            clock,
            self._wait,
            self._ping_arrived,
            owns=self._share.owns,
            turn=(lambda _: True) if membership is None else PingTurns(membership, clock),
        )
        self.activity = Activity(clock())
        self._draining = False
        self._feeding = False
        self._started_at = 0.0  # of the loop's clock
        self._measuring = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._next_poll = 0.0
        self._next_health = 0.0
        self._loops: list[asyncio.Task[None]] = []
        self._in_flight: dict[asyncio.Task[None], tuple[float, Lane]] = {}  # since when, the oldest first
        self._removed: OrderedDict[str, Hook] = OrderedDict()
        queue.on_work(self._work_added)
        queue.lease_to(self)
        active.on_change(self._hooks_changed)

    async def run(self) -> None:
        """Deliver until ``drain`` has ended or this is cancelled."""
        work = (self._leadership.keep, self._watch, self._settler.write)
        loop = SupervisedLoop("delivery loop", lambda: pause(self._wait, self._clock, self._limits.store_pause))
        self._loops = [asyncio.create_task(loop.run(each)) for each in work]
        try:
            await asyncio.wait(self._loops)
        finally:
            self._draining = True
            await cancel(*self._in_flight, *self._loops)
            await self._task_set.finish(0)
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
        await self._task_set.finish(seconds)
        for lane in self._lanes:
            self._release(lane)
        await self._pings.stop()
        await self._wait(self._idle, until)
        await cancel(*self._in_flight)
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

        To be called when the endpoint is known to work: a ping or a test arrived, or a person says so. It is
        stored on return; the process that delivers, where it is another one, reads it soon, at the latest every
        ``reread_health``. Raises ``StoreUnavailable``.
        """
        known = [self._health.of(hook_id)]
        self._health.enable(hook_id)
        known += [health for health in await self._queue.endpoints() if health.hook_id == hook_id]
        was_off = next((health for health in known if health.disabled is not None), None)
        if was_off is not None:
            await self._queue.save_endpoint(EndpointHealth(hook_id))
            self._reports.hook_enabled(was_off)
        self._health.mark_enable_stored(hook_id)
        self._share.wake(hook_id)
        self._wakeup.set()
        return was_off is not None

    def _ping_arrived(self, hook_id: str) -> None:
        was = self._health.of(hook_id)
        if self._health.enable(hook_id):
            self._reports.hook_enabled(was)
            self._wakeup.set()

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

    # What wakes the worker.

    def _work_added(self, hook_id: str) -> None:
        if self._membership is not None and not self.delivers(hook_id):
            self._membership.wake(hook_id)
            return
        lane = self._lanes.lane(hook_id)
        lane.expect_work(self._clock())
        self._consider(lane)

    def _hooks_changed(self, changes: list[HookChange]) -> None:
        """Switch hooks on whose definition has changed since they were switched off."""
        for change in changes:
            if change.after is None:
                if change.before is not None:
                    self._removed[change.before.id] = change.before
                continue
            before = change.before or self._removed.pop(change.after.id, None)
            if before is not None and not before.same_definition(change.after):
                self._health.enable(change.after.id)
        while len(self._removed) > MAX_REMOVED:
            self._removed.popitem(last=False)
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
                self._release(lane)
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
                self._consider(lane)
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

    # Claiming.

    def room(self, hook_id: str) -> Room:
        """Return how many new deliveries of a hook to lease: none where others may be due before them."""
        if not self.delivers(hook_id) or self._settler.full:
            return NO_ROOM
        lane, now = self._lanes.lane(hook_id), self._clock()
        if lane.claiming or (lane.check_at is not None and lane.check_at <= now):
            return NO_ROOM
        verdict = self._readiness.check(hook_id, now)
        if isinstance(verdict, Block) or (verdict.breaker is not None and verdict.breaker.probes(now)):
            return NO_ROOM
        self._apply_rules(lane, verdict)
        if lane.in_order:
            return NO_ROOM
        return Room(self._lanes.room(lane), self._lease_of(verdict))

    def taken(self, hook_id: str, deliveries: Sequence[Delivery], until: float) -> None:
        lane = self._lanes.lane(hook_id)
        self._lanes.put(lane, [Claimed(delivery, until) for delivery in deliveries])
        if self._working:
            self._feed()
        else:
            self._release(lane)

    def _consider(self, lane: Lane) -> None:
        """Claim for a lane where work is expected, there is room, and its hook may deliver."""
        if not self.delivers(lane.hook_id):
            self._release(lane)
            if self._membership is not None:  # whoever delivers it expects its work
                lane.check_at = lane.missing_since = None
            return
        now = self._clock()
        if lane.claiming or lane.check_at is None or lane.check_at > now or self._settler.full:
            return
        room = self._lanes.room(lane)
        if room == 0:
            return
        verdict = self._readiness.check(lane.hook_id, now)
        if isinstance(verdict, Block):
            self._blocked(lane, verdict, now)
            return
        self._apply_rules(lane, verdict)
        room = self._lanes.room(lane)
        if verdict.breaker is not None and verdict.breaker.probes(now):
            room = min(room, 1)
        if room > 0:
            self._run(lane, self._claim(lane, room, self._lease_of(verdict)))

    def _apply_rules(self, lane: Lane, ready: Ready) -> None:
        """Adopt what the hook's definition says now of its deliveries in flight."""
        lane.most = concurrency(ready.config, self._limits.per_hook)
        in_order = is_ordered(ready.config)
        if in_order != lane.in_order:
            self._release(lane)
            lane.in_order = in_order

    def _blocked(self, lane: Lane, block: Block, now: float) -> None:
        """Release what was claimed, and check again when the reason may have ended."""
        self._release(lane)
        if block.until is not None:
            lane.check_at = block.until
        if block.reason != REMOVED:
            lane.missing_since = None
            return
        lane.missing_since = now if lane.missing_since is None else min(lane.missing_since, now)
        if now - lane.missing_since >= self._limits.removed_grace:
            self._run(lane, self._fail_pending(lane))

    def _run(self, lane: Lane, work: Coroutine[Any, Any, None]) -> None:
        """Start a lane's claim, or what ends its deliveries; it resets ``claiming``."""
        lane.claiming, lane.check_at, lane.missing_since = True, None, None
        self._task_set.run(work)

    def _longest(self, ready: Ready) -> float:
        """Return how long an attempt can last."""
        return attempt_seconds(ready.config, self._limits.attempt) + self._limits.margin

    def _lease_of(self, ready: Ready) -> float:
        return max(self._limits.lease, 3 * self._longest(ready))

    async def _claim(self, lane: Lane, room: int, lease: float) -> None:
        now = self._clock()
        try:
            if lane.in_order:
                found = await self._queue.claim_first(lane.hook_id, lease)
            else:
                found = await self._queue.claim(lane.hook_id, room, lease)
        except QueueError as error:
            log.warning("claim_failed", error=type(error).__name__)
            lane.expect_work(now + self._limits.store_pause)
            return
        finally:
            lane.claiming = False
        self._lanes.put(lane, [Claimed(delivery, now + lease) for delivery in found])
        if len(found) == room and not lane.in_order:
            lane.expect_work(now)
        self._feed()
        self._consider(lane)

    async def _fail_pending(self, lane: Lane) -> None:
        """Fail the deliveries of a hook that has been missing for a while.

        Not those of a stored hook: it is not read here yet, or another process over the store knows it.
        """
        try:
            if any(hook.id == lane.hook_id for hook in await self._queue.definitions()):
                lane.missing_since = None
                lane.expect_work(self._clock() + self._limits.removed_grace)
                return
            count = await self._queue.fail_pending(lane.hook_id, REMOVED)
        except QueueError as error:
            log.warning("removed_hook_cleanup_failed", hook_id=lane.hook_id, error=type(error).__name__)
        else:
            self._health.enable(lane.hook_id)
            log.warning("removed_hook_deliveries_dead", hook_id=lane.hook_id, deliveries=count)
        finally:
            lane.claiming = False

    def _release(self, lane: Lane) -> None:
        """Release what was claimed and not started, as it was."""
        for claimed in self._lanes.release_waiting(lane):
            self._release_one(claimed.delivery)

    def _release_one(self, delivery: Delivery) -> None:
        self._settler.settle(Settlement(delivery.id, "pending", None, due_at=delivery.due_at))

    # Attempts.

    def _feed(self) -> None:
        """Start attempts, a few in each iteration of the loop: it serves Kong's socket as well."""
        for _ in range(self._limits.starts_per_iteration):
            if (taken := self._next()) is None:
                return
            self._start(*taken)
        self._feed_at(0.0)

    def _next(self) -> tuple[Lane, Claimed] | None:
        """Return what to start now, None where nothing may start."""
        if not self._lanes.any_ready:
            return None
        loop = asyncio.get_running_loop()
        pause = pause_between_starts(self._calls_waiting())
        if pause and (due := self._started_at + pause) > loop.time():
            self._feed_at(due)
            return None
        if self._settler.full or not self._working or (taken := self._lanes.next()) is None:
            return None
        self._started_at = loop.time()
        return taken

    def _feed_at(self, due: float) -> None:
        if not self._feeding:
            self._feeding = True
            asyncio.get_running_loop().call_at(due, self._feed_later)

    def _feed_later(self) -> None:
        self._feeding = False
        self._feed()

    def _measure_lag(self) -> None:
        """Measure how late the loop is, as long as attempts are in flight."""
        if not self._measuring:
            self._measuring = True
            loop = asyncio.get_running_loop()
            due = loop.time() + BEAT
            loop.call_at(due, self._beat, due)

    def _beat(self, due: float) -> None:
        self._measuring = False
        began_before = self._monotonic() - HANGING
        hanging = sum(1 for _ in takewhile(lambda began: began[0] <= began_before, self._in_flight.values()))
        self._throttle.beat(asyncio.get_running_loop().time() - due, hanging)
        self._lanes.ceiling = self._throttle.ceiling
        if self._in_flight:
            self._measure_lag()
            self._feed()

    def _start(self, lane: Lane, claimed: Claimed) -> None:
        ready = self._begun(lane, claimed)
        if ready is not None:
            task = asyncio.create_task(self._run_attempts(lane, claimed.delivery, ready))
            self._in_flight[task] = self._monotonic(), lane
            task.add_done_callback(self._ended)

    def _begun(self, lane: Lane, claimed: Claimed) -> Ready | None:
        """Begin an attempt, or release the delivery where there may be none."""
        now = self._clock()
        verdict = self._readiness.check(lane.hook_id, now)
        if (
            isinstance(verdict, Block)
            or not self._share.owns(lane.hook_id)
            or now > claimed.until - self._longest(verdict)
            or lane.in_order != is_ordered(verdict.config)
            or not (verdict.breaker is None or verdict.breaker.start(now))
        ):
            self._release_one(claimed.delivery)
            self._lanes.done(lane)
            self._release(lane)
            lane.expect_work(now)
            return None
        self._idle.clear()
        self._measure_lag()
        return verdict

    async def _run_attempts(self, lane: Lane, delivery: Delivery, ready: Ready) -> None:
        """Make an attempt and, while each had an answer to wait for, the next one: a task costs more than a turn."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        while await self._attempt(lane, delivery, ready):
            del self._in_flight[task]
            self._lanes.done(lane)
            ended, taken = lane, self._next()
            begun = None
            if taken is not None:
                lane, claimed = taken
                delivery, begun = claimed.delivery, self._begun(lane, claimed)
            if begun is not None:
                ready, self._in_flight[task] = begun, (self._monotonic(), lane)
            self._consider(ended)
            if begun is None:
                return
            if self._lanes.any_ready:
                self._feed()

    async def _attempt(self, lane: Lane, delivery: Delivery, ready: Ready) -> bool:
        """Make one attempt and settle it; return whether it had an answer to wait for."""
        try:
            made = await self._attempts.make(delivery, ready)
        except asyncio.CancelledError:
            if ready.breaker is not None:
                ready.breaker.abandon()
            self._release_one(delivery)
            raise
        settlement = made.decision.settlement
        self._settler.settle(settlement, prompt=lane.in_order)
        if lane.in_order:
            lane.check_at = None  # until this is on record, it is the first
        if settlement.due_at is not None:
            lane.expect_work(settlement.due_at)
        self._update_endpoint(ready, made)
        self._reports.attempted(ready.hook, delivery, made.outcome, settlement, made.at)
        if (attempt := settlement.attempt) is not None:
            past = PastAttempt(made.at, attempt.outcome, attempt.error, attempt.status, delivery.id)
            self.activity.record(delivery.hook_id, past)
        if self._spans is not None and made.span_id is not None:
            self._spans.attempted(made.span_id, delivery, ready, settlement)
        return isinstance(made.outcome, Delivered) and ready.breaker is not None

    def _ended(self, task: "asyncio.Task[None]") -> None:
        _, lane = self._in_flight.pop(task, (0.0, None))
        if lane is not None:
            self._lanes.done(lane)
        if not self._in_flight:
            self._idle.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("attempt_unsettled", exc_info=error)
        self._feed()
        if lane is not None:
            self._consider(lane)

    def _update_endpoint(self, ready: Ready, made: AttemptResult) -> None:
        """Update breaker and health; switch the hook off where that follows."""
        breaker = ready.breaker
        if not self._share.owns(ready.hook.id):
            if breaker is not None:
                breaker.abandon()
            return  # its owner judges
        if made.decision.disable and self._health.disable_gone(ready.hook.id, made.at):
            self._reports.hook_disabled(ready.hook, self._health.of(ready.hook.id))
        if breaker is None:
            return
        ok = isinstance(made.outcome, Delivered)
        if not ok and not (isinstance(made.outcome, Retry) and made.outcome.error in ENDPOINT_ERRORS):
            breaker.abandon()
            return
        if made.decision.hold_until is not None:
            breaker.hold(made.at, made.decision.hold_until)
        was_closed = breaker.state == "closed"
        breaker.record(made.at, ok=ok)
        if self._health.note(ready.hook.id, made.at, ok=ok):
            self._reports.hook_disabled(ready.hook, self._health.of(ready.hook.id))
        if not (was_closed and ok):
            # A breaker or a hold may have changed: some lanes must stop now, or may go on.
            self._wakeup.set()

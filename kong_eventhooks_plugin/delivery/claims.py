"""Claims what is due of each hook: in small batches, or new deliveries with the transaction that accepts them.

A lane is given new deliveries at once where nothing of its hook waits in the queue (``queue.contract.Taker``). Else it
claims when work is expected of it, when it has room, and when its hook may deliver. An ordered hook's lane has one
delivery at a time: the first unsettled one, after the outcome of the one before it is committed.

A claimed delivery is leased for ``lease`` seconds, or three times as long as an attempt may last. What is claimed and
not started is released where its hook may not go on, or is another node's.

Limits: those of ``lanes``; past them the rest waits in the queue.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from kong_eventhooks_plugin.background import TaskSet
from kong_eventhooks_plugin.delivery.breaker import Block
from kong_eventhooks_plugin.delivery.endpoint_health import EndpointHealthTracker
from kong_eventhooks_plugin.delivery.hook_readiness import REMOVED, DeliveryReadiness, Ready
from kong_eventhooks_plugin.delivery.lanes import Claimed, Lane, Lanes
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.delivery.settler import Settler
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.queue.contract import NO_ROOM, Clock, Queue, Room, Taker

log = structlog.get_logger()


class Claims(Taker):
    """``delivers`` says whether this process delivers a hook, now; ``shared``: another node may.

    ``claimed`` is called when there may be attempts to start.
    """

    def __init__(
        self,
        queue: Queue,
        lanes: Lanes,
        readiness: DeliveryReadiness,
        health: EndpointHealthTracker,
        settler: Settler,
        limits: DeliveryLimits,
        clock: Clock,
        *,
        delivers: Callable[[str], bool],
        shared: bool,
        claimed: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._lanes = lanes
        self._readiness = readiness
        self._health = health
        self._settler = settler
        self._limits = limits
        self._clock = clock
        self._delivers = delivers
        self._shared = shared
        self._claimed = claimed
        self._tasks = TaskSet()  # one claim or one fail_pending a lane

    async def finish(self, seconds: float) -> None:
        """Let what is under way end within the seconds; cancel the rest."""
        await self._tasks.finish(seconds)

    # Taker.

    def room(self, hook_id: str) -> Room:
        """Return how many new deliveries of a hook to lease: none where others may be due before them."""
        if not self._delivers(hook_id) or self._settler.full:
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
        return Room(self._lanes.room(lane), verdict.rules.lease)

    def taken(self, hook_id: str, deliveries: Sequence[Delivery], until: float) -> None:
        lane = self._lanes.lane(hook_id)
        self._lanes.put(lane, [Claimed(delivery, until) for delivery in deliveries])
        if self._delivers(hook_id):
            self._claimed()
        else:
            self.release(lane)

    # Claims.

    def consider(self, lane: Lane) -> None:
        """Claim for a lane where work is expected, there is room, and its hook may deliver."""
        if not self._delivers(lane.hook_id):
            self.release(lane)
            if self._shared:  # whoever delivers it expects its work
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
            self._run(lane, self._claim(lane, room, verdict.rules.lease))

    def release(self, lane: Lane) -> None:
        """Release what was claimed and not started, as it was."""
        for claimed in self._lanes.release_waiting(lane):
            self._settler.release(claimed.delivery)

    def _apply_rules(self, lane: Lane, ready: Ready) -> None:
        """Adopt what the hook's definition says now of its deliveries in flight."""
        lane.most = ready.rules.concurrency
        if ready.rules.ordered != lane.in_order:
            self.release(lane)
            lane.in_order = ready.rules.ordered

    def _blocked(self, lane: Lane, block: Block, now: float) -> None:
        """Release what was claimed, and check again when the reason may have ended."""
        self.release(lane)
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
        self._tasks.run(work)

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
        self._claimed()
        self.consider(lane)

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

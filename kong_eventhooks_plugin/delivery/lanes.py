"""Lanes: what every hook has under way, and which hook is next. Pure; no I/O, no tasks.

Each hook has its own lane, so an endpoint that hangs fills its lane and no other. Lanes are served in turn. Where the
total is too small for all busy lanes, each has an equal share of it; an eighth of the total is kept for lanes that
have nothing in flight, so that many hanging endpoints do not stop the others.

Limits: ``per_hook`` in flight in a lane, or what its hook asks for (``Lane.most``), ``total`` in all;
``waiting_per_hook`` claimed and not started, or up to ``waiting_alone`` as long as ``waiting_shared`` is enough for all
busy lanes: past it nothing more is claimed and the rest stays in the queue.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.model.delivery import Delivery


class Claimed(msgspec.Struct, frozen=True):
    """A delivery that this process holds until ``until`` (Unix seconds)."""

    delivery: Delivery
    until: float


class Lane:
    """One hook's lane. ``check_at`` is when there may be something to claim; None: nothing is expected.

    ``most`` is how many it may have in flight. ``in_order``: one at a time, claimed in the order of acceptance.
    """

    def __init__(self, hook_id: str, most: int) -> None:
        self.hook_id = hook_id
        self.most = most
        self.in_flight = 0
        self.waiting: deque[Claimed] = deque()
        self.check_at: float | None = None
        self.claiming = False
        self.missing_since: float | None = None
        self.is_ready = False
        self.has_share = False
        self.in_order = False

    def expect_work(self, at: float) -> None:
        self.check_at = at if self.check_at is None else min(self.check_at, at)

    @property
    def busy(self) -> bool:
        """Whether it has a share of the total."""
        return bool(self.waiting) or self.in_flight > 0


class Lanes:
    def __init__(self, limits: DeliveryLimits) -> None:
        self._limits = limits
        self._lanes: dict[str, Lane] = {}
        self._ready_lanes: deque[Lane] = deque()
        self._busy = 0
        self.in_flight = 0
        self._ceiling = self._each = limits.total

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    def lane(self, hook_id: str) -> Lane:
        """Return a hook's lane, a new one where it has none."""
        lane = self._lanes.get(hook_id)
        if lane is None:
            lane = self._lanes[hook_id] = Lane(hook_id, self._limits.per_hook)
        return lane

    @property
    def ceiling(self) -> int:
        """How many may be in flight in all, now; never over ``total``."""
        return self._ceiling

    @ceiling.setter
    def ceiling(self, most: int) -> None:
        raised, self._ceiling = most > self._ceiling, most
        self._divide()
        if raised:
            for lane in self._lanes.values():
                self._make_ready(lane)

    def share(self, lane: Lane) -> int:
        """Return how many a lane may have in flight now."""
        return min(lane.most, self._each)

    def room(self, lane: Lane) -> int:
        """Return how many may be claimed; 0 while enough of them wait, so that claims come in batches."""
        if lane.in_order:
            return 0 if lane.busy else 1
        may_wait = self._may_wait()
        if len(lane.waiting) > may_wait // 2:
            return 0
        return max(0, may_wait + lane.most - len(lane.waiting) - lane.in_flight)

    def _may_wait(self) -> int:
        """Return how many of one lane may be claimed and not started now."""
        limits = self._limits
        share = min(limits.waiting_alone, limits.waiting_shared // max(1, self._busy))
        return max(limits.waiting_per_hook, share)

    def put(self, lane: Lane, claimed: Iterable[Claimed]) -> None:
        """Add claimed deliveries to a lane."""
        lane.waiting.extend(claimed)
        self._changed(lane)

    def next(self) -> tuple[Lane, Claimed] | None:
        """Return the next to start, which is then in flight; None where none may start."""
        free = self._ceiling - self.in_flight
        for _ in range(len(self._ready_lanes) if free > 0 else 0):
            lane = self._ready_lanes.popleft()
            if lane.in_flight and free <= self._ceiling // 8:
                self._ready_lanes.append(lane)
                continue
            lane.is_ready = False
            if lane.waiting and lane.in_flight < self.share(lane):
                claimed = lane.waiting.popleft()
                lane.in_flight += 1
                self.in_flight += 1
                self._make_ready(lane)
                return lane, claimed
        return None

    @property
    def any_ready(self) -> bool:
        """Whether a lane may have one to start."""
        return bool(self._ready_lanes)

    def done(self, lane: Lane) -> None:
        """Note that one in flight has ended."""
        lane.in_flight -= 1
        self.in_flight -= 1
        self._changed(lane)

    def release_waiting(self, lane: Lane) -> list[Claimed]:
        """Remove and return all that waits in a lane."""
        waiting = list(lane.waiting)
        lane.waiting.clear()
        self._changed(lane)
        return waiting

    def prune(self) -> None:
        """Forget lanes in which nothing is and nothing is expected."""
        for lane in list(self._lanes.values()):
            if not (lane.busy or lane.claiming or lane.check_at is not None or lane.missing_since is not None):
                del self._lanes[lane.hook_id]

    def _changed(self, lane: Lane) -> None:
        if lane.busy != lane.has_share:
            lane.has_share = not lane.has_share
            self._busy += 1 if lane.has_share else -1
            self._divide()
        self._make_ready(lane)

    def _divide(self) -> None:
        self._each = max(1, self._ceiling // max(1, self._busy))

    def _make_ready(self, lane: Lane) -> None:
        # A lane at its share is skipped until one of its own has ended, or its share has grown.
        if lane.waiting and not lane.is_ready and lane.in_flight < self.share(lane):
            lane.is_ready = True
            self._ready_lanes.append(lane)

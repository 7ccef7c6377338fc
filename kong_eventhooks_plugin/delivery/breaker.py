"""A breaker for each hook's endpoint: when it is spared, and when a probe may show that it has recovered. Pure.

======== ============== ============================================================
state    input          next state
======== ============== ============================================================
closed   too_many       open: at least so many attempts in the window, too many failed
open     rested         half_open: the rest is over
half_open succeeded     closed, with an empty window
half_open failed        open, for another rest
======== ============== ============================================================

Any other input keeps the state. Apart from it, an endpoint can be held until a time (after a time-out, a 429):
nothing is sent then, and the state stays. All hooks with that endpoint share a hold, not the state: where the endpoint
refuses one hook's path or payload, that hook's probes would block the others for as long as it fails.

Limits: the window is ``SLICES`` pairs of numbers, whatever the traffic. A probe that never ends counts as lost after
another ``rest``. What lasts until a time also ends where the clock has been set back by more than ``CLOCK_SLACK``
seconds since it began: else an hour's correction would be an hour without deliveries. An open breaker without an
attempt for ``UNUSED_SECONDS`` is forgotten: its hook was removed, or has another endpoint.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from kong_eventhooks_plugin.delivery.limits import BreakerPolicy

State = Literal["closed", "open", "half_open"]
Input = Literal["too_many", "rested", "succeeded", "failed"]

TRANSITIONS: Mapping[tuple[State, Input], State] = {
    ("closed", "too_many"): "open",
    ("open", "rested"): "half_open",
    ("half_open", "succeeded"): "closed",
    ("half_open", "failed"): "open",
}

SLICES = 30
CLOCK_SLACK = 60.0
UNUSED_SECONDS = 2 * 86_400.0
"""More than the longest pause between two attempts."""


class Block(msgspec.Struct, frozen=True):
    """Why nothing may be sent, and until when (Unix seconds); None: until something else happens."""

    reason: str
    until: float | None


class AttemptWindow:
    """Successes and failures of the last ``seconds``, in ``SLICES`` slices."""

    def __init__(self, seconds: float) -> None:
        self._slice = seconds / SLICES
        self._counts: dict[int, list[int]] = {}
        self.has_failures = False
        """Whether one may be in the window."""

    def add(self, now: float, *, ok: bool) -> None:
        """Count one attempt."""
        at = int(now / self._slice)
        if at not in self._counts:
            self._counts = {key: count for key, count in self._counts.items() if at - SLICES < key <= at}
            self._counts[at] = [0, 0]
            self.has_failures = any(count[False] for count in self._counts.values())
        self._counts[at][ok] += 1
        self.has_failures |= not ok

    def totals(self, now: float) -> tuple[int, int]:
        """Return (failures, attempts) of the window that ends now."""
        at = int(now / self._slice)
        recent = [count for key, count in self._counts.items() if at - SLICES < key <= at]
        return sum(count[False] for count in recent), sum(map(sum, recent))


class Hold:
    """Until when nothing is sent to an endpoint."""

    def __init__(self) -> None:
        self._at = 0.0
        self.until = 0.0

    def extend(self, now: float, until: float) -> None:
        """Hold the endpoint until then (Unix seconds); never shortens a hold that lasts."""
        self._at, self.until = now, max(until, self.until) if self.lasts(now) else until

    def lasts(self, now: float) -> bool:
        return _lasts(self._at, self.until, now)


class Breaker:
    """The state of one hook's endpoint, and the ``hold`` that it shares."""

    def __init__(self, policy: BreakerPolicy, hold: Hold | None = None) -> None:
        self._policy = policy
        self._hold = hold or Hold()
        self._window = AttemptWindow(policy.window)
        self._opened_at = 0.0
        self._probing_at: float | None = None
        self._quiet_since = 0.0
        self._under_way = 0
        self.state: State = "closed"

    def block(self, now: float) -> Block | None:
        """Return why nothing may be sent to the endpoint now, None where it may."""
        if self.state == "closed" and now >= self._hold.until:
            return None
        if self._hold.lasts(now):
            return Block("endpoint_held", self._hold.until)
        rested_at = self._opened_at + self._policy.rest
        if self.state == "open" and _lasts(self._opened_at, rested_at, now):
            return Block("breaker_open", rested_at)
        if self.state == "half_open" and self._probing(now):
            return Block("breaker_probing", None)
        return None

    def probes(self, now: float) -> bool:
        """Return whether the next attempt is a probe, which must be the only one."""
        return self.state == "half_open" or (self.state == "open" and self.block(now) is None)

    def start(self, now: float) -> bool:
        """Begin one attempt; False where none may be made. ``record`` or ``abandon`` must follow."""
        if self.block(now) is not None:
            return False
        if self.state == "open":
            self._move("rested", now)
        if self.state == "half_open":
            self._probing_at = now
        self._under_way += 1
        return True

    def record(self, now: float, *, ok: bool) -> None:
        """Count how an attempt ended."""
        self._ended()
        self._quiet_since = now
        self._window.add(now, ok=ok)
        if self.state == "closed":
            if not self._window.has_failures:
                return
            failed, attempts = self._window.totals(now)
            if attempts >= self._policy.attempts and failed >= attempts * self._policy.failures:
                self._move("too_many", now)
        else:
            self._move("succeeded" if ok else "failed", now)

    def abandon(self) -> None:
        """End an attempt that was not made, or whose end does not depend on the endpoint."""
        self._ended()

    def hold(self, now: float, until: float) -> None:
        """Hold the endpoint for every hook until then (Unix seconds)."""
        self._hold.extend(now, until)

    def forgettable(self, now: float) -> bool:
        """Return whether a new breaker would behave the same, and no attempt is under way."""
        if self._under_way or self._hold.lasts(now):
            return False
        return abs(now - self._quiet_since) > (self._policy.window if self.state == "closed" else UNUSED_SECONDS)

    def _ended(self) -> None:
        self._under_way = max(0, self._under_way - 1)
        self._probing_at = None

    def _probing(self, now: float) -> bool:
        began = self._probing_at
        return began is not None and _lasts(began, began + self._policy.rest, now)

    def _move(self, what: Input, now: float) -> None:
        was, self.state = self.state, TRANSITIONS.get((self.state, what), self.state)
        if self.state == "open" and was != "open":
            self._opened_at = now
        if self.state == "closed" and was != "closed":
            self._window = AttemptWindow(self._policy.window)


def _lasts(since: float, until: float, now: float) -> bool:
    return since - CLOCK_SLACK <= now < until

"""A breaker for each endpoint: when it is spared, and when it may show that it is well again. Pure.

======== ============== ============================================================
state    input          next state
======== ============== ============================================================
closed   too_many       open: at least so many attempts in the window, too many failed
open     rested         half_open: the rest is over
half_open succeeded     closed, with an empty window
half_open failed        open, for another rest
======== ============== ============================================================

Any other input leaves the state as it is. Beside it, an endpoint can be held until a time (after a time-out, a 429):
that lets nothing through and leaves the state alone.

Limits: the window is ``SLICES`` pairs of numbers, whatever the traffic. A probe that never ends counts as gone after
another ``rest``.
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


class Block(msgspec.Struct, frozen=True):
    """Why nothing may be sent, and until when (Unix seconds); None: until something else happens."""

    reason: str
    until: float | None


class Window:
    """Successes and failures of the last ``seconds``, in ``SLICES`` slices."""

    def __init__(self, seconds: float) -> None:
        self._slice = seconds / SLICES
        self._counts: dict[int, list[int]] = {}

    def add(self, now: float, *, ok: bool) -> None:
        """Count one attempt."""
        at = int(now / self._slice)
        if at not in self._counts:
            self._counts = {key: count for key, count in self._counts.items() if at - SLICES < key <= at}
            self._counts[at] = [0, 0]
        self._counts[at][ok] += 1

    def totals(self, now: float) -> tuple[int, int]:
        """Return (failures, attempts) of the window that ends now."""
        oldest = int(now / self._slice) - SLICES
        recent = [count for key, count in self._counts.items() if key > oldest]
        return sum(count[False] for count in recent), sum(map(sum, recent))


class Breaker:
    """The state of one endpoint."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._window = Window(policy.window)
        self._opened_at = 0.0
        self._held_until = 0.0
        self._probing_until = 0.0
        self._quiet_since = 0.0
        self.state: State = "closed"

    def block(self, now: float) -> Block | None:
        """Return why nothing may be sent to the endpoint now, None where it may."""
        if now < self._held_until:
            return Block("endpoint_held", self._held_until)
        rested_at = self._opened_at + self._policy.rest
        if self.state == "open" and now < rested_at:
            return Block("breaker_open", rested_at)
        if self.state == "half_open" and now < self._probing_until:
            return Block("breaker_probing", None)
        return None

    def probes(self, now: float) -> bool:
        """Tell whether the next attempt is a probe, so that more than one at once makes no sense."""
        return self.state == "half_open" or (self.state == "open" and self.block(now) is None)

    def start(self, now: float) -> bool:
        """Take leave for one attempt; False where it may not be made. ``record`` or ``abandon`` must follow."""
        if self.block(now) is not None:
            return False
        if self.state == "open":
            self._move("rested", now)
        if self.state == "half_open":
            self._probing_until = now + self._policy.rest
        return True

    def record(self, now: float, *, ok: bool) -> None:
        """Count how an attempt ended."""
        self._probing_until = 0.0
        self._quiet_since = now
        self._window.add(now, ok=ok)
        if self.state == "closed":
            failed, attempts = self._window.totals(now)
            if attempts >= self._policy.attempts and failed >= attempts * self._policy.failures:
                self._move("too_many", now)
        else:
            self._move("succeeded" if ok else "failed", now)

    def abandon(self) -> None:
        """Say that an attempt was not made, or that its end says nothing of the endpoint."""
        self._probing_until = 0.0

    def hold(self, until: float) -> None:
        """Leave the endpoint alone until then (Unix seconds); never shortens."""
        self._held_until = max(self._held_until, until)

    def forgettable(self, now: float) -> bool:
        """Tell whether a new breaker would behave the same."""
        return self.state == "closed" and now >= self._held_until and now - self._quiet_since > self._policy.window

    def _move(self, what: Input, now: float) -> None:
        was, self.state = self.state, TRANSITIONS.get((self.state, what), self.state)
        if self.state == "open" and was != "open":
            self._opened_at = now
        if self.state == "closed" and was != "closed":
            self._window = Window(self._policy.window)

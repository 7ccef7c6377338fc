"""on_change and snooze: whether a hook fires for an event that matches, as a pure rule.

This is the observed behaviour of Kong Enterprise's event hooks:

=========  ======  =====================================================================================
on_change  snooze  fires
=========  ======  =====================================================================================
no         no      always
yes        no      where the digest differs from the one this hook last fired for on this event
no         yes     not for ``snooze`` seconds after it fired, whatever the data
yes        yes     not for ``snooze`` seconds after it fired for that digest; other digests fire
=========  ======  =====================================================================================

The rule is applied inside the store's transaction that accepts the event, so that two processes over
one store, or an event reported twice, cannot fire a hook that one of them has just silenced.

A hook is silent for no longer than its snooze and ``CLOCK_SLACK``, counted from now: neither a shortened snooze
nor a clock that was set back leaves it silent for the old time. The slack is for processes whose clocks differ.

A slot counts what it held back; the delivery that fires next carries the count (``Suppressed``), and it begins again.
"""

from typing import Final, Literal

import msgspec

Suppression = Literal["snoozed", "unchanged"]

CLOCK_SLACK: Final = 60.0
"""Seconds."""


class SuppressionRule(msgspec.Struct, frozen=True):
    """At least one of the two is set. ``snooze`` is in seconds."""

    on_change: bool
    snooze: int | None

    def slot_key(self, digest: bytes) -> bytes:
        """Return the part of the slot's key besides hook and event: the digest where both are set."""
        return digest if self.on_change and self.snooze else b""


class Suppressed(msgspec.Struct, frozen=True):
    """How many events on_change and snooze held back before a delivery, and when (Unix seconds) the hook had fired.

    Beside ``count`` at most ``unread`` more: requests whose logs were not read (``dispatch.quiet_flood``).
    """

    count: int
    since: float
    unread: int = 0


class SuppressionSlot(msgspec.Struct, frozen=True):
    """The digest that a hook fired for, until when (Unix seconds) it is silent, and what it has held back.

    ``since`` is when it fired; 0 in a slot from before this was kept.
    """

    digest: bytes
    until: float
    held: int = 0
    since: float = 0.0

    def hold(self, now: float) -> "SuppressionSlot":
        """Return the slot with one more held back."""
        return SuppressionSlot(self.digest, self.until, self.held + 1, self.since or now)


def decide_suppression(
    rule: SuppressionRule, state: SuppressionSlot | None, digest: bytes, now: float
) -> Suppression | SuppressionSlot:
    """Return why the hook stays silent, or, where it fires, the slot to store."""
    if state is not None:
        if rule.snooze:
            if now < state.until <= now + rule.snooze + CLOCK_SLACK:
                return "snoozed"
        elif state.digest == digest:
            return "unchanged"
    return SuppressionSlot(digest=digest, until=now + rule.snooze if rule.snooze else 0.0, since=now)

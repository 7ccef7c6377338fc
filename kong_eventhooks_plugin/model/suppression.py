"""on_change and snooze: whether a hook fires for an event it hears, as a pure rule.

The observed behaviour of Kong Enterprise's event hooks, which users bring along:

=========  ======  =====================================================================================
on_change  snooze  fires
=========  ======  =====================================================================================
no         no      always
yes        no      where the digest differs from the one this hook last fired for on this event
no         yes     not for so many seconds after it fired, whatever the data
yes        yes     not for so many seconds after it fired for that digest; other digests fire
=========  ======  =====================================================================================

The rule is applied inside the store's transaction that accepts the event, so that two processes over
one store, or an event told twice, cannot fire a hook that one of them has just silenced.

A silence lasts no longer than the hook's snooze and ``CLOCK_SLACK``, counted from now: a snooze that was made
shorter, or a clock that was set back, cannot leave a hook silent for the old time. The slack is for processes
whose clocks differ a little.
"""

from typing import Final, Literal

import msgspec

Suppression = Literal["snoozed", "unchanged"]

CLOCK_SLACK: Final = 60.0
"""Seconds."""


class SuppressionRule(msgspec.Struct, frozen=True):
    """What a hook asks for; at least one of the two is set. ``snooze`` is in seconds."""

    on_change: bool
    snooze: int | None

    def slot_key(self, digest: bytes) -> bytes:
        """Return the part of the state's key beside hook and event: the digest where both are asked for."""
        return digest if self.on_change and self.snooze else b""


class SuppressionSlot(msgspec.Struct, frozen=True):
    """What a hook remembers of one slot: the digest it fired for, and until when (Unix seconds) it is silent."""

    digest: bytes
    until: float


def decide_suppression(
    rule: SuppressionRule, state: SuppressionSlot | None, digest: bytes, now: float
) -> Suppression | SuppressionSlot:
    """Return why the hook stays silent, or, when it fires, the state to remember from now on."""
    if state is not None:
        if rule.snooze:
            if now < state.until <= now + rule.snooze + CLOCK_SLACK:
                return "snoozed"
        elif state.digest == digest:
            return "unchanged"
    return SuppressionSlot(digest=digest, until=now + rule.snooze if rule.snooze else 0.0)

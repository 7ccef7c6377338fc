"""The health of hooks' endpoints: how long one has failed without a success, and whether its hook is switched off.

A run of failures is written to the store once it has lasted ``remember_failing``, and again when it ends: an endpoint
that fails now and then costs no writes. The rules are ``after_attempt``, which is pure.

A hook is switched off only after ``failing_attempts`` failures in a row that this process saw itself: the clock may
have jumped, the machine may have slept, or there may have been no attempt for a week.
"""

from collections.abc import Callable, Iterable

from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.queue.contract import EndpointHealth

SaveHealth = Callable[[EndpointHealth], None]
"""Writes a value to the store later; never blocks."""


def after_attempt(health: EndpointHealth, now: float, limits: DeliveryLimits, failures: int) -> EndpointHealth:
    """Return the health after an attempt; ``failures`` in a row were seen, 0 after a success."""
    if failures == 0:
        return EndpointHealth(health.hook_id, disabled=health.disabled, disabled_at=health.disabled_at)
    since = now if health.failing_since is None else health.failing_since
    if health.disabled is None and now - since >= limits.failing and failures >= limits.failing_attempts:
        return EndpointHealth(health.hook_id, since, "failing", now)
    return EndpointHealth(health.hook_id, since, health.disabled, health.disabled_at)


class EndpointHealthTracker:
    """All hooks' endpoints, in memory; ``save`` writes changes."""

    def __init__(self, limits: DeliveryLimits, save: SaveHealth) -> None:
        self._limits = limits
        self._save = save
        self._known: dict[str, EndpointHealth] = {}
        self._stored: dict[str, EndpointHealth] = {}
        self._failures: dict[str, int] = {}
        self.writes = 0
        """Counts the values to write: what was read before the last one is out of date."""
        self._enabled_unread: set[str] | None = set()
        """Hooks enabled before the store was first read; None since then. As many as definitions changed by then."""

    def load(self, stored: Iterable[EndpointHealth]) -> None:
        """Adopt what the store holds: another process may have enabled a hook, or written what it saw."""
        fresh = {health.hook_id: health for health in stored}
        for hook_id, health in fresh.items():
            if health != self._stored.get(hook_id):
                self._known[hook_id] = health
        self._stored = fresh
        unread, self._enabled_unread = self._enabled_unread, None
        for hook_id in unread or ():
            self.enable(hook_id)

    def forget_others(self, owns: Callable[[str], bool]) -> None:
        """Forget what was seen of hooks that another node delivers: what it stores is what holds."""
        for hook_id in [hook_id for hook_id in self._known if not owns(hook_id)]:
            self._known.pop(hook_id)
            self._stored.pop(hook_id, None)
            self._failures.pop(hook_id, None)

    def disabled(self, hook_id: str) -> str | None:
        """Return why the hook is switched off: ``gone`` or ``failing``."""
        health = self._known.get(hook_id)
        return None if health is None else health.disabled

    def of(self, hook_id: str) -> EndpointHealth:
        return self._known.get(hook_id) or EndpointHealth(hook_id)

    def note(self, hook_id: str, now: float, *, ok: bool) -> bool:
        """Record an attempt; return whether it switched the hook off."""
        before = self._known.get(hook_id) or EndpointHealth(hook_id)
        if ok and before.failing_since is None and before == (self._stored.get(hook_id) or EndpointHealth(hook_id)):
            self._failures.pop(hook_id, None)
            return False
        self._failures[hook_id] = failures = 0 if ok else self._failures.get(hook_id, 0) + 1
        after = after_attempt(before, now, self._limits, failures)
        self._known[hook_id] = after
        stored = self._stored.get(hook_id) or EndpointHealth(hook_id)
        lasting = after.failing_since is not None and now - after.failing_since >= self._limits.remember_failing
        if after != stored and (lasting or after.failing_since is None or after.disabled != stored.disabled):
            self._write(after)
        return after.disabled is not None and before.disabled is None

    def disable_gone(self, hook_id: str, now: float) -> bool:
        """Switch a hook off, because its endpoint answered 410; return whether it was on."""
        before = self._known.get(hook_id) or EndpointHealth(hook_id)
        if before.disabled == "gone":
            return False
        self._write(EndpointHealth(hook_id, before.failing_since, "gone", now))
        return before.disabled is None

    def enable(self, hook_id: str) -> bool:
        """Reset a hook's health, also what the store has and was not read yet; return whether it was switched off."""
        if self._enabled_unread is not None:
            self._enabled_unread.add(hook_id)
        self._failures.pop(hook_id, None)
        was = self._known.get(hook_id)
        if was is not None and was != EndpointHealth(hook_id):
            self._write(EndpointHealth(hook_id))
        return was is not None and was.disabled is not None

    def mark_enable_stored(self, hook_id: str) -> None:
        """Note that what ``enable`` did is stored: if the store differs later, that is newer."""
        if self._enabled_unread is not None:
            self._enabled_unread.discard(hook_id)

    def _write(self, health: EndpointHealth) -> None:
        self._known[health.hook_id] = self._stored[health.hook_id] = health
        self.writes += 1
        self._save(health)

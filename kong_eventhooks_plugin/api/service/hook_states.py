"""Whether a hook works, and if not, why: the one answer of /readyz, ``hooks list``, REST and gRPC.

A reason is a word of ``delivery.hook_readiness`` or one of these, with a text behind a colon where that says more:

================  ==========================================================
unresolved        a reference in its definition has no value here
invalid           its code does not compile
no_admin_api      its source needs the setting admin_url
filter_failing    its filter was never evaluated without an error
================  ==========================================================
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from kong_eventhooks_plugin.errors import UnresolvedReference
from kong_eventhooks_plugin.hooks.contract import ActiveHooks
from kong_eventhooks_plugin.model.hook import Hook

DISABLED = "disabled"

Check = Callable[[Hook], str | None]
"""Takes an enabled hook and returns why it does not work, None where nothing is wrong."""


class Delivering(Protocol):
    """The part of the delivery worker that is needed here."""

    @property
    def leading(self) -> bool:
        """Whether this process does what is to be done by one."""

    @property
    def delivering(self) -> bool:
        """Whether this process delivers, all hooks or its share of them."""

    def held_reason(self, hook_id: str) -> str | None:
        """Return why the hook's deliveries are held back, None where they are not."""


class HookStates:
    """``checks`` are asked in their order, before the delivery worker: what they find does not end by itself."""

    def __init__(
        self,
        active: ActiveHooks,
        delivery: Delivering,
        checks: Sequence[Check] = (),
        delivered_by: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._delivered_by = delivered_by
        self._active = active
        self._delivery = delivery
        self._checks = (self._unresolved, *checks)

    def held(self, hook: Hook) -> str | None:
        """Return why the hook is held or cannot fire; None where it is on."""
        if not hook.enabled:
            return DISABLED
        found = (reason for check in self._checks if (reason := check(hook)) is not None)
        return next(found, None) or self._delivery.held_reason(hook.id)

    def delivered_by(self, hook: Hook) -> str | None:
        """Return the name of the node that delivers a hook, where nodes share the store."""
        return self._delivered_by(hook.id)

    def all_held(self) -> dict[str, str]:
        """Return by name the hooks that are not on, and why."""
        hooks = self._active.hooks().values()
        return {hook.name: reason for hook in hooks if (reason := self.held(hook)) is not None}

    def _unresolved(self, hook: Hook) -> str | None:
        try:
            self._active.resolved(hook)
        except UnresolvedReference as error:
            return f"unresolved: {error}"
        return None

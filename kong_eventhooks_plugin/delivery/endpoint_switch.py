"""Switches hooks off for their endpoints and on again: after attempts, pings, tests, a person's word, a new definition.

What an attempt says of its endpoint goes to the breaker, which spares it for a while, and to its health, which switches
the hook off where it fails for days or says that it is gone.

Limits: ``MAX_REMOVED`` definitions.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from kong_eventhooks_plugin.delivery.attempts import AttemptResult
from kong_eventhooks_plugin.delivery.endpoint_health import EndpointHealthTracker
from kong_eventhooks_plugin.delivery.hook_readiness import Ready
from kong_eventhooks_plugin.delivery.reports import DeliveryReporter
from kong_eventhooks_plugin.delivery.share import Share
from kong_eventhooks_plugin.hooks.contract import HookChange
from kong_eventhooks_plugin.model.delivery import Delivered, Retry
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import EndpointHealth, Queue

ENDPOINT_ERRORS = frozenset({"connect", "tls", "timeout", "status", "redirect", "rejected", "protocol"})
"""Errors of the endpoint; others (config, template, internal, address_refused) do not concern its health."""

MAX_REMOVED = 1_000
"""How many removed definitions are kept, to see whether one is added again with changes."""


class EndpointSwitch:
    """``changed`` is called when some hooks must stop now, or may go on."""

    def __init__(
        self,
        queue: Queue,
        health: EndpointHealthTracker,
        share: Share,
        reports: DeliveryReporter,
        changed: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._health = health
        self._share = share
        self._reports = reports
        self._changed = changed
        self._removed: OrderedDict[str, Hook] = OrderedDict()

    def attempted(self, ready: Ready, made: AttemptResult) -> None:
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
            self._changed()

    def ping_arrived(self, hook_id: str) -> None:
        """Switch a hook on, in memory and later in the store."""
        was = self._health.of(hook_id)
        if self._health.enable(hook_id):
            self._reports.hook_enabled(was)
            self._changed()

    async def enable(self, hook_id: str) -> bool:
        """Switch a hook on, in the store on return; return whether it was off. Raises ``StoreUnavailable``.

        The process that delivers, where it is another one, reads it soon, at the latest every ``reread_health``.
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
        self._changed()
        return was_off is not None

    def definitions_changed(self, changes: Iterable[HookChange]) -> None:
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

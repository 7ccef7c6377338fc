"""Whether a hook's deliveries may be sent now: its definition, its secrets, its handler, its endpoint.

=================== ====================================================================
reason              what ends it
=================== ====================================================================
hook_removed        the hook is declared again; else its deliveries are dead after a while
disabled            its definition says ``enabled: true`` again
endpoint_gone       (410) a ping or a test of the hook arrives, or its definition changes
endpoint_failing    (120 h without a success) the same
no_handler          a version of this program that has the handler
unresolved          the reference gets a value
endpoint_held       time: the endpoint timed out or asked to wait
breaker_open        time, then a probe
breaker_probing     the probe's end
=================== ====================================================================

Held deliveries stay pending and are listed; the queue's limits apply to them as to all.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from kong_eventhooks_plugin.delivery.breaker import Block, Breaker
from kong_eventhooks_plugin.delivery.endpoint_breakers import EndpointBreakers
from kong_eventhooks_plugin.delivery.endpoint_health import EndpointHealthTracker
from kong_eventhooks_plugin.delivery.hook_rules import HookRules, rules_of
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.errors import UnresolvedReference
from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.hooks.contract import ActiveHooks
from kong_eventhooks_plugin.model.hook import Hook

REMOVED = "hook_removed"


class Ready(msgspec.Struct, frozen=True):
    """What an attempt needs, worked out once for a hook. ``config`` holds secrets: never log it."""

    hook: Hook
    handler: Handler
    config: Mapping[str, Any]
    breaker: Breaker | None
    rules: HookRules


class EndpointStanding(msgspec.Struct, frozen=True):
    """Since when no attempt has arrived, when it switched the hook off, until when it is spared: Unix seconds."""

    failing_since: float | None = None
    disabled_at: float | None = None
    held_until: float | None = None


class DeliveryReadiness:
    def __init__(
        self,
        active: ActiveHooks,
        handlers: Mapping[str, Handler],
        health: EndpointHealthTracker,
        endpoints: EndpointBreakers,
        limits: DeliveryLimits,
    ) -> None:
        self._active = active
        self._handlers = handlers
        self._health = health
        self._endpoints = endpoints
        self._limits = limits
        self._ready: dict[str, Ready] = {}
        """What was ready since the last ``prune``: as many as there are hooks."""

    def prune(self, now: float) -> None:
        self._ready.clear()  # their breakers may go
        self._endpoints.prune(now)

    def check(self, hook_id: str, now: float) -> Ready | Block:
        """Return what an attempt needs, or why there may be none."""
        hook = self._active.get(hook_id)
        if hook is None:
            return Block(REMOVED, None)
        handler = self._handlers.get(hook.handler)
        if handler is None:
            return Block("no_handler", None)
        if not hook.enabled:
            return Block("disabled", None)
        if (why := self._health.disabled(hook_id)) is not None:
            return Block(f"endpoint_{why}", None)
        try:
            config = self._active.resolved(hook)
        except UnresolvedReference:
            return Block("unresolved", None)
        ready = self._ready.get(hook_id)
        if ready is None or ready.hook is not hook or ready.config is not config:
            breaker = self._endpoints.breaker(hook_id, handler.endpoint(config))
            ready = Ready(hook, handler, config, breaker, rules_of(config, self._limits))
            self._ready[hook_id] = ready
        if ready.breaker is not None and (block := ready.breaker.block(now)) is not None:
            return block
        return ready

    def held(self, now: float) -> dict[str, str]:
        """Return hook id -> reason, for every hook in force that may not deliver now."""
        verdicts = {hook_id: self.check(hook_id, now) for hook_id in self._active.hooks()}
        return {hook_id: verdict.reason for hook_id, verdict in verdicts.items() if isinstance(verdict, Block)}

    def standing(self, hook_id: str, now: float) -> EndpointStanding:
        health, verdict = self._health.of(hook_id), self.check(hook_id, now)
        until = verdict.until if isinstance(verdict, Block) else None
        return EndpointStanding(health.failing_since, health.disabled_at, until)

"""The worker's metrics and log lines. Never a header, a body, a URL, a secret or data of an event."""

from typing import Protocol

import structlog

from kong_eventhooks_plugin.delivery.backoff import EXHAUSTED
from kong_eventhooks_plugin.hooks.contract import ActiveHooks
from kong_eventhooks_plugin.model.delivery import Delivered, Delivery, Discard, Outcome, Retry, log_fields
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import EndpointHealth, Settlement
from kong_eventhooks_plugin.telemetry.metrics import Metrics

FAILING_AFTER = 4
"""The attempt whose failure is logged as a warning."""

log = structlog.get_logger()


class Incidents(Protocol):
    """Takes what somebody should hear of; must not wait."""

    def endpoint_disabled(self, hook: Hook, health: EndpointHealth) -> None: ...

    def endpoint_recovered(self, health: EndpointHealth) -> None:
        """``health`` is what it was before."""

    def delivery_dead(
        self, hook: Hook, delivery: Delivery, outcome: Retry | Discard, settlement: Settlement, at: float
    ) -> None: ...


class DeliveryReporter:
    def __init__(self, metrics: Metrics, active: ActiveHooks, incidents: Incidents | None = None) -> None:
        self._metrics = metrics
        self._active = active
        self._incidents = incidents

    def attempted(self, hook: Hook, delivery: Delivery, outcome: Outcome, settlement: Settlement, now: float) -> None:
        if isinstance(outcome, Delivered):
            self._count(hook.name, "delivered", "")
            self._metrics.latencies.add(hook.name, max(0.0, now - delivery.event.time))
            if delivery.attempts >= FAILING_AFTER:
                log.info("delivery_recovered", hook=hook.name, delivery_id=delivery.id, attempt=delivery.attempts + 1)
            return
        retry = isinstance(outcome, Retry)
        self._count(hook.name, "retry" if retry else "discard", outcome.error)
        fields = {"hook": hook.name, "delivery_id": delivery.id, **log_fields(outcome)}
        if settlement.state == "dead":
            exhausted = settlement.reason == EXHAUSTED
            log.warning(
                "delivery_exhausted" if exhausted else "delivery_discarded", attempt=delivery.attempts + 1, **fields
            )
            if self._incidents is not None:
                self._incidents.delivery_dead(hook, delivery, outcome, settlement, now)
        elif delivery.attempts + 1 == FAILING_AFTER:
            log.warning("delivery_failing", attempt=FAILING_AFTER, due_at=settlement.due_at, **fields)
        else:
            log.debug("attempt_failed", attempt=delivery.attempts + 1, due_at=settlement.due_at, **fields)

    def hook_disabled(self, hook: Hook, health: EndpointHealth) -> None:
        log.warning(
            "hook_disabled",
            hook=hook.name,
            reason=health.disabled,
            hint=f"fix the endpoint, then run: kong-event-hooks hooks test {hook.name}",
        )
        if self._incidents is not None:
            self._incidents.endpoint_disabled(hook, health)

    def hook_enabled(self, was: EndpointHealth) -> None:
        """``was`` is the endpoint's health before."""
        hook = self._active.get(was.hook_id)
        log.info("hook_enabled", hook=was.hook_id if hook is None else hook.name)
        if self._incidents is not None:
            self._incidents.endpoint_recovered(was)

    def show_leading(self, *, value: bool) -> None:
        self._metrics.delivery_leader.set(value)

    def show_share(self, *, hooks: int, nodes: int) -> None:
        self._metrics.delivered_hooks.set(hooks)
        self._metrics.live_nodes.set(nodes)

    def _count(self, hook: str, outcome: str, error: str) -> None:
        self._metrics.counts.delivery_attempts[hook, outcome, error] += 1

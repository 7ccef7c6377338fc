"""Polls the health of every upstream that has health checks, and publishes what changed.

One request at a time, at most ``per_second`` of them: an upstream is polled every ``poll_seconds``, an unhealthy one
every ``unhealthy_poll_seconds``, and all of them later, the longest overdue first, where there are more than that
allows (``state`` shows by how much). The list of upstreams is read every ``poll_seconds`` too, or as often as each
upstream can have been polled.

=====================================  ================================================================
the Admin API                          then
=====================================  ================================================================
answers 404 for an upstream            it was removed after it was listed: the next list lacks it
answers something else than 200        that upstream is polled later; counted, logged at the first in a row, and an
                                       error meanwhile
does not answer                        the state stays, no event; a pause that grows
=====================================  ================================================================

The state (``sources.balancer.decision``) is kept in a note for each upstream that is not healthy, and only there.
After a failed note or a killed process a change is found again, and is one event: see ``sources.pollers.checkpoint``.
"""

from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.settings import DEFAULTS
from kong_eventhooks_plugin.sources.balancer.decision import UpstreamHealth, compare, end
from kong_eventhooks_plugin.sources.balancer.event import health_event
from kong_eventhooks_plugin.sources.balancer.reading import Upstream, checked_upstreams, read_upstream_health
from kong_eventhooks_plugin.sources.pollers.checkpoint import Checkpoint
from kong_eventhooks_plugin.sources.pollers.leader_gate import LeaderGate
from kong_eventhooks_plugin.sources.pollers.poller import Poller, PollerContext
from kong_eventhooks_plugin.sources.pollers.schedule import Schedule

NOTES: Final = "health/"

_log = structlog.get_logger()


class BalancerSettings(msgspec.Struct, frozen=True):
    """Seconds between two polls of an upstream, of an unhealthy one, and requests a second in all."""

    poll_seconds: float = DEFAULTS.balancer_poll_seconds
    unhealthy_poll_seconds: float = DEFAULTS.balancer_unhealthy_poll_seconds
    per_second: float = DEFAULTS.balancer_requests_per_second


class BalancerPoller(Poller):
    def __init__(
        self,
        context: PollerContext,
        gate: LeaderGate,
        settings: BalancerSettings | None = None,
    ) -> None:
        super().__init__("health", context, gate)
        self._settings = settings or BalancerSettings()
        self._polled_at: float | None = None
        self.forget()

    def forget(self) -> None:
        self._list_due = 0.0
        self._upstreams: dict[str, Upstream] = {}
        self._checkpoints: dict[str, Checkpoint[UpstreamHealth]] = {}
        self._schedule = Schedule()
        self._unread: dict[str, str] = {}

    def state(self) -> dict[str, Any]:
        """Return what /readyz shows.

        ``unreadable`` counts upstreams whose health the last poll could not read; ``lag_seconds`` is how long the
        longest overdue upstream has been due.
        """
        first = self._schedule.first()
        return {
            **super().state(),
            "upstreams": len(self._upstreams),
            "unreadable": len(self._unread),
            "unhealthy": sum(kept.state.unhealthy for kept in self._checkpoints.values()),
            "polled_at": self._polled_at,
            "lag_seconds": round(max(0.0, self._monotonic() - first[0]), 1) if first else 0.0,
        }

    def errors(self) -> list[str]:
        """Return the errors; of upstreams whose health is not read, how many, and one of them."""
        found = super().errors()
        if self._unread:
            first = next(iter(self._unread.values()))
            found.append(f"the health of {len(self._unread)} upstreams is unreadable: {first}")
        return found

    async def load(self) -> bool:
        for name in await self._notes.names(NOTES):
            kept = self._checkpoint_of(name.removeprefix(NOTES))
            if not await kept.load():
                return False
        return True

    async def poll(self) -> bool:
        if self._monotonic() >= self._list_due:
            await self._list()
            return True
        first = self._schedule.first()
        began = self._monotonic()
        if first is None or first[0] > began:
            due = self._list_due if first is None else min(first[0], self._list_due)
            await self._gate.pause(due - began)
            return False
        await self._poll_upstream(self._upstreams[first[1]], began)
        await self._gate.hold(1 / self._settings.per_second - (self._monotonic() - began))
        return True

    def _checkpoint_of(self, upstream_id: str) -> Checkpoint[UpstreamHealth]:
        if upstream_id not in self._checkpoints:
            self._checkpoints[upstream_id] = Checkpoint(
                self._notes, NOTES + upstream_id, UpstreamHealth, UpstreamHealth.durable, self._publisher
            )
        return self._checkpoints[upstream_id]

    async def _list(self) -> None:
        listed = checked_upstreams(await self._client.entities("/upstreams"))
        now = self._monotonic()
        for removed in (self._upstreams.keys() | self._checkpoints.keys()) - listed.keys():
            await self._forget_upstream(removed)
        for upstream_id in listed:
            if upstream_id not in self._schedule:
                self._schedule.set(upstream_id, now)
        self._upstreams = listed
        self._list_due = now + self._gate.jittered(
            max(self._settings.poll_seconds, len(listed) / self._settings.per_second)
        )

    async def _forget_upstream(self, upstream_id: str) -> None:
        self._upstreams.pop(upstream_id, None)
        self._unread.pop(upstream_id, None)
        self._schedule.drop(upstream_id)
        if kept := self._checkpoints.get(upstream_id):
            left, changes = end(upstream_id, kept.state, self._clock())
            # What is left or could not be published has its turn at the next list.
            if await kept.commit(left, [health_event(change) for change in changes]) and not left.views:
                await kept.forget()
                del self._checkpoints[upstream_id]

    async def _poll_upstream(self, upstream: Upstream, began: float) -> None:
        # It is scheduled first: whatever fails here must not keep the others waiting.
        self._schedule.set(upstream.id, began + self._gate.jittered(self._settings.poll_seconds))
        try:
            reading = await read_upstream_health(self._client, upstream.id)
        except AdminApiError as error:
            if error.status is None:
                raise
            if error.status != HTTPStatus.NOT_FOUND:
                self.count("failed")
                if upstream.id not in self._unread:
                    _log.warning("upstream_health_unreadable", upstream=upstream.name, error=str(error))
                self._unread[upstream.id] = str(error)
            return
        self._unread.pop(upstream.id, None)
        self.count("ok")
        self.count("unreadable", reading.unreadable)
        now = self._clock()
        self._polled_at = now
        kept = self._checkpoint_of(upstream.id)
        known, changes = compare(upstream, kept.state, reading, now)
        await kept.commit(known, [health_event(change) for change in changes])
        if known.is_unhealthy:
            soon = min(self._settings.unhealthy_poll_seconds, self._settings.poll_seconds)
            self._schedule.set(upstream.id, began + self._gate.jittered(soon))

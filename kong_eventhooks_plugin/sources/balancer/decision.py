"""What changed between two polls of an upstream's health. Pure.

The state has what is *not* healthy, and nothing else: Kong takes an address for healthy until a check fails, and so do
we. So a new healthy address is no change, a new unhealthy one is, and the state is as large as the outage, not as the
gateway.

===================================  ============================================================================
seen                                 then
===================================  ============================================================================
another health than before           a change
a name that does not resolve         a change when seen twice in a row: a target that was just made shows so, and
                                     each of a node's workers resolves for itself
unknown (no balancer yet)            stays as it was
an address gone, its target listed   stays as it was for ``FORGET_SECONDS``: another worker may have resolved anew
a target gone or no longer checked   dropped, no change
===================================  ============================================================================

Each Kong node has a view of its own (there is no health that the cluster shares), told apart by ``node_id``. A node
that was not seen before begins with the view of the one seen last: most often it is the same Kong, restarted.

Limits: ``NODES`` views an upstream, those not seen for ``NODE_SECONDS`` dropped. ``CHANGES`` a poll; what is beyond
stays as it was and is a change at the next poll.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from kong_eventhooks_plugin.sources.balancer.model import Address, Health, HealthChange
from kong_eventhooks_plugin.sources.balancer.reading import HealthReading, Upstream

FORGET_SECONDS: Final = 300.0
CHANGES: Final = 1_000
NODES: Final = 16
NODE_SECONDS: Final = 3600.0


class UnhealthyAddress(msgspec.Struct, frozen=True, array_like=True):
    """An address that is not healthy; ``seen_at`` is when Kong last listed it, Unix seconds."""

    address: Address
    health: Health
    seen_at: float


class View(msgspec.Struct, frozen=True, array_like=True):
    """One node's view; ``suspected`` are names that did not resolve at the last poll, for the first time."""

    node_id: str | None
    unhealthy: tuple[UnhealthyAddress, ...]
    suspected: tuple[Address, ...]
    seen_at: float


class UpstreamHealth(msgspec.Struct, frozen=True, array_like=True):
    """A view for each node, the one seen last first."""

    views: tuple[View, ...] = ()

    @property
    def is_unhealthy(self) -> bool:
        """Whether the view seen last has an unhealthy address, or may have: worth polling soon."""
        return bool(self.views) and bool(self.views[0].unhealthy or self.views[0].suspected)

    @property
    def unhealthy(self) -> int:
        """How many addresses are unhealthy in the view seen last."""
        return len(self.views[0].unhealthy) if self.views else 0

    def durable(self) -> frozenset[tuple[str | None, Address, Health]]:
        """Return what a restart must not lose; times alone are no reason to write."""
        return frozenset((view.node_id, each.address, each.health) for view in self.views for each in view.unhealthy)


def compare(
    upstream: Upstream, known: UpstreamHealth, reading: HealthReading, now: float
) -> tuple[UpstreamHealth, tuple[HealthChange, ...]]:
    """Return the new state, and what changed."""
    view = _view_of(known, reading.node_id)
    before = {each.address: each for each in view.unhealthy}
    changes: list[HealthChange] = []
    after: list[UnhealthyAddress] = []
    suspected: list[Address] = []
    for address, health in reading.health.items():
        known_unhealthy = before.get(address)
        old = known_unhealthy.health if known_unhealthy else "healthy"
        if health == "dns_error" and known_unhealthy is None and address not in view.suspected:
            suspected.append(address)
            continue
        if health != old and len(changes) >= CHANGES:
            health = old
        elif health != old:
            changes.append(HealthChange(upstream.id, upstream.name, address, health, old, reading.node_id, now))
        if health != "healthy":
            after.append(UnhealthyAddress(address, health, now))
    after.extend(_lingering(before.values(), reading, now))
    fresh = View(reading.node_id, tuple(after), tuple(suspected), now)
    return UpstreamHealth((fresh, *_others(known, reading.node_id, now))), tuple(changes)


def _view_of(known: UpstreamHealth, node_id: str | None) -> View:
    for view in known.views:
        if view.node_id == node_id:
            return view
    if known.views:
        return msgspec.structs.replace(known.views[0], node_id=node_id, suspected=())
    return View(node_id, (), (), 0.0)


def _others(known: UpstreamHealth, node_id: str | None, now: float) -> tuple[View, ...]:
    others = (view for view in known.views if view.node_id != node_id and now - view.seen_at < NODE_SECONDS)
    return tuple(others)[: NODES - 1]


def _lingering(known: Iterable[UnhealthyAddress], reading: HealthReading, now: float) -> Iterable[UnhealthyAddress]:
    """Yield what this reading does not have and may have again."""
    for each in known:
        target = each.address.target
        if each.address in reading.health or target not in reading.targets:
            continue
        if target in reading.unknown or now - each.seen_at < FORGET_SECONDS:
            yield each

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
an address gone for longer           ended: a change to no health, which claims nothing of what we no longer see
a target gone or no longer checked   ended
an upstream gone or not checked      everything of it is ended, in every view
===================================  ============================================================================

Each Kong node has a view of its own (there is no health that the cluster shares), told apart by ``node_id``. A node
that was not seen before begins with the view of the one seen last: most often it is the same Kong, restarted. What it
inherits so is no change while that address is unhealthy in the view of a node that had the change, and one as soon as
that has ended: so whatever is unhealthy has a beginning without an end.

Limits: ``NODES`` views an upstream; of those beyond and those not seen for ``NODE_SECONDS`` everything is ended.
``CHANGES`` a poll; what is beyond stays as it was and is a change at the next poll.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from kong_eventhooks_plugin.sources.balancer.model import Address, Health, HealthChange
from kong_eventhooks_plugin.sources.balancer.reading import HealthReading, Upstream

FORGET_SECONDS: Final = 300.0
CHANGES: Final = 1_000
NODES: Final = 16
NODE_SECONDS: Final = 3600.0


class UnhealthyAddress(msgspec.Struct, frozen=True, array_like=True):
    """An address that is not healthy; ``seen_at`` is when Kong last listed it, Unix seconds.

    ``inherited``: it was no change of this node's, but of another one's.
    """

    address: Address
    health: Health
    seen_at: float
    inherited: bool = False


class View(msgspec.Struct, frozen=True, array_like=True):
    """One node's view; ``suspected`` are names that did not resolve at the last poll, for the first time."""

    node_id: str | None
    unhealthy: tuple[UnhealthyAddress, ...]
    suspected: tuple[Address, ...]
    seen_at: float


class UpstreamHealth(msgspec.Struct, frozen=True, array_like=True):
    """A view for each node, the one seen last first; ``upstream`` is the name, for when it is removed."""

    views: tuple[View, ...] = ()
    upstream: str = ""

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
    changes = _Changes(upstream, now)
    others = tuple(_others(known, reading.node_id, changes))
    view = _view_of(known, reading.node_id)
    begun = {each.address for other in others for each in other.unhealthy if not each.inherited}
    before = {each.address: each for each in view.unhealthy if not each.inherited or each.address in begun}
    after: list[UnhealthyAddress] = []
    suspected: list[Address] = []
    for address, health in reading.health.items():
        was = before.get(address)
        old, inherited = (was.health, was.inherited) if was else ("healthy", False)
        if health == "dns_error" and was is None and address not in view.suspected:
            suspected.append(address)
            continue
        if health != old:
            if changes.add(address, health, old, reading.node_id):
                inherited = False
            else:
                health = old
        if health != "healthy":
            after.append(UnhealthyAddress(address, health, now, inherited))
    unseen = (each for each in before.values() if each.address not in reading.health)
    after.extend(each for each in unseen if _lingers(each, reading, now) or not changes.end(each, view))
    fresh = View(reading.node_id, tuple(after), tuple(suspected), now)
    return UpstreamHealth((fresh, *others), upstream.name), changes.found()


def end(upstream_id: str, known: UpstreamHealth, now: float) -> tuple[UpstreamHealth, tuple[HealthChange, ...]]:
    """Return what is left of an upstream that is removed or no longer checked, and what changed."""
    changes = _Changes(Upstream(upstream_id, known.upstream or upstream_id), now)
    views = tuple(left for view in known.views for left in _ended(view, changes))
    return msgspec.structs.replace(known, views=views), changes.found()


class _Changes:
    """What changed in one poll, at most ``CHANGES``: past that, ``add`` and ``end`` return False."""

    def __init__(self, upstream: Upstream, now: float) -> None:
        self._upstream = upstream
        self.now = now
        self._found: list[HealthChange] = []

    def found(self) -> tuple[HealthChange, ...]:
        return tuple(self._found)

    def add(self, address: Address, health: Health | None, old: Health, node_id: str | None) -> bool:
        if len(self._found) >= CHANGES:
            return False
        upstream = self._upstream
        self._found.append(HealthChange(upstream.id, upstream.name, address, health, old, node_id, self.now))
        return True

    def end(self, each: UnhealthyAddress, view: View) -> bool:
        return each.inherited or self.add(each.address, None, each.health, view.node_id)


def _view_of(known: UpstreamHealth, node_id: str | None) -> View:
    for view in known.views:
        if view.node_id == node_id:
            return view
    unhealthy = known.views[0].unhealthy if known.views else ()
    return View(node_id, tuple(msgspec.structs.replace(each, inherited=True) for each in unhealthy), (), 0.0)


def _others(known: UpstreamHealth, node_id: str | None, changes: _Changes) -> Iterator[View]:
    others = (view for view in known.views if view.node_id != node_id)
    for number, view in enumerate(others, 1):
        if number < NODES and changes.now - view.seen_at < NODE_SECONDS:
            yield view
        else:
            yield from _ended(view, changes)


def _ended(view: View, changes: _Changes) -> Iterator[View]:
    """End what is unhealthy in a view; yield it where that was too much for one poll."""
    left = tuple(each for each in view.unhealthy if not changes.end(each, view))
    if left:
        yield msgspec.structs.replace(view, unhealthy=left)


def _lingers(each: UnhealthyAddress, reading: HealthReading, now: float) -> bool:
    """Return whether this reading, which does not have it, may have it again."""
    target = each.address.target
    return target in reading.targets and (target in reading.unknown or now - each.seen_at < FORGET_SECONDS)

"""The source ``balancer``: an address of a target changed its health.

The first five fields are Kong Enterprise's, in its form: ``health`` is ``healthy`` or ``unhealthy`` in lower case, as
Kong's balancer gives it to subscribers of its health events (kong/runloop/balancer/healthcheckers.lua,
``subscribe_to_healthcheck_events``), not the capitals of the Admin API. ``dns_error`` is ours: Enterprise has no
event there. No field holds a time, so that on_change sees the same thing as the same.
"""

from msgspec.structs import asdict

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.sources.balancer.catalogue import BALANCER, ENTRY, HEALTH
from kong_eventhooks_plugin.sources.balancer.model import HealthChange
from kong_eventhooks_plugin.sources.state import state_of


def health_event(change: HealthChange) -> Event:
    """Return the change's event; the same change gives the same id."""
    address = change.address
    known = {**asdict(change), **address._asdict()}
    known |= state_of(BALANCER, ENTRY.events[0], known)
    data = {field.name: known[field.name] for field in ENTRY.events[0].fields}
    identity = (
        change.upstream_id, change.node_id or "", address.target, address.ip or "", str(address.port), change.health,
    )  # fmt: skip
    return Event(
        id=event_id(change.at, BALANCER, HEALTH, *identity), source=BALANCER, event=HEALTH, data=data, time=change.at
    )

"""The source ``balancer``: an address of a target changed its health.

The first five fields are Kong Enterprise's, in its form: ``health`` is ``healthy`` or ``unhealthy`` in lower case, as
Kong's balancer gives it to subscribers of its health events (kong/runloop/balancer/healthcheckers.lua,
``subscribe_to_healthcheck_events``), not the capitals of the Admin API. ``dns_error`` is ours: Enterprise has no
event there. No field holds a time, so that on_change sees the same thing as the same.
"""

from typing import Any

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.sources.balancer.catalogue import BALANCER, HEALTH
from kong_eventhooks_plugin.sources.balancer.model import HealthChange


def health_event(change: HealthChange) -> Event:
    """Return the change's event; the same change gives the same id."""
    address = change.address
    data: dict[str, Any] = {
        "upstream_id": change.upstream_id,
        "ip": address.ip,
        "port": address.port,
        "hostname": address.hostname,
        "health": change.health,
        "upstream": change.upstream,
        "target": address.target,
        "old_health": change.old_health,
        "node_id": change.node_id,
    }
    identity = (
        change.upstream_id, change.node_id or "", address.target, address.ip or "", str(address.port), change.health,
    )  # fmt: skip
    return Event(
        id=event_id(change.at, BALANCER, HEALTH, *identity), source=BALANCER, event=HEALTH, data=data, time=change.at
    )

"""The source ``balancer``: an address of a target changed its health.

The first five fields are Kong Enterprise's, in its form: ``health`` is ``healthy`` or ``unhealthy`` in lower case, as
Kong's balancer gives it to subscribers of its health events (kong/runloop/balancer/healthcheckers.lua,
``subscribe_to_healthcheck_events``), not the capitals of the Admin API. ``dns_error`` is ours: Enterprise has no
event there. So is ``resolved``, the end of an address that is no longer seen. Its name keeps hooks on ``health`` at
Enterprise's events, and its ``health`` is null: it does not claim that what is gone is healthy. No field holds a time,
so that on_change sees the same thing as the same.
"""

from typing import Final

from msgspec.structs import asdict

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.sources.balancer.catalogue import BALANCER, ENTRY, HEALTH, RESOLVED
from kong_eventhooks_plugin.sources.balancer.model import HealthChange
from kong_eventhooks_plugin.sources.state import state_of

_ENTRIES: Final = {entry.name: entry for entry in ENTRY.events}


def health_event(change: HealthChange) -> Event:
    """Return the change's event; the same change gives the same id."""
    address = change.address
    entry = _ENTRIES[HEALTH if change.health else RESOLVED]
    known = {**asdict(change), **address._asdict()}
    known |= state_of(BALANCER, entry, known)
    data = {field.name: known[field.name] for field in entry.fields}
    identity = (
        change.upstream_id, change.node_id or "", address.target, address.ip or "", str(address.port),
        change.health or "",
    )  # fmt: skip
    made = event_id(change.at, BALANCER, entry.name, *identity)
    return Event(id=made, source=BALANCER, event=entry.name, data=data, time=change.at)

"""The source ``gateway``: Kong's Admin API or database became unreachable, or recovered. Ours alone."""

from typing import Any, Final

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.model.kong_node import KongNode
from kong_eventhooks_plugin.sources.reachability.catalogue import ENTRY, GATEWAY, RECOVERED
from kong_eventhooks_plugin.sources.reachability.model import Outage, Reason
from kong_eventhooks_plugin.sources.state import state_of

_ENTRIES: Final = {entry.name: entry for entry in ENTRY.events}


def outage_event(name: str, reason: Reason, admin_url: str, outage: Outage, at: float) -> Event:
    """Return the event of an outage that counts, or ended, ``at`` (Unix seconds); its error is the last one."""
    since = round(outage.since, 3)
    data: dict[str, Any] = {
        "node": (outage.node or KongNode()).data(),
        "reason": reason,
        "admin_url": admin_url,
        "since": since,
        "error": outage.error,
        "failures": outage.failures,
    }
    if name == RECOVERED:
        data["seconds"] = round(max(0.0, at - outage.since), 3)
    data |= state_of(GATEWAY, _ENTRIES[name], data)
    node = "" if outage.node is None else f"{outage.node.id}/{outage.node.hostname}"
    identity = event_id(at, GATEWAY, name, reason, admin_url, repr(since), node)
    return Event(id=identity, source=GATEWAY, event=name, data=data, time=at)

"""The source ``gateway``: Kong's Admin API or database became unreachable, or recovered. Ours alone."""

from typing import Any

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.sources.reachability.catalogue import GATEWAY, RECOVERED, UNREACHABLE
from kong_eventhooks_plugin.sources.reachability.model import Outage, Reason


def unreachable_event(reason: Reason, admin_url: str, outage: Outage, at: float) -> Event:
    """Return the event of an outage that counts from ``at`` (Unix seconds) on."""
    return _event(UNREACHABLE, at, _data(reason, admin_url, outage))


def recovered_event(reason: Reason, admin_url: str, outage: Outage, at: float) -> Event:
    """Return the event of an outage that ended ``at``; its ``error`` is the last one there was."""
    seconds = round(max(0.0, at - outage.since), 3)
    return _event(RECOVERED, at, {**_data(reason, admin_url, outage), "seconds": seconds})


def _data(reason: Reason, admin_url: str, outage: Outage) -> dict[str, Any]:
    return {
        "reason": reason,
        "admin_url": admin_url,
        "since": round(outage.since, 3),
        "error": outage.error,
        "failures": outage.failures,
    }


def _event(name: str, at: float, data: dict[str, Any]) -> Event:
    identity = (data["reason"], data["admin_url"], repr(data["since"]))
    return Event(id=event_id(at, GATEWAY, name, *identity), source=GATEWAY, event=name, data=data, time=at)

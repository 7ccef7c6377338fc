"""What the catalogue says of the source ``balancer``."""

from typing import Final

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, SourceEntry

BALANCER: Final = "balancer"

_HEALTH = EventEntry(
    "health",
    "The health of one address of one target changed.",
    (
        EventField("upstream_id", "The upstream's id."),
        EventField("ip", "The address. null where the target's name does not resolve."),
        EventField("port", "The port."),
        EventField("hostname", "The target's host, as it is configured."),
        EventField(
            "health",
            "`healthy` or `unhealthy`, as in Kong Enterprise, or `dns_error` where the target's name does not resolve.",
        ),
        EventField("upstream", "The upstream's name."),
        EventField("target", "The target, as it is configured (`host:port`)."),
        EventField(
            "old_health",
            "The health before; `healthy` also where the address is new: Kong takes it so until a check fails.",
        ),
        EventField("node_id", "The Kong node that sees it so: each has a view of its own."),
    ),
)
_HEALTH_NOTES = (
    (
        "It needs the setting `admin_url`. Every upstream with active or passive health checks is asked for every "
        "`balancer_poll_seconds`, one with an unhealthy address every `balancer_unhealthy_poll_seconds`. After a start "
        "only what differs from what was last known is told. An address that is new and healthy, and one that is gone, "
        "are no events; nor is switching health checks off."
    ),
    (
        "Several Kong nodes each check for themselves. The node that `admin_url` names is the one that is asked; in "
        "hybrid mode the control plane has no balancer, so nothing is told there. A restarted Kong begins with "
        "everything healthy, and that may be told. A name that does not resolve is told at the second look."
    ),
)

SOURCES: tuple[SourceEntry, ...] = (
    SourceEntry(
        BALANCER,
        "A target of an upstream became healthy or unhealthy.",
        "0.1.0",
        (BALANCER,),
        (_HEALTH,),
        notes=_HEALTH_NOTES,
    ),
)

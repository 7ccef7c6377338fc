"""What the catalogue says of the source ``balancer``."""

from typing import Final

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, EventState, SourceEntry, state_fields

BALANCER: Final = "balancer"
HEALTH: Final = "health"
RESOLVED: Final = "resolved"

_ADDRESS: Final = (
    EventField("upstream_id", "The upstream's id.", "8c2ab3c8-0b8a-4d2e-a2f6-1a3c6c3a6c0b"),
    EventField("ip", "The address. null where the target's name does not resolve.", "10.0.0.7"),
    EventField("port", "The port.", 8080),
    EventField("hostname", "The target's host, as it is configured.", "orders.internal"),
)
_TARGET: Final = (
    EventField("upstream", "The upstream's name.", "orders"),
    EventField("target", "The target, as it is configured (`host:port`).", "orders.internal:8080"),
)
_NODE: Final = EventField(
    "node_id", "The Kong node with this view: each node has its own.", "0cbb7c6e-3c8e-4d0b-9f3f-6b1f5f2f1a11"
)
_OF: Final = ("upstream_id", "node_id", "hostname", "ip", "port")
_KEY: Final = "event-hooks-17a2a3084fa7f01f48a94d5730a77f4f"

ENTRY = SourceEntry(
    BALANCER,
    "A target of an upstream became healthy or unhealthy, or an unhealthy one is no longer seen.",
    "0.1.0",
    (
        EventEntry(
            HEALTH,
            "The health of one address of one target changed.",
            (
                *_ADDRESS,
                EventField(
                    "health",
                    "`healthy` or `unhealthy`, as in Kong Enterprise, or `dns_error` where the target's name does not "
                    "resolve.",
                    "unhealthy",
                ),
                *_TARGET,
                EventField(
                    "old_health",
                    "The previous health; `healthy` also for a new address, as Kong assumes until a check fails.",
                    "healthy",
                ),
                _NODE,
                *state_fields("open", _KEY),
            ),
            state=EventState(_OF, resolved=("health", "healthy")),
        ),
        EventEntry(
            RESOLVED,
            "An address that was not healthy is no longer seen, which says nothing of its health: it, its target or "
            "its upstream was removed, or is no longer checked, or its Kong node is gone.",
            (
                *_ADDRESS,
                EventField("health", "null: it is not known any more.", kind="text"),
                *_TARGET,
                EventField("old_health", "The last health: `unhealthy` or `dns_error`.", "unhealthy"),
                _NODE,
                *state_fields("resolved", _KEY),
            ),
            state=EventState(_OF, resolved=True),
        ),
    ),
    notes=(
        (
            "It needs the setting `admin_url`. The health of every upstream with active or passive health checks is "
            "polled every `balancer_poll_seconds`, of one with an unhealthy address every "
            "`balancer_unhealthy_poll_seconds`. After a start, only differences from the last known health are "
            "events. A new healthy address and a removed one that was healthy are no events."
        ),
        (
            "What began with a `health` other than `healthy` ends once, with the same `state_key`: with `healthy`, or "
            "with `resolved` when it is no longer seen. An address that its target's name no longer has is waited for "
            "for five minutes. A Kong node that does not come back under its `node_id` is gone an hour after its last "
            "answer, when another has answered in its place: its states end, and what that other one sees as unhealthy "
            "begins anew. A hook that names the event `health` does not receive `resolved`."
        ),
        (
            "Each Kong node checks for itself. The node that `admin_url` names is polled, of several sidecars over one "
            "store that of one of them (docs/cluster.md); in hybrid mode the control "
            "plane has no balancer, so there are no events. A restarted Kong assumes that all is healthy, which may "
            "be an event. A name that does not resolve is an event at the second poll."
        ),
    ),
    needs_admin_api=True,
    poller="balancer.poller:BalancerPoller",
)

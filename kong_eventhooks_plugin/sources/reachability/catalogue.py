"""What the catalogue says of the source ``gateway``."""

from typing import Final

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, EventState, SourceEntry, state_fields
from kong_eventhooks_plugin.sources.node_field import NODE

GATEWAY: Final = "gateway"
UNREACHABLE: Final = "unreachable"
RECOVERED: Final = "recovered"

_OF: Final = ("node", "admin_url", "reason")
_KEY: Final = "event-hooks-b1fc44425379df53ec2b397ca8c24e2b"
_OUTAGE = (
    NODE,
    EventField(
        "reason",
        "What is unreachable: `admin_api`, or `database` where the Admin API says that Kong cannot reach it.",
        "admin_api",
    ),
    EventField("admin_url", "The polled address, without user and password.", "http://127.0.0.1:8001"),
    EventField("since", "When the outage began, Unix seconds.", 1795278761.25),
    EventField(
        "error",
        "`timeout`, `connect`, `tls`, `connection`, `unreadable`, `status_<n>`; `internal` where the sidecar has no "
        "file descriptor left; `not_reachable` for the database.",
        "connect",
    ),
    EventField("failures", "How many polls failed in a row.", 3),
)

ENTRY = SourceEntry(
    GATEWAY,
    "Kong's Admin API, or its database, became unreachable or recovered.",
    "0.1.0",
    (
        EventEntry(
            UNREACHABLE,
            "It has not answered for some time.",
            (*_OUTAGE, *state_fields("open", _KEY)),
            state=EventState(_OF),
        ),
        EventEntry(
            RECOVERED,
            "It answers again.",
            (
                *_OUTAGE,
                EventField("seconds", "How long the outage lasted, from the first failed poll.", 42.5),
                *state_fields("resolved", _KEY),
            ),
            state=EventState(_OF, resolved=True),
        ),
    ),
    notes=(
        (
            "It needs the setting `admin_url`, which is polled every `gateway_poll_seconds`; `gateway_failures` in a "
            "row are an outage. It is about the Admin API and its database, not about the traffic that Kong proxies. "
            "A refused answer (401, 503) counts as well. An outage that began before a restart of ours still ends "
            "with `recovered`."
        ),
        "Each sidecar checks its own Kong: `node` says which one is away.",
    ),
    needs_admin_api=True,
    poller="reachability.poller:ReachabilityPoller",
    on_each_node=True,
)

"""What the catalogue says of the source ``gateway``."""

from typing import Final

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, SourceEntry

GATEWAY: Final = "gateway"

_OUTAGE = (
    EventField(
        "reason", "What is away: `admin_api`, or `database` where the Admin API says that Kong cannot reach it."
    ),
    EventField("admin_url", "The address that was asked, without user and password."),
    EventField("since", "When it began, Unix seconds."),
    EventField(
        "error",
        "`timeout`, `connect`, `tls`, `connection`, `unreadable`, `status_<n>`; `not_reachable` for the database.",
    ),
    EventField("failures", "How many times in a row."),
)
_OUTAGE_NOTES = (
    (
        "It needs the setting `admin_url`, which is asked every `gateway_poll_seconds`; `gateway_failures` in a row "
        "are an outage. It is told of the Admin API and of its database, not of the traffic that Kong proxies. A "
        "refused answer (401, 503) counts as well. An outage that began before a restart of ours is told as over "
        "after it."
    ),
)

SOURCES: tuple[SourceEntry, ...] = (
    SourceEntry(
        GATEWAY,
        "Kong's Admin API, or its database, went away or came back.",
        "0.1.0",
        (GATEWAY,),
        (
            EventEntry("unreachable", "It has not answered for some time.", _OUTAGE),
            EventEntry(
                "recovered",
                "It answers again.",
                (*_OUTAGE, EventField("seconds", "How long it lasted, from the first failed look.")),
            ),
        ),
        notes=_OUTAGE_NOTES,
    ),
)

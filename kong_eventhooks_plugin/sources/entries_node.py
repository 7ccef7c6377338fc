"""What the catalogue says of what is seen on a Kong node: targets' health, certificates, the Admin API itself."""

from kong_eventhooks_plugin.sources.entry import EventEntry, Field, SourceEntry

BALANCER = "balancer"
CERTIFICATE = "certificate"
GATEWAY = "gateway"

_HEALTH = EventEntry(
    "health",
    "The health of one address of one target changed.",
    (
        Field("upstream_id", "The upstream's id."),
        Field("ip", "The address. null where the target's name does not resolve."),
        Field("port", "The port."),
        Field("hostname", "The target's host, as it is configured."),
        Field(
            "health",
            "`healthy` or `unhealthy`, as in Kong Enterprise, or `dns_error` where the target's name does not resolve.",
        ),
        Field("upstream", "The upstream's name."),
        Field("target", "The target, as it is configured (`host:port`)."),
        Field(
            "old_health",
            "The health before; `healthy` also where the address is new: Kong takes it so until a check fails.",
        ),
        Field("node_id", "The Kong node that sees it so: each has a view of its own."),
    ),
)
_HEALTH_NOTES = (
    (
        "It needs the setting `admin_url`. Every upstream with active or passive health checks is asked for every "
        "`balancer_poll_seconds`, one with an unhealthy address every `balancer_trouble_seconds`. After a start only "
        "what differs from what was last known is told. An address that is new and healthy, and one that is gone, "
        "are no events; nor is switching health checks off."
    ),
    (
        "Several Kong nodes each check for themselves. The node that `admin_url` names is the one that is asked; in "
        "hybrid mode the control plane has no balancer, so nothing is told there. A restarted Kong begins with "
        "everything healthy, and that may be told. A name that does not resolve is told at the second look."
    ),
)

_EXPIRING = EventEntry(
    "expiring",
    "A certificate has no more than so many days left, or has expired.",
    (
        Field("certificate_id", "The entity's id."),
        Field("kind", "`certificates` or `ca_certificates`."),
        Field("field", "The entity's field: `cert` or `cert_alt`."),
        Field("position", "Which certificate of that field it is, from 0: a field can hold a chain."),
        Field("snis", "The names that it serves."),
        Field("subject", "The certificate's subject."),
        Field("issuer", "The certificate's issuer."),
        Field("serial", "Its serial number, hexadecimal."),
        Field("fingerprint", "The SHA-256 of the certificate, hexadecimal."),
        Field("not_after", "When it ends, Unix seconds."),
        Field("days_left", "Whole days until then; negative where it has ended."),
        Field("threshold", "Which of `certificate_days` it has crossed; 0: it has ended."),
    ),
)
_EXPIRING_NOTES = (
    (
        "It needs the setting `admin_url`. Certificates are looked at once a day. Each of `certificate_days`, and "
        "the end, is told once for each certificate; a renewed one is another. Private keys are not looked at."
    ),
)

_OUTAGE = (
    Field("reason", "What is away: `admin_api`, or `database` where the Admin API says that Kong cannot reach it."),
    Field("admin_url", "The address that was asked, without user and password."),
    Field("since", "When it began, Unix seconds."),
    Field(
        "error",
        "`timeout`, `connect`, `tls`, `connection`, `unreadable`, `status_<n>`; `not_reachable` for the database.",
    ),
    Field("failures", "How many times in a row."),
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
        BALANCER,
        "A target of an upstream became healthy or unhealthy.",
        "0.1.0",
        (BALANCER,),
        (_HEALTH,),
        notes=_HEALTH_NOTES,
    ),
    SourceEntry(
        CERTIFICATE, "A certificate comes near its end.", "0.1.0", (CERTIFICATE,), (_EXPIRING,), notes=_EXPIRING_NOTES
    ),
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
                (*_OUTAGE, Field("seconds", "How long it lasted, from the first failed look.")),
            ),
        ),
        notes=_OUTAGE_NOTES,
    ),
)

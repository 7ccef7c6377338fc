"""What the catalogue says of the source ``certificate``."""

from typing import Final

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, EventState, SourceEntry, state_fields

CERTIFICATE: Final = "certificate"
EXPIRING: Final = "expiring"
RESOLVED: Final = "resolved"

_OF: Final = ("kind", "fingerprint")
_KEY: Final = "event-hooks-89a8330174d40f5abed2d57bfd63d219"
_FIELDS = (
    EventField("certificate_id", "The entity's id.", "21b69eab-09d9-40f9-a55e-c4ee47fada68"),
    EventField("kind", "`certificates` or `ca_certificates`.", "certificates"),
    EventField("field", "The entity's field: `cert` or `cert_alt`.", "cert"),
    EventField("position", "The certificate's position in the field's chain, from 0.", 0),
    EventField("snis", "The names that it serves.", ["api.example.com"]),
    EventField("subject", "The certificate's subject.", "CN=api.example.com"),
    EventField("issuer", "The certificate's issuer.", "CN=Example CA,O=Example"),
    EventField("serial", "Its serial number, hexadecimal.", "3ade68b1"),
    EventField(
        "fingerprint",
        "The SHA-256 of the certificate, hexadecimal.",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ),
    EventField("not_after", "When it expires, Unix seconds.", 1796256000),
    EventField("days_left", "Whole days until then; negative once it has expired.", 6),
    EventField("threshold", "The reached threshold of `certificate_days`; 0: it has expired.", 7),
)

ENTRY = SourceEntry(
    CERTIFICATE,
    "A certificate expires soon, or one that did is no longer in use.",
    "0.1.0",
    (
        EventEntry(
            EXPIRING,
            "A certificate has reached one of the thresholds in days, or has expired.",
            (*_FIELDS, *state_fields("open", _KEY)),
            state=EventState(_OF),
        ),
        EventEntry(
            RESOLVED,
            "A certificate with such an event was replaced or removed: no entity has it any more.",
            (*_FIELDS, *state_fields("resolved", _KEY)),
            state=EventState(_OF, resolved=True),
        ),
    ),
    notes=(
        (
            "It needs the setting `admin_url` and the extra `certificate`. Certificates are read once a day. Each "
            "certificate has one event for each of `certificate_days` and one when it expires; a renewed one is "
            "another certificate, and the poll that no longer finds the old one makes its `resolved`, once. A field "
            "that becomes a reference to a vault, or unreadable, counts as replaced. Private keys are not read."
        ),
    ),
    needs_admin_api=True,
    poller="certificates.poller:CertificatePoller",
)

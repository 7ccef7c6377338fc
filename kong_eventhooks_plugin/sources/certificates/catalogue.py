"""What the catalogue says of the source ``certificate``."""

from typing import Final

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, SourceEntry

CERTIFICATE: Final = "certificate"

_EXPIRING = EventEntry(
    "expiring",
    "A certificate has no more than so many days left, or has expired.",
    (
        EventField("certificate_id", "The entity's id."),
        EventField("kind", "`certificates` or `ca_certificates`."),
        EventField("field", "The entity's field: `cert` or `cert_alt`."),
        EventField("position", "Which certificate of that field it is, from 0: a field can hold a chain."),
        EventField("snis", "The names that it serves."),
        EventField("subject", "The certificate's subject."),
        EventField("issuer", "The certificate's issuer."),
        EventField("serial", "Its serial number, hexadecimal."),
        EventField("fingerprint", "The SHA-256 of the certificate, hexadecimal."),
        EventField("not_after", "When it ends, Unix seconds."),
        EventField("days_left", "Whole days until then; negative where it has ended."),
        EventField("threshold", "Which of `certificate_days` it has crossed; 0: it has ended."),
    ),
)
_EXPIRING_NOTES = (
    (
        "It needs the setting `admin_url`. Certificates are looked at once a day. Each of `certificate_days`, and "
        "the end, is told once for each certificate; a renewed one is another. Private keys are not looked at."
    ),
)

SOURCES: tuple[SourceEntry, ...] = (
    SourceEntry(
        CERTIFICATE, "A certificate comes near its end.", "0.1.0", (CERTIFICATE,), (_EXPIRING,), notes=_EXPIRING_NOTES
    ),
)

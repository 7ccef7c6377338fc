"""What the catalogue says of the source ``certificate``."""

from typing import Final

from kong_eventhooks_plugin.sources.entry import EventEntry, Field, SourceEntry

CERTIFICATE: Final = "certificate"

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

SOURCES: tuple[SourceEntry, ...] = (
    SourceEntry(
        CERTIFICATE, "A certificate comes near its end.", "0.1.0", (CERTIFICATE,), (_EXPIRING,), notes=_EXPIRING_NOTES
    ),
)

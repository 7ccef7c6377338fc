"""Reads the certificates of the Admin API's entities: which they are, and when they expire. Pure.

``/certificates`` has ``cert`` and ``cert_alt``, ``/ca_certificates`` has ``cert``: PEM texts, which may hold a chain.
The entities' private keys are neither read nor kept: what comes out of here has none, and the page goes.

A reference to a vault (``{vault://...}``) is skipped: only Kong can read it. It is counted, and so is what is no
PEM.

Limits: ``PEM_BYTES`` a text and ``CHAIN`` certificates in it; past either it is unreadable, counted. ``SNIS`` names a
certificate, more are left out; ``NAME_CHARACTERS`` of a subject or an issuer.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kong_eventhooks_plugin.errors import MissingExtra
from kong_eventhooks_plugin.model.masking import REFERENCE_START
from kong_eventhooks_plugin.sources.certificates.model import Certificate, Kind

if TYPE_CHECKING:
    # At run time where a certificate is read first: 8 MB and 64 ms that most sidecars never need.
    from cryptography import x509

PEM_BYTES: Final = 64 << 10
CHAIN: Final = 10
SNIS: Final = 100
NAME_CHARACTERS: Final = 1024

FIELDS: Final[Mapping[Kind, tuple[str, ...]]] = {"certificates": ("cert", "cert_alt"), "ca_certificates": ("cert",)}


class CertificateScan(msgspec.Struct):
    """What a page holds. ``unreadable`` names entities and fields (``<id>.cert``) with no certificate in them."""

    certificates: list[Certificate]
    unreadable: list[str]
    references: int = 0


def read_certificates(kind: Kind, entities: Sequence[Mapping[str, Any]]) -> CertificateScan:
    """Return what the entities of a page hold, in some 30 µs of CPU a certificate. Raises ``MissingExtra``."""
    found = CertificateScan([], [])
    for entity in entities:
        entity_id = entity.get("id")
        if not isinstance(entity_id, str):
            found.unreadable.append("(no id)")
            continue
        for field in FIELDS[kind]:
            _read(found, kind, entity, entity_id, field)
    return found


def _read(found: CertificateScan, kind: Kind, entity: Mapping[str, Any], entity_id: str, field: str) -> None:
    text = entity.get(field)
    if text is None:
        return
    if isinstance(text, str) and text.startswith(REFERENCE_START):
        found.references += 1
        return
    try:
        parsed = _parsed(text)
        snis = _snis(entity.get("snis"))
        facts = [_facts(each, kind, entity_id, field, position, snis) for position, each in enumerate(parsed)]
    except ValueError:
        found.unreadable.append(f"{entity_id}.{field}")
    else:
        found.certificates.extend(facts)


def _parsed(text: Any) -> "list[x509.Certificate]":
    try:
        from cryptography import x509
    except ModuleNotFoundError as error:
        raise MissingExtra("the source certificate", "certificate") from error
    if not isinstance(text, str) or len(text) > PEM_BYTES:
        raise ValueError("no text, or too long")
    chain = x509.load_pem_x509_certificates(text.encode())
    if len(chain) > CHAIN:
        raise ValueError("too many certificates")
    return chain


def _facts(
    parsed: "x509.Certificate", kind: Kind, entity_id: str, field: str, position: int, snis: tuple[str, ...]
) -> Certificate:
    from cryptography.hazmat.primitives import hashes

    return Certificate(
        certificate_id=entity_id,
        kind=kind,
        field=field,
        position=position,
        snis=snis,
        subject=parsed.subject.rfc4514_string()[:NAME_CHARACTERS],
        issuer=parsed.issuer.rfc4514_string()[:NAME_CHARACTERS],
        serial=f"{parsed.serial_number:x}",
        fingerprint=parsed.fingerprint(hashes.SHA256()).hex(),
        not_after=parsed.not_valid_after_utc.timestamp(),
    )


def _snis(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str))[:SNIS] if isinstance(value, list) else ()

"""A certificate that Kong uses, without any key."""

from typing import Literal

import msgspec

Kind = Literal["certificates", "ca_certificates"]
"""The entity, as Kong names it."""


class Certificate(msgspec.Struct, frozen=True):
    """One X.509 certificate of one of Kong's entities; its fields are the event's, in their order.

    ``certificate_id`` is the entity's; ``kind`` says which entity. ``field`` is where in it the certificate stands
    (``cert`` or ``cert_alt``), ``position`` its place in that PEM text: 0 is the entity's own, others came along as its
    chain. ``subject`` and ``issuer`` are RFC 4514 texts, ``serial`` and ``fingerprint`` (SHA-256 of the DER form) hex,
    ``not_after`` Unix seconds.
    """

    certificate_id: str
    kind: Kind
    field: str
    position: int
    snis: tuple[str, ...]
    subject: str
    issuer: str
    serial: str
    fingerprint: str
    not_after: float

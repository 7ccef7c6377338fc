"""Signatures of a body: Kong's own and Standard Webhooks'. Pure.

``x-kong-signature: sha256=<hex>`` is an HMAC over the body with the secret as it is written. Kong Enterprise has done
so since 3.14; before, and by setting here, it was ``sha1=``.

Standard Webhooks 1.0: ``webhook-signature`` holds ``v1,<base64>`` for each secret, an HMAC-SHA256 over
``<id>.<timestamp>.<body>``. A secret written ``whsec_<base64>`` stands for the decoded bytes, any other for its
UTF-8 bytes.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import Literal

KongDigest = Literal["sha256", "sha1"]

WHSEC = "whsec_"


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for; raises ``ValueError`` (without the secret) where it is none."""
    key = secret.encode()
    if secret.startswith(WHSEC):
        text = secret.removeprefix(WHSEC)
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("after whsec_ there must be base64") from None
    if not key:
        raise ValueError("it is empty")
    return key


def kong_signature(secret: str, body: bytes, digest: KongDigest) -> str:
    """Return the value of ``x-kong-signature``."""
    return f"{digest}={hmac.digest(secret.encode(), body, digest).hex()}"


def standard_signature(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature``: one signature a key, as a receiver may have either in a rotation."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)

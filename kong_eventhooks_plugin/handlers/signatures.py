"""The headers that prove a message: its id and time, and with a secret its signatures. Pure.

``x-kong-signature: sha256=<hex>`` is an HMAC over the body with the secret as it is written. Kong Enterprise has done
so since 3.14; before, and by setting here, it was ``sha1=``.

Standard Webhooks 1.0: ``webhook-signature`` holds ``v1,<base64>`` for each secret, an HMAC-SHA256 over
``<id>.<timestamp>.<body>``. A secret written ``whsec_<base64>`` stands for the decoded bytes, any other for its
UTF-8 bytes.

A definition's own header, ``config.signature``, has one more HMAC-SHA256 with the same keys as Standard Webhooks, over
the body, in one of ``_FORMS``; ``t,v1`` is Stripe's, ``t=<timestamp>,v1=<hex>`` over ``<timestamp>.<body>``.

During a rotation ``previous_secret`` signs too; Kong's own header and the forms without ``v1`` have room for one and
hold the new. Fails closed: a secret that is empty or not a text raises, and so does a ``previous_secret`` alone.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from kong_eventhooks_plugin.errors import ValidationError

KongDigest = Literal["sha256", "sha1"]

WHSEC = "whsec_"
KEYED = 256
"""How many keys are kept decoded, and ready to sign."""


def signed_headers(
    config: Mapping[str, Any], body: bytes, message_id: str, timestamp: int, digest: KongDigest
) -> dict[bytes, bytes]:
    """Return the headers for ``body``. ``timestamp`` is Unix seconds. Raises ``ValidationError``."""
    headers = {b"webhook-id": message_id.encode(), b"webhook-timestamp": b"%d" % timestamp}
    secret, previous = _secret(config, "secret"), _secret(config, "previous_secret")
    if secret is None:
        if previous is not None:
            raise ValidationError({"config": {"previous_secret": "without a secret beside it nothing would be signed"}})
        return headers
    keys = [_key("secret", secret)]
    if previous is not None:
        keys.append(_key("previous_secret", previous))
    headers[b"webhook-signature"] = standard_signature(keys, message_id, timestamp, body).encode()
    headers[b"x-kong-signature"] = kong_signature(secret, body, digest).encode()
    if (own := config.get("signature")) is not None:
        value = _FORMS[own.get("form") or "sha256=hex"](keys, timestamp, body)
        headers[own["header"].lower().encode()] = value.encode()
    return headers


def _secret(config: Mapping[str, Any], name: str) -> str | None:
    secret = config.get(name)
    if secret is None or isinstance(secret, str):
        return secret
    raise ValidationError({"config": {name: "expected a string"}})


def _key(name: str, secret: str) -> bytes:
    try:
        return key_of(secret)
    except ValueError as error:
        text = "not text" if isinstance(error, UnicodeError) else str(error)
        raise ValidationError({"config": {name: text}}) from None


@lru_cache(KEYED)
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


@lru_cache(KEYED)
def _keyed(key: bytes, digest: KongDigest) -> hmac.HMAC:
    return hmac.new(key, digestmod=digest)


def _hmac(key: bytes, digest: KongDigest, text: bytes) -> bytes:
    # hmac.digest looks the algorithm up and schedules the key each time, which takes twice as long as the digest.
    mac = _keyed(key, digest).copy()
    mac.update(text)
    return mac.digest()


def kong_signature(secret: str, body: bytes, digest: KongDigest) -> str:
    return f"{digest}={_hmac(secret.encode(), digest, body).hex()}"


def standard_signature(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature``: one signature a key, as a receiver may have either in a rotation."""
    signed = b".".join((message_id.encode(), b"%d" % timestamp, body))
    return " ".join(["v1," + binascii.b2a_base64(_hmac(key, "sha256", signed), newline=False).decode() for key in keys])


def _timed_signature(keys: Sequence[bytes], timestamp: int, body: bytes) -> str:
    signed = b"%d.%b" % (timestamp, body)
    return ",".join([f"t={timestamp}", *(f"v1={_hmac(key, 'sha256', signed).hex()}" for key in keys)])


_FORMS: Mapping[str, Callable[[Sequence[bytes], int, bytes], str]] = {
    "sha256=hex": lambda keys, _, body: f"sha256={_hmac(keys[0], 'sha256', body).hex()}",
    "hex": lambda keys, _, body: _hmac(keys[0], "sha256", body).hex(),
    "base64": lambda keys, _, body: base64.b64encode(_hmac(keys[0], "sha256", body)).decode(),
    "t,v1": _timed_signature,
}

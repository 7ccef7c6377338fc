"""The headers that prove a message: its id and time, and with a secret its signatures. Pure.

During a rotation ``previous_secret`` signs too; Kong's own header has room for one and takes the new. Fails closed: a
secret that is there but empty or not a text raises, and so does a ``previous_secret`` alone.
"""

from collections.abc import Mapping
from typing import Any

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.signing import KongDigest, key_of, kong_signature, standard_signature


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

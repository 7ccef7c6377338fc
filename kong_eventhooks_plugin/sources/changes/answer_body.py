"""The Admin API's answer as an entity.

Kong's Admin API sends JSON and does not compress; a plugin or a proxy between may. The first bytes say which encoding
it is, since no header comes along: ``1f 8b`` is gzip, ``78`` zlib (HTTP's ``deflate``), anything else is JSON.

Limits: ``BYTES`` of JSON, also once it is unpacked, and ``VALUES`` in it (``bounded_json``). What is larger, broken or
no JSON object cannot be read: a reconciliation finds the change.
"""

import zlib
from typing import Any, Final

import msgspec

from kong_eventhooks_plugin import bounded_json
from kong_eventhooks_plugin.errors import ObservationError

BYTES: Final = 4 << 20
VALUES: Final = 100_000

_GZIP: Final = b"\x1f\x8b"
_ZLIB: Final = b"\x78"
_ANY_HEADER: Final = zlib.MAX_WBITS | 32
"""Has zlib expect gzip's header or its own."""


def decode_entity(body: bytes) -> dict[str, Any]:
    """Return the JSON object that the body holds; raises ``ObservationError`` with a text that holds none of it."""
    try:
        entity = bounded_json.decode(_plain(body), VALUES)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ObservationError("the answer is not JSON") from error
    if not isinstance(entity, dict):
        raise ObservationError("the answer is not a JSON object")
    return entity


def _plain(body: bytes) -> bytes:
    if body.startswith((_GZIP, _ZLIB)):
        return _unpacked(body)
    if len(body) > BYTES:
        raise ObservationError("the answer is too large")
    return body


def _unpacked(body: bytes) -> bytes:
    decompressor = zlib.decompressobj(_ANY_HEADER)
    try:
        plain = decompressor.decompress(body, BYTES + 1)
    except zlib.error as error:
        raise ObservationError("the answer's compression is broken") from error
    if len(plain) > BYTES:
        raise ObservationError("the answer is too large")
    if not decompressor.eof:
        raise ObservationError("the answer is compressed and cut short")
    return plain

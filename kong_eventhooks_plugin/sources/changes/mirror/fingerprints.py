"""Which entities equal their rows, so that comparing one that did not change costs next to nothing.

A fingerprint says that these bytes were compared with this revision of the row and were the same. It is 8 bytes, keyed
with a key of this process's own, in a table of fixed size; another entity's in the same place costs the comparison, and
nothing else. It is not on disk: after a start every entity is compared once.

Limits: ``PLACES`` fingerprints, 8 MB of memory once they are all used.
"""

import secrets
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

PLACES: Final = 1 << 20
_BYTES: Final = 8

_encode = msgspec.json.Encoder(order="deterministic").encode
"""Kong does not write an entity's fields in the same order every time."""


class Fingerprints:
    """By the number of the mirror's row."""

    def __init__(self) -> None:
        self._table = bytearray(PLACES * _BYTES)
        self._key = secrets.token_bytes(16)

    def of(self, entity: Mapping[str, Any], number: int, rev: int) -> bytes:
        """Return the fingerprint of an entity beside the row ``number`` as revision ``rev`` wrote it."""
        return blake2b(b"%d:%d:" % (number, rev) + _encode(entity), digest_size=_BYTES, key=self._key).digest()

    def has(self, number: int, fingerprint: bytes) -> bool:
        at = number % PLACES * _BYTES
        return self._table[at : at + _BYTES] == fingerprint

    def keep(self, number: int, fingerprint: bytes) -> None:
        at = number % PLACES * _BYTES
        self._table[at : at + _BYTES] = fingerprint

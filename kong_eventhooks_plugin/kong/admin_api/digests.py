"""Keyed digests: they say whether two values are equal, and without the key nothing else.

BLAKE2b with a key; 16 bytes. ``Digests`` is for one key. Values are written as JSON with sorted keys; one
that the encoder cannot write (nested past its recursion limit, text that is no Unicode) is walked instead, so
that every value has a digest.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

SIZE = 16
KEY_SIZE = 32

_encode = msgspec.json.Encoder(order="deterministic").encode


class Digests:
    """Digests under one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"the key must have {KEY_SIZE} bytes")
        # A copy of a keyed state costs half as much as a new one.
        self._start = blake2b(key=key, digest_size=SIZE)

    def of(self, *parts: bytes) -> bytes:
        """Return the digest of the parts; where one ends counts."""
        state = self._start.copy()
        state.update(b"".join([_part(part) for part in parts]))
        return state.digest()

    def after(self, *parts: bytes) -> Callable[[bytes], bytes]:
        """Return a function for ``of`` with one more part behind these: for many that begin alike."""
        start = self._start.copy()
        start.update(b"".join([_part(part) for part in parts]))

        def of(last: bytes) -> bytes:
            state = start.copy()
            state.update(_part(last))
            return state.digest()

        return of

    def of_value(self, where: str, value: Any) -> str:
        """Return the digest (hex) of a JSON value that stands at ``where``: elsewhere it has another."""
        return self.of(text_bytes(where), canonical(value)).hex()


def plain(value: Any) -> bytes:
    """Return the digest without a key of a JSON value that holds no secret."""
    return blake2b(canonical(value), digest_size=SIZE).digest()


def canonical(value: Any) -> bytes:
    """Return the same bytes for equal JSON values, other bytes for others."""
    try:
        return _encode(value)
    except (RecursionError, ValueError, TypeError, OverflowError):
        return _walked(value)


def _part(part: bytes) -> bytes:
    return b"%d:%b" % (len(part), part)


def text_bytes(text: str) -> bytes:
    """Return a text's bytes, whatever is in it."""
    return text.encode("utf-8", "surrogatepass")


def _walked(value: Any) -> bytes:
    """Return what ``canonical`` does, without recursion; not the same bytes as the encoder's."""
    written = bytearray()
    left: list[Any] = [value]
    while left:
        each = left.pop()
        if isinstance(each, Mapping):
            written += b"{%d" % len(each)
            for name in sorted(each, key=str, reverse=True):
                left += (each[name], str(name))
        elif isinstance(each, list | tuple):
            written += b"[%d" % len(each)
            left += reversed(each)
        else:
            text = text_bytes(each if isinstance(each, str) else repr(each))
            written += b"%b%d:%b" % (b"s" if isinstance(each, str) else b"v", len(text), text)
    return bytes(written)

"""JSON of a peer, refused before it is parsed where it has too many values.

A parser makes an object of each value and lets nobody else run meanwhile: a megabyte of empty lists takes it a quarter
of a second and twenty megabytes, nine megabytes take four seconds. Counting takes three milliseconds a megabyte.

What is counted are the characters that separate values, outside of texts: a list of n values counts n, an object of n
fields 2 n. Each caller has its own limit; a refusal is a ``TooManyValues``, which is a ``DecodeError``, and so is JSON
that is nested too deep for the parser.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

PIECE: Final = 64 << 10
"""Bytes that are looked at together."""

PIECES: Final = 1 << 20

_ANY: Final = msgspec.json.Decoder()
_SEPARATORS: Final = (b",", b":", b"[", b"{")


class TooManyValues(msgspec.DecodeError): ...


def decode(data: bytes, limit: int, decoder: msgspec.json.Decoder[Any] = _ANY) -> Any:
    """Return the value of JSON with about ``limit`` values at most; raises ``DecodeError`` and ``UnicodeError``."""
    if has_more_values(data, limit):
        raise TooManyValues(f"more than {limit:,} values")
    try:
        return decoder.decode(data)
    except RecursionError as error:
        raise msgspec.DecodeError("nested too deep") from error


def has_more_values(data: bytes, limit: int) -> bool:
    """Return whether JSON has more than ``limit`` values; of what is no JSON, what stands before its first error."""
    # In pieces, so that in a thread the loop has its turn between two.
    if (
        len(data) <= limit
        or sum(_separators(data[start : start + PIECES]) for start in range(0, len(data), PIECES)) <= limit
    ):
        return False
    # Most of them are in texts, or it is refused.
    count = 0
    for outside in _outside_texts(data):
        count += _separators(outside)
        if count > limit:
            return True
    return False


def _outside_texts(data: bytes) -> Iterator[bytes]:
    """Yield what is outside of texts, piece by piece."""
    start, in_text = 0, False
    while start < len(data):
        piece = data[start : start + PIECE]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = data[start : start + PIECE + 1]  # what the last backslash escapes belongs to it
        # A quote inside of a text has a backslash before it.
        cut = piece.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
        yield b"".join(cut[in_text::2])
        in_text ^= len(cut) % 2 == 0
        start += len(piece)


def _separators(data: bytes) -> int:
    return sum(map(data.count, _SEPARATORS))

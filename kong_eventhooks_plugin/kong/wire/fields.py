"""A protobuf message's fields, read by hand where the generated code is too strict or too slow.

Too strict: it refuses a whole message for one byte that is not UTF-8, and a client can put such a byte into a header
that Kong logs. And it reads nothing of a message whose middle is missing. Too slow: half a microsecond a call counts
where a call takes ten.

Rules are those of protobuf's encoding: a field is a varint key (number << 3 | type) and, by type, a varint (0), eight
bytes (1), a length and that many bytes (2), or four bytes (5). Groups (3, 4) do not exist in proto3.
"""

from collections.abc import Iterator

from kong_eventhooks_plugin.errors import BadMessage

VARINT = 0
FIXED64 = 1
BYTES = 2
FIXED32 = 5

_VARINT_BYTES = 10
_FIXED = {FIXED64: 8, FIXED32: 4}


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the varint at ``at`` (unsigned, 64 bits) and where it ends; ``BadMessage`` where there is none."""
    number = 0
    for index, byte in enumerate(data[at : at + _VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, at + index + 1
    raise BadMessage("a varint has no end")


def encode_varint(number: int) -> bytes:
    """Return ``number`` (not negative) as a varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def signed(number: int) -> int:
    """Return a 64-bit varint as protobuf's int64 and int32 mean it."""
    return number - (1 << 64) if number >> 63 else number


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) in the order of the bytes: an int for varints, bytes for all else.

    Raises ``BadMessage`` where the bytes stop making sense, after the fields before it: a length that points past the
    end gives what is there first.
    """
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = read_varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = read_varint(data, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise BadMessage(f"field {number} has the unknown type {kind}")
        yield number, data[at : at + size]
        if at + size > len(data):
            raise BadMessage(f"field {number} ends after the message")
        at += size

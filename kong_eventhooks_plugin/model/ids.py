"""Ids that are derived, so that the same thing reported twice has the same id.

Kong repeats a call when a plugin server's connection closes before the answer: the request is the same,
so the event's id must be too, and the store keeps one of the two. RFC 9562 leaves UUID version 8 to
such schemes; the first 48 bits are the time in milliseconds, so that ids sort by time and an index
on them grows at its end.
"""

import secrets
import uuid
from collections.abc import Callable
from hashlib import blake2b
from itertools import count

_HOOKS = uuid.UUID("6d3f2a0e-5b0c-5f0e-9a53-0c1f5d0a7b11")
_EMPTY_DIGEST = blake2b(digest_size=10)  # a copy costs two thirds of a new one
_OF_DIGEST = 0x0FFF_3FFF_FFFF_FFFF_FFFF
_VERSION_AND_VARIANT = 0x8000_8000_0000_0000_0000


def event_id(at: float, *parts: str) -> str:
    """Return the id of the event that happened ``at`` (Unix seconds).

    ``parts`` identify it: Kong's request id, the source, the event, a limit's name.
    """
    digest = _EMPTY_DIGEST.copy()
    digest.update("\0".join(parts).encode())
    time = round(at * 1000) & ((1 << 48) - 1)
    number = time << 80 | int.from_bytes(digest.digest()) & _OF_DIGEST | _VERSION_AND_VARIANT
    octets = number.to_bytes(16)
    return f"{octets[:4].hex()}-{octets[4:10].hex('-', 2)}-{octets[10:].hex()}"


def unique_ids() -> Callable[[float], str]:
    """Return what makes ids like ``event_id``'s for what nobody reports again, at two thirds of the cost.

    They differ by a number of 26 bits, behind the time, so that their beginnings differ soon, as those of digests do;
    and by 48 random bits of the caller.
    """
    numbers = count(secrets.randbits(26))
    ours = secrets.token_hex(6)

    def unique_id(at: float) -> str:
        time = round(at * 1000) & ((1 << 48) - 1)
        number = next(numbers)
        parts = (time >> 16, time & 0xFFFF, number & 0xFFF, 0x8000 | number >> 12 & 0x3FFF, ours)
        return "%08x-%04x-8%03x-%04x-%s" % parts  # noqa: UP031 - half the cost

    return unique_id


def hook_id(name: str) -> str:
    """Return the id of a declared hook: the same wherever it is declared."""
    return str(uuid.uuid5(_HOOKS, name))


def delivery_id(event: str, hook: str) -> str:
    """Return the id of one event's delivery to one hook, which is the ``webhook-id`` of all its attempts.

    Standard Webhooks joins the id, the timestamp and the body with full stops, so the id may contain none.
    """
    return f"{event}_{hook}"

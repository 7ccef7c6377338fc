"""Ids that are derived, so that the same thing reported twice has the same id.

Kong repeats a call when a plugin server's connection closes before the answer: the request is the same,
so the event's id must be too, and the store keeps one of the two. RFC 9562 leaves UUID version 8 to
such schemes; the first 48 bits are the time in milliseconds, so that ids sort by time and an index
on them grows at its end.
"""

import uuid
from hashlib import blake2b

_HOOKS = uuid.UUID("6d3f2a0e-5b0c-5f0e-9a53-0c1f5d0a7b11")
_VERSION_8 = 0x8 << 76
_VARIANT = 0b10 << 62
_RANDOM_A = ((1 << 12) - 1) << 64
_RANDOM_B = (1 << 62) - 1


def event_id(at: float, *parts: str) -> str:
    """Return the id of the event that happened ``at`` (Unix seconds).

    ``parts`` identify it: Kong's request id, the source, the event, a limit's name.
    """
    digest = int.from_bytes(blake2b("\0".join(parts).encode(), digest_size=10).digest(), "big")
    milliseconds = round(at * 1000) & ((1 << 48) - 1)
    number = milliseconds << 80 | _VERSION_8 | _VARIANT | (digest & (_RANDOM_A | _RANDOM_B))
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def hook_id(name: str) -> str:
    """Return the id of a declared hook: the same wherever it is declared."""
    return str(uuid.uuid5(_HOOKS, name))


def delivery_id(event: str, hook: str) -> str:
    """Return the id of one event's delivery to one hook, which is the ``webhook-id`` of all its attempts.

    Standard Webhooks joins the id, the timestamp and the body with full stops, so the id may contain none.
    """
    return f"{event}_{hook}"

"""The headers of a request: ours, and those that a hook's definition may add. Pure.

Left out, because they would change how the message is framed, routed or proven: ``RESERVED`` and every name
that begins with ``webhook-``; the definition's check reports them. A name that no header can have makes the request
impossible. A value that none can have is cleaned, and noted: an event must not be lost because of a client's own name.

=================================  =============================================================
in a value                         becomes
=================================  =============================================================
line ends, control characters      one space a run, none at its ends
half a surrogate pair              ``?``
what is over ``LONGEST_RENDERED``  cut off; in a template's result only: receivers refuse a long
                                   header, but a definition may need one
=================================  =============================================================
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.errors import ValidationError

BASE_HEADERS: Mapping[bytes, bytes] = {
    b"user-agent": f"kong-event-hooks/{__version__}".encode(),
    b"accept": b"*/*",
    b"accept-encoding": b"identity",
}
"""What every request has; a definition's own headers win."""

RESERVED = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "te",
        "upgrade",
        # They concern this connection, or make the client wait for a go-ahead.
        "keep-alive",
        "proxy-connection",
        "trailer",
        "expect",
    }
)
RESERVED_PREFIX = "webhook-"

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]+")
LONGEST_RENDERED = 4_096
"""Bytes. nginx and Apache take lines of 8 KiB."""

_SHORTEST_SECRET = 6
OPEN = frozenset({b"content-type", b"ce-specversion", b"ce-id", b"ce-source", b"ce-type", b"ce-time", *BASE_HEADERS})
"""Headers that hold no credential: masked, an answer's own ``application/json`` would be lost."""


class UserHeaders(NamedTuple):
    """Lower-case name -> value of each header to send, and what was cleaned in them."""

    values: dict[bytes, bytes]
    notes: list[str]


def user_headers(headers: Any, *, rendered: bool = False) -> UserHeaders:
    """Return a definition's headers; raises ``ValidationError`` for a bad name. ``rendered``: by templates."""
    found = UserHeaders({}, [])
    if not headers:
        return found
    if not isinstance(headers, Mapping):
        raise ValidationError({"config": {"headers": "expected a map"}})
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValidationError({"config": {"headers": "a name that no header can have"}})
        if not isinstance(value, str):
            raise ValidationError({"config": {"headers": {name: "not a header's value"}}})
        lower = name.lower()
        if lower not in RESERVED and not lower.startswith(RESERVED_PREFIX):
            found.values[lower.encode()], changes = _cleaned(value, LONGEST_RENDERED if rendered else None)
            found.notes.extend(f"header {lower}: {change}" for change in changes)
    return found


def header_secrets(headers: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """Yield what may be a credential in them: each value, and its last word."""
    for name, value in headers.items():
        for part in (value, value.rpartition(b" ")[2]):
            if len(part) >= _SHORTEST_SECRET and name not in OPEN:
                yield part


def _cleaned(value: str, longest: int | None) -> tuple[bytes, list[str]]:
    """Return what a header can hold of a value, and what was changed."""
    changes = []
    text = _CONTROLS.sub(" ", value)
    if text != value:
        changes.append("line ends and control characters removed")
    encoded = text.strip(" \t").encode("utf-8", "replace")
    if longest is not None and len(encoded) > longest:
        changes.append(f"cut from {len(encoded):,} to {longest:,} bytes")
        # Whole characters alone.
        encoded = encoded[:longest].decode("utf-8", "ignore").encode()
    return encoded, changes

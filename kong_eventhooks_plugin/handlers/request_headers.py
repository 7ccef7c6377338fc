"""The headers of a request: ours, and those that a hook's definition may add. Pure.

Left out, because they would change how the message is framed, routed or proven: ``RESERVED`` and every name
that begins with ``webhook-``; the definition's check reports them. A name or value that no header can have makes the
request impossible.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

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
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SHORTEST_SECRET = 6
_OPEN = frozenset({b"content-type", *BASE_HEADERS})
"""Headers that hold no credential: masked, an answer's own ``application/json`` would be lost."""


def user_headers(config: Mapping[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    """Yield name (lower case) and value of each header to send; raises ``ValidationError`` for a bad one."""
    headers = config.get("headers") or {}
    if not isinstance(headers, Mapping):
        raise ValidationError({"config": {"headers": "expected a map"}})
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValidationError({"config": {"headers": "a name that no header can have"}})
        if not isinstance(value, str) or _BAD_VALUE.search(value):
            raise ValidationError({"config": {"headers": {name: "not a header's value"}}})
        lower = name.lower()
        if lower not in RESERVED and not lower.startswith(RESERVED_PREFIX):
            yield lower.encode(), _encoded(name, value)


def header_secrets(headers: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """Yield what may be a credential in them: each value, and its last word."""
    for name, value in headers.items():
        for part in (value, value.rpartition(b" ")[2]):
            if len(part) >= _SHORTEST_SECRET and name not in _OPEN:
                yield part


def _encoded(name: str, value: str) -> bytes:
    try:
        return value.strip(" \t").encode()
    except UnicodeEncodeError:
        raise ValidationError({"config": {"headers": {name: "not text"}}}) from None

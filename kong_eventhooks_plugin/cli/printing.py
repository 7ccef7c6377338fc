"""Text as a terminal may have it. Gateway's clients and endpoints have a say in what the command line prints."""

from datetime import UTC, datetime
from typing import Any

import msgspec


def printable(text: str) -> str:
    """Return text that cannot move a terminal's cursor, colour it or turn its writing round; lines and tabs stay."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text)


def when(seconds: float) -> str:
    """Return Unix seconds as ``2026-01-31T12:00:00.000Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def pretty(value: Any) -> str:
    """Return a value as JSON of several lines, for ``--output json``."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

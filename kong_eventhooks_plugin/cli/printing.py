"""Text for a terminal. Gateway's clients and endpoints choose some of what the command line prints."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec


def printable(text: str) -> str:
    """Return text that cannot move a terminal's cursor, colour it or reverse its direction; lines and tabs stay."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text)


def when(seconds: float) -> str:
    """Return Unix seconds as ``2026-01-31T12:00:00.000Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def json_line(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def name_or_id(hook: Mapping[str, Any]) -> str:
    """Return what to call a hook; the API creates hooks without a name, too."""
    return str(hook["name"] or hook["id"])


FAILED: Final = "failed: "
"""What the outcome of a test begins with that ran a lambda which ended with an error."""


def outcome(tested: Mapping[str, Any]) -> str:
    """Return what a test of a hook came to: the status of its endpoint's answer, where it has an endpoint."""
    if tested["error"] is not None:
        return f"{FAILED}{tested['error']}"
    status = tested["result"]["status"]
    return "done" if status is None else f"answered {status}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> str:
    if not rows:
        return empty
    rows = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in (head, *rows))  # fmt: skip


def _cell(text: str) -> str:
    """Return a cell without line ends and escape sequences."""
    return "".join(letter if letter.isprintable() else " " for letter in text)

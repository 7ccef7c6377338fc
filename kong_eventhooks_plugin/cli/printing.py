"""Text for a terminal. Gateway's clients and endpoints choose some of what the command line prints."""

import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

LEAST: Final = 20
"""A column is not cut below so many letters."""

GAP: Final = "  "
"""Between two columns."""


def printable(text: str) -> str:
    """Return text that cannot move a terminal's cursor, colour it or reverse its direction; lines and tabs stay."""
    lines = text.replace("\r\n", "\n")
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in lines)


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


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], empty: str, shrink: Sequence[str] = (), drop: Sequence[str] = ()
) -> str:
    """Return the rows in columns. Where they are wider than the terminal, the columns of ``shrink`` are cut, in turn.

    Where that is not enough, those of ``drop`` that have no room are left out, the first ones before the last. What is
    no terminal gets all of each cell.
    """
    if not rows:
        return empty
    rows = [[_cell(cell) for cell in row] for row in rows]
    widths = {name: max(map(len, column)) for name, *column in zip(head, head, *rows, strict=True)}
    if sys.stdout.isatty():
        _fit(widths, shrink, drop, shutil.get_terminal_size().columns)
    return "\n".join(GAP.join(_fitted(cell, widths[name]) for name, cell in zip(head, row, strict=True)
                               if name in widths).rstrip() for row in (head, *rows))  # fmt: skip


def _fit(widths: dict[str, int], shrink: Sequence[str], drop: Sequence[str], room: int) -> None:
    """Take from the columns' widths what is more than the room."""
    least = {name: min(width, LEAST) if name in shrink else width for name, width in widths.items()}
    left = room - _total([width for name, width in least.items() if name not in drop])
    for name in reversed(drop):
        needed = least[name] + len(GAP)
        if needed <= left:
            left -= needed
        else:
            del widths[name]
    over = max(0, _total(widths.values()) - room)
    for name in shrink:
        if name in widths:
            cut = min(over, widths[name] - least[name])
            widths[name] -= cut
            over -= cut


def _total(widths: Collection[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _fitted(cell: str, width: int) -> str:
    """Return a cell as wide as its column; of a long one the end is kept too: places and names differ there."""
    if len(cell) <= width:
        return cell.ljust(width)
    end = (width - 1) * 2 // 3
    return f"{cell[: width - 1 - end]}…{cell[-end:]}"


def _cell(text: str) -> str:
    """Return a cell without line ends and escape sequences."""
    return "".join(letter if letter.isprintable() else " " for letter in text)

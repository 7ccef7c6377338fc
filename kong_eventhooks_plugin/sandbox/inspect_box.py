"""Formats values as ``kong.log.inspect`` of Kong 3.9 does: the tables of inspect.lua 3.1 in a box 120 wide. Pure.

``render`` follows inspect.lua: a list on one line, a table's keys sorted and one a line, strings quoted with ``"``
(with ``'`` where they hold ``"`` and no ``'``), numbers as Lua prints them. JSON's null is ``null``: what Kong prints
of ngx.null, ``<userdata 1>``, says nothing to a reader. ``box`` follows kong/pdk/log.lua: a header line filled up with
dashes, lines of ``WRAP`` between bars, longer ones cut into several. Kong counts bytes and may cut a character in two;
here characters are counted.

Limits: tables deeper than ``DEPTH`` are ``{...}``, as inspect.lua's own option does it; past ``LENGTH`` characters a
text ends with ``[cut]``. What cannot be UTF-8 (half a surrogate pair) becomes ``?``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

WRAP = 120
DEPTH = 32
LENGTH = 32_768
CUT = " [cut]"

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"([\x00-\x1f\x7f])(?=([0-9])?)")
_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\x7f": "\\127"}


def box(header: str, *values: Any) -> str:
    """Return the lines that ``kong.log.inspect(*values)`` writes, joined; ``header`` is its first line's beginning."""
    return boxed(header, render(*values))


def render(*values: Any) -> str:
    """Return what stands in the box. Of large values no more is looked at than fits."""
    parts, length = [], 0
    for part in _all_parts(values):
        parts.append(part)
        length += len(part)
        if length > LENGTH:
            return "".join(parts)[:LENGTH] + CUT
    return "".join(parts)


def boxed(header: str, text: str) -> str:
    """Return the box around a text that ``render`` returned."""
    lines = "\n".join(_lines(escaped(header), text))
    return lines if lines.isascii() else lines.encode("utf-8", "replace").decode()


def escaped(text: str) -> str:
    """Return ``text`` with backslashes and control characters as escapes; Lua needs three digits before a digit."""
    return _CONTROL.sub(_escape, text.replace("\\", "\\\\"))


def _lines(header: str, text: str) -> Iterator[str]:
    yield header + "-" * (WRAP + 1 - len(header)) + "+"
    at = 0
    while at < len(text):
        line, newline, _ = text[at : at + WRAP].partition("\n")
        # A line of just WRAP characters leaves its newline to the next iteration: Kong prints an empty line, too.
        at += len(line) + len(newline)
        yield f"|{line:<{WRAP}}|"
    yield "+" + "-" * WRAP + "+"


def _all_parts(values: Sequence[Any]) -> Iterator[str]:
    for number, value in enumerate(values):
        if number:
            yield " "
        yield from _parts(value, 0)


def _parts(value: Any, level: int) -> Iterator[str]:
    if isinstance(value, str):
        yield _quoted(escaped(value[: LENGTH + 1]))
    elif isinstance(value, Mapping):
        yield from _table((), value, level)
    elif isinstance(value, list | tuple):
        yield from _table(value, {}, level)
    else:
        yield _scalar(value)


def _table(sequence: list[Any] | tuple[Any, ...], fields: Mapping[Any, Any], level: int) -> Iterator[str]:
    if level >= DEPTH:
        yield "{...}"
        return
    yield "{"
    separator = " "
    for item in sequence:
        yield separator
        yield from _parts(item, level + 1)
        separator = ", "
    indent = "\n" + "  " * (level + 1)
    separator = indent
    for name, item in sorted(((str(name), item) for name, item in fields.items()), key=_by_bytes):
        yield separator
        yield name if _IDENTIFIER.fullmatch(name) else f"[{_quoted(escaped(name[: LENGTH + 1]))}]"
        yield " = "
        yield from _parts(item, level + 1)
        separator = "," + indent
    if fields:
        yield "\n" + "  " * level
    yield " }" if sequence else "}"


def _by_bytes(field: tuple[str, Any]) -> bytes:
    return field[0].encode("utf-8", "surrogatepass")


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    return f"<{type(value).__name__}>"


def _number(value: float) -> str:
    try:
        return f"{float(value):.14g}"
    except OverflowError:
        return "inf" if value > 0 else "-inf"


def _quoted(text: str) -> str:
    if '"' in text and "'" not in text:
        return f"'{text}'"
    return '"' + text.replace('"', '\\"') + '"'


def _escape(match: re.Match[str]) -> str:
    character, digit = match.groups()
    if (short := _SHORT.get(character)) is not None:
        return short
    return f"\\{ord(character):03d}" if digit else f"\\{ord(character)}"

"""From a form's flat names to nested values: ``config.headers.x=1``, ``tags[]=a``, ``config.functions[2]=...``.

Kong's Admin API reads forms so (kong/api/arguments_decoder.lua); tests/captures/rest/form-answers.jsonl holds what a
real one made of them. A dot or a pair of brackets goes one level down; ``[]`` adds to a list; ``[2]`` is a list's
second place; a dot inside brackets is part of the name (``headers[a.b]``). A name that comes several times has a
list as its value.

Differences, on purpose: a multipart form's repeated names are all taken (Kong takes the last), ``blocks[].type=x`` is
a list with one object (Kong: an object), and a name that is given both a value and fields is refused by its path.

Limits, each a 400 where it is passed: 1,000 names with their values ("Too many arguments", Kong's own), 32 levels. The
work grows with the form's length and no faster.
"""

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import Any

from kong_eventhooks_plugin.errors import BadArgument, ValidationError

MAX_ARGUMENTS = 1_000
MAX_LEVELS = 32
MAX_PLACE = 9_999

_APPEND = -1
"""The place of ``[]``. Those that are written begin with 1; a list with a place 0 is none."""

Step = str | int


class _List:
    """Values by their place, for names with ``[]`` and ``[2]``."""

    __slots__ = ("added", "placed")

    def __init__(self) -> None:
        self.placed: dict[int, Any] = {}
        self.added: list[Any] = []


class _Fields(dict[str, Any]):
    """An object that is being put together."""


def nested(arguments: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the object that a form's names and values make; values stay text.

    Raises ``BadArgument`` past a limit, ``ValidationError`` for names that contradict each other.
    """
    grouped: dict[str, list[str]] = {}
    for count, (name, value) in enumerate(arguments):
        if count >= MAX_ARGUMENTS:
            raise BadArgument("Too many arguments")
        grouped.setdefault(name, []).append(value)
    root = _Fields()
    for name, values in grouped.items():
        way = list(islice(steps(name), MAX_LEVELS + 1))
        if len(way) > MAX_LEVELS:
            raise BadArgument(f"a name is nested deeper than {MAX_LEVELS} levels")
        _put(root, way, values)
    finished = _finished(root)
    return finished if isinstance(finished, dict) else {}


def steps(name: str) -> Iterator[Step]:
    """Yield the way down that a name describes: fields as text, a list's places as numbers (-1: at its end)."""
    if not name or name.startswith(".") or name.endswith("."):
        yield name
        return
    for segment in _segments(name):
        # A bracket that a name begins with is part of it, as in Kong.
        at = segment.find("[", 1)
        if at < 0 or not segment.endswith("]"):
            yield segment
            continue
        yield segment[:at]
        for inside in segment[at + 1 : -1].split("]["):
            yield _step(inside)


def _segments(name: str) -> Iterator[str]:
    """Yield what dots separate, those inside brackets aside; a bracket that is never closed is plain text."""
    last_closing = name.rfind("]")
    start = at = 0
    while at < len(name):
        if name[at] == "[" and at < last_closing:
            at = name.index("]", at)
        elif name[at] == ".":
            if at > start:
                yield name[start:at]
            start = at + 1
        at += 1
    if start < len(name):
        yield name[start:]


def _step(inside: str) -> Step:
    if not inside:
        return _APPEND
    is_place = inside.isascii() and inside.isdecimal() and len(inside) <= len(str(MAX_PLACE))
    return int(inside) if is_place else inside


def _put(root: _Fields, way: list[Step], values: list[str]) -> None:
    node: Any = root
    for step, following in pairwise(way):
        node = _child(node, step, _List if isinstance(following, int) else _Fields, way)
    last = way[-1]
    if isinstance(node, _List) and last == _APPEND:
        node.added.extend(values)
        return
    holder: dict[Any, Any] = node.placed if isinstance(node, _List) else node
    if last in holder:
        raise _contradiction(way)
    holder[last] = values[0] if len(values) == 1 else values


def _child(node: _Fields | _List, step: Step, kind: type[_Fields] | type[_List], way: list[Step]) -> Any:
    """Return what stands below a node at a step, made where it is missing."""
    if isinstance(node, _List) and step == _APPEND:
        # An object at the end of a list: all of a form's ``blocks[].x`` are fields of one.
        step = 1
    holder: dict[Any, Any] = node.placed if isinstance(node, _List) else node
    child = holder.setdefault(step, kind())
    if not isinstance(child, kind):
        raise _contradiction(way)
    return child


def _contradiction(way: list[Step]) -> ValidationError:
    return ValidationError({str(way[0]): f"'{_spelled(way)}' is given in two ways that exclude each other"})


def _spelled(way: list[Step]) -> str:
    return "".join(_bracketed(step) if isinstance(step, int) else f".{step}" for step in way)[1:101]


def _bracketed(place: int) -> str:
    return "[]" if place == _APPEND else f"[{place}]"


def _finished(node: Any) -> Any:
    if isinstance(node, _Fields):
        return {name: _finished(value) for name, value in node.items()}
    if not isinstance(node, _List):
        return node
    places = sorted(node.placed)
    if places != list(range(1, len(places) + 1)):
        # Gaps: no list. As an object it is refused by the field that wants a list, which is what Kong says.
        return {str(place): _finished(node.placed[place]) for place in places}
    return [*(_finished(node.placed[place]) for place in places), *node.added]

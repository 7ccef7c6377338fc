"""From a form's flat names to nested values: ``config.headers.x=1``, ``tags[]=a``, ``config.functions[2]=...``.

As Kong's Admin API reads forms (kong/api/arguments_decoder.lua; tests/captures/rest/form-answers.jsonl holds answers of
a real one). A dot or a pair of brackets is one level down; ``[]`` appends to a list; ``[2]`` is its second element; a
dot inside brackets is part of the name (``headers[a.b]``). A repeated name has a list as its value.

Differences, on purpose: of a multipart form's repeated names all count (in Kong the last), ``blocks[].type=x`` is a
list with one object (Kong: an object), and a name with both a value and fields is refused with its path.

Limits, each a 400: 1,000 names with their values ("Too many arguments", as in Kong), 32 levels. The work grows
linearly with the form's length.
"""

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import Any

from kong_eventhooks_plugin.errors import BadArgument, ValidationError

MAX_ARGUMENTS = 1_000
MAX_LEVELS = 32
MAX_PLACE = 9_999

_APPEND = -1
"""The place of ``[]``. Written places begin with 1; with a place 0 it is no list."""

Step = str | int


class _List:
    __slots__ = ("appended", "placed")

    def __init__(self) -> None:
        self.placed: dict[int, Any] = {}
        self.appended: list[Any] = []


class _Fields(dict[str, Any]):
    pass


def nested(arguments: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return a form as an object; values stay text.

    Raises ``BadArgument`` past a limit, ``ValidationError`` for names that contradict each other.
    """
    grouped: dict[str, list[str]] = {}
    for count, (name, value) in enumerate(arguments):
        if count >= MAX_ARGUMENTS:
            raise BadArgument("Too many arguments")
        grouped.setdefault(name, []).append(value)
    root = _Fields()
    for name, values in grouped.items():
        path = list(islice(steps(name), MAX_LEVELS + 1))
        if len(path) > MAX_LEVELS:
            raise BadArgument(f"a name is nested deeper than {MAX_LEVELS} levels")
        _put(root, path, values)
    finished = _finished(root)
    return finished if isinstance(finished, dict) else {}


def steps(name: str) -> Iterator[Step]:
    """Yield a name's path: fields as text, places in a list as numbers (-1: append)."""
    if not name or name.startswith(".") or name.endswith("."):
        yield name
        return
    for segment in _segments(name):
        # As in Kong, a bracket at the beginning is part of the name.
        at = segment.find("[", 1)
        if at < 0 or not segment.endswith("]"):
            yield segment
            continue
        yield segment[:at]
        for inside in segment[at + 1 : -1].split("]["):
            yield _step(inside)


def _segments(name: str) -> Iterator[str]:
    """Split at dots outside brackets; a bracket that is never closed is plain text."""
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


def _put(root: _Fields, path: list[Step], values: list[str]) -> None:
    node: Any = root
    for step, following in pairwise(path):
        node = _child(node, step, _List if isinstance(following, int) else _Fields, path)
    last = path[-1]
    if isinstance(node, _List) and last == _APPEND:
        node.appended.extend(values)
        return
    holder: dict[Any, Any] = node.placed if isinstance(node, _List) else node
    if last in holder:
        raise _contradiction(path)
    holder[last] = values[0] if len(values) == 1 else values


def _child(node: _Fields | _List, step: Step, kind: type[_Fields] | type[_List], path: list[Step]) -> Any:
    """Return a node's child, created where it is missing."""
    if isinstance(node, _List) and step == _APPEND:
        # All of a form's ``blocks[].x`` are fields of one object.
        step = 1
    holder: dict[Any, Any] = node.placed if isinstance(node, _List) else node
    child = holder.setdefault(step, kind())
    if not isinstance(child, kind):
        raise _contradiction(path)
    return child


def _contradiction(path: list[Step]) -> ValidationError:
    return ValidationError({str(path[0]): f"'{_spelled(path)}' is given in two ways that exclude each other"})


def _spelled(path: list[Step]) -> str:
    return "".join(_bracketed(step) if isinstance(step, int) else f".{step}" for step in path)[1:101]


def _bracketed(place: int) -> str:
    return "[]" if place == _APPEND else f"[{place}]"


def _finished(node: Any) -> Any:
    if isinstance(node, _Fields):
        return {name: _finished(value) for name, value in node.items()}
    if not isinstance(node, _List):
        return node
    places = sorted(node.placed)
    if places != list(range(1, len(places) + 1)):
        # With gaps it is no list. As in Kong, the field that expects a list refuses the object.
        return {str(place): _finished(node.placed[place]) for place in places}
    return [*(_finished(node.placed[place]) for place in places), *node.appended]

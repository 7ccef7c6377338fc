"""A compiled filter as a tree, and a part of it as a filter of its own, so that each part can be evaluated. Pure.

It is read from what cel-expr-python serializes: ``CheckedExpr`` (cel/expr/checked.proto, syntax.proto of the CEL
specification). The wire format is read here, the fields that are needed alone: Python's protobuf takes longer to load
than a worker to start. Limit: a filter has ``MAX_EXPRESSION`` characters, and the compiler refuses one of more than 32
levels.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

_EXPRESSION: Final = 4
_SOURCE: Final = 5
_POSITIONS: Final = 4
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5

_CONSTANT, _IDENTIFIER, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = range(3, 10)


class Node(NamedTuple):
    """One expression; ``encoded`` is it as it was read.

    ===========  =========================================================================================
    kind         has
    ===========  =========================================================================================
    constant     ``value``; ``name`` is ``uint`` where it is one
    identifier   ``name``
    select, has  the field ``name`` of ``target``, or whether it is there
    call         ``name`` with ``arguments``, of ``target`` where it is a method
    list, map    ``arguments``; of a map keys and values in turn
    message      ``name``; the values of its fields in ``arguments``
    loop         ``target``, with ``name`` as the variable (exists, all, map, ...); ``arguments`` are the rest
    ===========  =========================================================================================
    """

    kind: str
    number: int
    encoded: bytes
    name: str = ""
    value: Any = None
    target: "Node | None" = None
    arguments: "tuple[Node, ...]" = ()

    @property
    def children(self) -> "tuple[Node, ...]":
        return self.arguments if self.target is None else (self.target, *self.arguments)


class Tree(NamedTuple):
    """A filter: ``root``, and where in the text each node stands (its number -> an offset in characters)."""

    root: Node
    positions: dict[int, int]
    type_url: bytes
    rest: bytes

    def alone(self, node: Node) -> bytes:
        """Return a part as a filter of its own, which the library reads."""
        checked = self.rest + _field(_EXPRESSION, node.encoded)
        return _field(1, self.type_url) + _field(2, checked)


def read_tree(serialized: bytes) -> Tree:
    outer = dict(_fields(serialized))
    rest, encoded, positions = bytearray(), b"", {}
    for number, value in _fields(outer[2]):
        if number == _EXPRESSION:
            encoded = value
            continue
        rest += _field(number, value) if isinstance(value, bytes) else b""
        if number == _SOURCE:
            entries = (dict(_fields(entry)) for name, entry in _fields(value) if name == _POSITIONS)
            positions = {entry.get(1, 0): entry.get(2, 0) for entry in entries}
    return Tree(_node(encoded), positions, outer[1], bytes(rest))


def parts_of(node: Node, depth: int = 0) -> Iterator[tuple[int, Node]]:
    """Yield the parts that have a value of their own to show: not constants, nor what a loop evaluates many times."""
    shown = not (node.kind in ("constant", "list", "map") or (node.kind == "identifier" and node.name == "data"))
    if shown:
        yield depth, node
    if node.kind in ("select", "has"):
        inner: tuple[Node | None, ...] = (_beginning(node),)
    else:
        inner = (node.target,) if node.kind == "loop" else node.children
    for each in inner:
        if each is not None:
            yield from parts_of(each, depth + shown)


def _beginning(node: Node) -> Node | None:
    """Return what a chain of fields begins with, ``data`` of ``data.consumer.username``."""
    found: Node | None = node
    while found is not None and found.kind in ("select", "has"):
        found = found.target
    return found


def _node(encoded: bytes) -> Node:
    number, kind, body = 0, 0, b""
    for field, value in _fields(encoded):
        if field == 2:
            number = value
        elif field >= _CONSTANT:
            kind, body = field, value
    return _READERS[kind](number, encoded, list(_fields(body)))


def _constant(number: int, encoded: bytes, fields: list[tuple[int, Any]]) -> Node:
    value: Any = None
    for field, raw in fields:
        value = _CONSTANTS[field](raw)
    return Node("constant", number, encoded, "uint" if 4 in dict(fields) else "", value)


_CONSTANTS: Final[Mapping[int, Callable[[Any], Any]]] = {
    1: lambda _: None,
    2: bool,
    3: lambda raw: raw - (1 << 64) if raw >> 63 else raw,
    4: int,
    5: lambda raw: struct.unpack("<d", raw)[0],
    6: bytes.decode,
    7: bytes,
    8: str,
    9: str,
}


def _identifier(number: int, encoded: bytes, fields: list[tuple[int, Any]]) -> Node:
    return Node("identifier", number, encoded, dict(fields).get(1, b"").decode())


def _select(number: int, encoded: bytes, fields: list[tuple[int, Any]]) -> Node:
    found = dict(fields)
    return Node("has" if found.get(3) else "select", number, encoded, found[2].decode(), target=_node(found[1]))


def _call(number: int, encoded: bytes, fields: list[tuple[int, Any]]) -> Node:
    found = dict(fields)
    target = _node(found[1]) if 1 in found else None
    return Node("call", number, encoded, found[2].decode(), target=target, arguments=_all(fields, 3))


def _list(number: int, encoded: bytes, fields: list[tuple[int, Any]]) -> Node:
    return Node("list", number, encoded, arguments=_all(fields, 1))


def _struct(number: int, encoded: bytes, fields: list[tuple[int, Any]]) -> Node:
    name = dict(fields).get(1, b"").decode()
    entries = [dict(_fields(entry)) for field, entry in fields if field == 2]
    inner = tuple(_node(entry[field]) for entry in entries for field in (3, 4) if field in entry)
    return Node("message" if name else "map", number, encoded, name, arguments=inner)


def _comprehension(number: int, encoded: bytes, fields: list[tuple[int, Any]]) -> Node:
    found = dict(fields)
    rest = tuple(_node(found[field]) for field in (4, 5, 6, 7) if field in found)
    return Node("loop", number, encoded, found[1].decode(), target=_node(found[2]), arguments=rest)


_READERS: Final = {
    _CONSTANT: _constant,
    _IDENTIFIER: _identifier,
    _SELECT: _select,
    _CALL: _call,
    _LIST: _list,
    _STRUCT: _struct,
    _COMPREHENSION: _comprehension,
}


def _all(fields: list[tuple[int, Any]], wanted: int) -> tuple[Node, ...]:
    return tuple(_node(value) for field, value in fields if field == wanted)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield a message's fields: a number for a varint, bytes for everything else."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        else:
            size = {_DOUBLE: 8, _FLOAT: 4}[wire]
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _field(number: int, value: bytes) -> bytes:
    return _written(number << 3 | _BYTES) + _written(len(value)) + value


def _written(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)

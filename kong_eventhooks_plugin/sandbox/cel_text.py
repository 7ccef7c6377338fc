"""A part of a filter as text again, with the spaces and parentheses that it needs and no others. Pure."""

from typing import Final

import msgspec

from kong_eventhooks_plugin.sandbox.cel_ast import Node

_BINARY: Final = {
    "_||_": ("||", 1), "_&&_": ("&&", 2),
    "_==_": ("==", 3), "_!=_": ("!=", 3), "_<_": ("<", 3), "_<=_": ("<=", 3), "_>_": (">", 3), "_>=_": (">=", 3),
    "@in": ("in", 3),
    "_+_": ("+", 4), "_-_": ("-", 4), "_*_": ("*", 5), "_/_": ("/", 5), "_%_": ("%", 5),
}  # fmt: skip
"""Operator and how strongly it binds."""
_UNARY: Final = {"!_": "!", "-_": "-"}
_STRONG: Final = 6
_RESULT: Final = "@result"


def text_of(node: Node) -> str:
    return _text(node)[0]


def _text(node: Node) -> tuple[str, int]:
    """Return the text, and how strongly what is outermost in it binds."""
    if node.kind == "constant":
        return _constant(node), _STRONG
    if node.kind == "identifier":
        return node.name, _STRONG
    if node.kind == "list":
        return f"[{_joined(node.arguments)}]", _STRONG
    if node.kind == "map":
        entries = zip(node.arguments[::2], node.arguments[1::2], strict=False)
        return "{" + ", ".join(f"{text_of(key)}: {text_of(value)}" for key, value in entries) + "}", _STRONG
    if node.kind == "message":
        return f"{node.name}{{...}}", _STRONG
    if node.kind == "loop":
        return _loop(node), _STRONG
    if node.kind in ("select", "has") and node.target is not None:
        text = f"{_within(node.target, _STRONG)}.{node.name}"
        return (f"has({text})" if node.kind == "has" else text), _STRONG
    return _call(node)


def _call(node: Node) -> tuple[str, int]:
    arguments = node.arguments
    if node.name in _BINARY and len(arguments) == 2:
        operator, strength = _BINARY[node.name]
        left, right = _within(arguments[0], strength), _within(arguments[1], strength + (strength > 2))
        return f"{left} {operator} {right}", strength
    if node.name in _UNARY:
        return f"{_UNARY[node.name]}{_within(arguments[0], _STRONG)}", _STRONG
    if node.name == "_?_:_":
        condition, yes, no = arguments
        return f"{_within(condition, 1)} ? {_within(yes, 1)} : {text_of(no)}", 0
    if node.name == "_[_]":
        return f"{_within(arguments[0], _STRONG)}[{text_of(arguments[1])}]", _STRONG
    of = "" if node.target is None else f"{_within(node.target, _STRONG)}."
    return f"{of}{node.name}({_joined(arguments)})", _STRONG


def _loop(node: Node) -> str:
    """Return ``list.exists(name, body)`` and the like: the compiler has made a loop of it."""
    start, _, step, *_ = node.arguments
    over = "" if node.target is None else _within(node.target, _STRONG)
    *conditions, last = [each for each in step.arguments if not _is_result(each)]
    if start.kind == "list":
        name, parts = _collecting(node.name, conditions, last)
    else:
        name = {False: "exists", True: "all"}[start.value] if isinstance(start.value, bool) else "exists_one"
        parts = [conditions[0] if conditions else last]
    return f"{over}.{name}({', '.join([node.name, *map(text_of, parts)])})"


def _collecting(variable: str, conditions: list[Node], last: Node) -> tuple[str, list[Node]]:
    # [element], or @result + [element] behind a condition.
    elements = last if last.kind == "list" else last.arguments[-1]
    element = elements.arguments[0]
    if conditions and element.kind == "identifier" and element.name == variable:
        return "filter", conditions
    return "map", [*conditions, element]


def _is_result(node: Node) -> bool:
    return node.kind == "identifier" and node.name == _RESULT


def _within(node: Node, strength: int) -> str:
    text, own = _text(node)
    return text if own >= strength else f"({text})"


def _joined(nodes: tuple[Node, ...]) -> str:
    return ", ".join(map(text_of, nodes))


def _constant(node: Node) -> str:
    if isinstance(node.value, bytes):
        return repr(node.value)
    return msgspec.json.encode(node.value).decode() + ("u" if node.name == "uint" else "")

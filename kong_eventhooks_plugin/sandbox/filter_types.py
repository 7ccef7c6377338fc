"""Checks a filter or a success rule against the types of what it reads. Pure.

CEL's own checker sees ``data`` as a map of anything: a field that no event has, a number where a condition is needed
and a text that is compared with a number would show only at an event. Here each is an error with its place and what was
probably meant. Only what is certain is refused:

================  ============================================================================
a field's type    means
================  ============================================================================
``any``           nothing is known of it: a changed entity, say
``[type]``        a list of that
``{name: type}``  an object with these fields and no others
``{"...": any}``  beside others an object that may have more: a name that is nearly one of the
                  known is refused, any other may be there, and is of that type
================  ============================================================================

What CEL's checker finds by itself it says in the names of its overloads; here it is said in words (``expressions``).

Every field can be null, so null compares with anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kong_eventhooks_plugin.sandbox.cel_ast import Node, Tree
from kong_eventhooks_plugin.sandbox.cel_text import text_of
from kong_eventhooks_plugin.sandbox.tasks import CompileError
from kong_eventhooks_plugin.suggestions import VERY_NEAR, closest, did_you_mean

Kind = Any
"""``text``, ``number``, ``boolean``, ``null``, ``any``; ``bytes``, ``time``, ``duration``; a list or a mapping."""

OPEN: Final = "..."

FILTER_VARIABLES: Final[Mapping[str, Kind]] = {"source": "text", "event": "text", "data": {OPEN: "any"}}
RULE_VARIABLES: Final[Mapping[str, Kind]] = {"status": "number", "headers": {OPEN: "text"}, "body": "text"}
"""What a filter and a success rule see."""

_COMPARED: Final = ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_")
_LOGICAL: Final = ("_&&_", "_||_", "!_")
_ARITHMETIC: Final = ("_-_", "_*_", "_/_", "_%_", "-_")
_TEXT_METHODS: Final = ("startsWith", "endsWith", "contains", "matches")
_CONVERSIONS: Final = {
    "string": "text", "int": "number", "uint": "number", "double": "number", "bool": "boolean", "bytes": "bytes",
    "timestamp": "time", "duration": "duration", "size": "number", "matches": "boolean",
}  # fmt: skip
_WORDS: Final = {
    "text": "text", "number": "a number", "boolean": "true or false", "null": "null", "bytes": "bytes",
    "time": "a time", "duration": "a duration",
}  # fmt: skip


def type_error(tree: Tree, text: str, fields: Mapping[str, Kind]) -> CompileError | None:
    """Return what is wrong with a filter: the first error's place, and the others behind its text."""
    return variables_error(tree, text, {**FILTER_VARIABLES, "data": {**fields}}, "a filter")


def variables_error(tree: Tree, text: str, variables: Mapping[str, Kind], name: str) -> CompileError | None:
    """Return the same of an expression over ``variables``, which is called ``name``."""
    checker = _Checker(variables)
    kind = checker.kind(tree.root, {})
    if not _may_be(kind, "boolean"):
        what = _needs_condition(tree.root, kind)
        checker.errors.append((tree.root, f"{name} must be true or false; {what}"))
    found = [(_place(text, _beginning(tree, node)), error) for node, error in checker.errors]
    found += [(_place(text, _name(tree, node)), error) for node, error in checker.unknown]
    found.sort()
    if not found:
        return None
    (line, column), first = found[0]
    others = [f"line {place[0]}, column {place[1]}: {error}" for place, error in found[1:]]
    return CompileError(line, column, "; ".join([first, *others]))


class _Checker:
    def __init__(self, variables: Mapping[str, Kind]) -> None:
        self._variables = variables
        self.errors: list[tuple[Node, str]] = []
        self.unknown: list[tuple[Node, str]] = []
        """Fields that are not there, whose names are the place."""

    def kind(self, node: Node, variables: Mapping[str, Kind]) -> Kind:
        """Return what a part is; ``variables`` are those of the loops around it."""
        match node.kind:
            case "constant":
                return _constant(node.value)
            case "identifier":
                return self._identifier(node.name, variables)
            case "select" | "has" if node.target is not None:
                found = self._field(node, node.name, self.kind(node.target, variables), node.target)
                return "boolean" if node.kind == "has" else found
            case "list":
                return [_one_kind([self.kind(each, variables) for each in node.arguments])]
            case "loop":
                return self._loop(node, variables)
            case "call":
                return self._call(node, variables)
        for each in node.children:
            self.kind(each, variables)
        return "any"

    def _identifier(self, name: str, variables: Mapping[str, Kind]) -> Kind:
        return variables[name] if name in variables else self._variables.get(name, "any")

    def _field(self, node: Node, name: str, kind: Kind, of: Node) -> Kind:
        if kind == "any":
            return "any"
        if not isinstance(kind, dict):
            self.errors.append((node, f"{text_of(of)} is {_word(kind)} and has no field '{name}'"))
            return "any"
        if name in kind:
            return kind[name]
        known = [each for each in kind if each != OPEN]
        if OPEN in kind and closest(name, known, VERY_NEAR) is None:
            return kind[OPEN]
        meant = did_you_mean(name, known)
        listed = meant or f"; it has {', '.join(sorted(known))}"
        self.unknown.append((node, f"{text_of(of)} has no field '{name}'{listed}"))
        return "any"

    def _loop(self, node: Node, variables: Mapping[str, Kind]) -> Kind:
        assert node.target is not None  # noqa: S101 - a loop has one
        over = self.kind(node.target, variables)
        if not (over == "any" or isinstance(over, list | dict)):
            self.errors.append((node.target, f"{text_of(node.target)} is {_word(over)}, not a list"))
        element = over[0] if isinstance(over, list) else "text" if isinstance(over, dict) else "any"
        start, condition, step, *rest = node.arguments
        inner = {**variables, node.name: element, "@result": "any"}
        for each in (condition, step, *rest):
            self.kind(each, inner)
        return ["any"] if start.kind == "list" else "boolean"

    def _call(self, node: Node, variables: Mapping[str, Kind]) -> Kind:
        kinds = [self.kind(each, variables) for each in node.arguments]
        if node.target is not None:
            return self._method(node, self.kind(node.target, variables))
        for names, check in (
            (_LOGICAL, self._logical),
            (("_?_:_",), self._choice),
            (_COMPARED, self._comparison),
            (("@in",), self._in),
            (("_[_]",), self._index),
            (("_+_",), self._sum),
            (_ARITHMETIC, self._numbers),
        ):
            if node.name in names:
                return check(node, kinds)
        return _CONVERSIONS.get(node.name, "any")

    def _logical(self, node: Node, kinds: Sequence[Kind]) -> Kind:
        for part, kind in zip(node.arguments, kinds, strict=True):
            self._condition(part, kind)
        return "boolean"

    def _choice(self, node: Node, kinds: Sequence[Kind]) -> Kind:
        self._condition(node.arguments[0], kinds[0])
        return _one_kind(kinds[1:])

    def _comparison(self, node: Node, kinds: Sequence[Kind]) -> Kind:
        self._compare(node, node.arguments, kinds)
        return "boolean"

    def _sum(self, node: Node, kinds: Sequence[Kind]) -> Kind:
        if "text" in kinds and "number" in kinds:
            number = text_of(node.arguments[kinds.index("number")])
            self.errors.append((node, f"text and a number do not add up; write string({number})"))
        return _one_kind(kinds)

    def _numbers(self, node: Node, kinds: Sequence[Kind]) -> Kind:
        for part, kind in zip(node.arguments, kinds, strict=True):
            if kind in ("text", "boolean") or isinstance(kind, list | dict):
                self.errors.append((part, f"{text_of(part)} is {_word(kind)}, not a number"))
        return _one_kind(kinds)

    def _method(self, node: Node, of: Kind) -> Kind:
        target = text_of(node.target) if node.target is not None else ""
        if node.name in _TEXT_METHODS:
            if not _may_be(of, "text"):
                if isinstance(of, list):
                    meant = f"; write {text_of(node.arguments[0])} in {target}" if node.arguments else ""
                else:
                    meant = f"; write string({target}).{node.name}(...)" if of == "number" else ""
                self.errors.append((node, f"{node.name} is for text; {target} is {_word(of)}{meant}"))
            return "boolean"
        if node.name == "size":
            if of in ("number", "boolean"):
                self.errors.append((node, f"size is for text, lists and objects; {target} is {_word(of)}"))
            return "number"
        return "number" if node.name.startswith("get") else "any"

    def _condition(self, node: Node, kind: Kind) -> None:
        if not _may_be(kind, "boolean"):
            self.errors.append((node, f"a condition must be true or false; {_needs_condition(node, kind)}"))

    def _compare(self, node: Node, parts: Sequence[Node], kinds: Sequence[Kind]) -> None:
        left, right = kinds
        if "any" in kinds or "null" in kinds or _alike(left, right):
            return
        said = f"{text_of(parts[0])} is {_word(left)}, {text_of(parts[1])} is {_word(right)}"
        self.errors.append((node, f"{said}: they cannot be compared{_meant(parts, kinds)}"))

    def _in(self, node: Node, kinds: Sequence[Kind]) -> Kind:
        left, right = kinds
        needle, container = node.arguments
        if right == "text":
            meant = f"; write {text_of(container)}.contains({text_of(needle)})"
            self.errors.append((node, f"'in' needs a list; {text_of(container)} is text{meant}"))
        elif right in ("number", "boolean"):
            self.errors.append((node, f"'in' needs a list; {text_of(container)} is {_word(right)}"))
        elif container.kind == "list":
            for each in container.arguments:
                self._compare(node, (needle, each), (left, self.kind(each, {})))
        elif isinstance(right, list):
            self._compare(node, (needle, container), (left, right[0]))
        return "boolean"

    def _index(self, node: Node, kinds: Sequence[Kind]) -> Kind:
        of, by = node.arguments
        if isinstance(kinds[0], list):
            return kinds[0][0]
        if isinstance(kinds[0], dict) and by.kind == "constant" and isinstance(by.value, str):
            return self._field(node, by.value, kinds[0], of)
        return "any"


def _constant(value: Any) -> Kind:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "bytes" if isinstance(value, bytes) else "number"


def _one_kind(kinds: Sequence[Kind]) -> Kind:
    known = [kind for kind in kinds if kind != "null"]
    return known[0] if known and all(kind == known[0] for kind in known) else "any"


def _may_be(kind: Kind, wanted: str) -> bool:
    return kind in ("any", wanted)


def _alike(left: Kind, right: Kind) -> bool:
    if isinstance(left, list) or isinstance(right, list):
        return isinstance(left, list) and isinstance(right, list)
    if isinstance(left, dict) or isinstance(right, dict):
        return isinstance(left, dict) and isinstance(right, dict)
    return bool(left == right)


def _word(kind: Kind) -> str:
    if isinstance(kind, list):
        return "a list"
    return "an object" if isinstance(kind, dict) else _WORDS.get(kind, str(kind))


def _needs_condition(node: Node, kind: Kind) -> str:
    text = text_of(node)
    if kind == "number":
        meant = f": compare it, as in {text} > 0"
    elif kind == "text":
        meant = f': compare it, as in {text} == "..."'
    elif isinstance(kind, list):
        meant = f": ask for something of it, as in size({text}) > 0"
    elif isinstance(kind, dict):
        meant = f": compare one of its fields, as in {text}.{next(_fields(kind), 'name')} == ..."
    else:
        meant = ""
    return f"{text} is {_word(kind)}{meant}"


def _meant(parts: Sequence[Node], kinds: Sequence[Kind]) -> str:
    """Return what was probably meant by a comparison of different types."""
    for here, there in ((0, 1), (1, 0)):
        part, kind, other = parts[here], kinds[here], kinds[there]
        if part.kind == "constant" and kind == "text" and other == "number" and _is_number(part.value):
            return f"; write {part.value}"
        if part.kind == "constant" and kind == "number" and other == "text":
            return f'; write "{text_of(part)}"'
        if isinstance(kind, dict):
            return f"; name one of its fields, as in {text_of(part)}.{next(_fields(kind), 'name')}"
        if isinstance(kind, list) and not isinstance(other, list | dict):
            return f"; write {text_of(parts[there])} in {text_of(part)}"
    return ""


def _fields(kind: Mapping[str, Kind]) -> Iterator[str]:
    texts = [name for name, each in kind.items() if each == "text" and name != OPEN]
    yield from sorted(texts, key=lambda name: (name not in ("username", "name"), name))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _place(text: str, at: int) -> tuple[int, int]:
    """Return line and column of an offset."""
    before = text[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1


def _name(tree: Tree, node: Node) -> int:
    """Return where a field's name begins, behind its full stop; of ``has`` and ``[...]`` where they open."""
    return tree.positions.get(node.number, 0) + (node.kind == "select")


def _beginning(tree: Tree, node: Node) -> int:
    at = tree.positions.get(node.number, 0)
    return min([at, *(tree.positions.get(each.number, at) for each in _below(node))])


def _below(node: Node) -> Iterator[Node]:
    for each in node.children:
        yield each
        yield from _below(each)

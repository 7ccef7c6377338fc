"""Expressions in a worker: CEL, the Common Expression Language, by cel-expr-python.

Why CEL. It is what platform engineers already write in Kubernetes' admission policies and Envoy's rules; it always
ends (no loops but over existing lists, and those within a budget; regular expressions are RE2's); its types are checked
when the hook is created, with line and column; and this package is the CEL project's own, over its C++ evaluator,
without further dependencies, at some 20 us an expression. JMESPath queries a document and is awkward as a condition;
Lua would do, but need not end.

Why in the sandbox all the same. It is C++ on a user's input, with unbounded memory: a list can be mapped to long
strings.

The package hands texts over as C does, up to the first NUL: what follows one would be hidden from a condition. So an
expression sees U+FFFD in the place of each (``without_nul``).
"""

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from cel_expr_python import cel

from kong_eventhooks_plugin.sandbox.cel_ast import Node, Tree, parts_of, read_tree
from kong_eventhooks_plugin.sandbox.cel_text import text_of
from kong_eventhooks_plugin.sandbox.errors import CompilationFailed
from kong_eventhooks_plugin.sandbox.filter_types import Kind, variables_error
from kong_eventhooks_plugin.sandbox.lru import Key, LruCache
from kong_eventhooks_plugin.sandbox.tasks import MAX_PARTS, MAX_TEXT, CompileError, Explained, Part, SandboxLimits

MAX_EXPRESSION = 4_096
"""Characters of one expression."""

MAX_VALUE = 300
"""Characters of a part's value that are shown."""

_AT = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_KIND = re.compile(r" \[[A-Z_]+\]$")
_UNKNOWN = re.compile(r"undeclared reference to '(\w+)")
_ASSIGNMENT = "Syntax error: token recognition error at: '="
_KINDS_THAT_DECIDE = ("BOOL", "DYN")


class Words(NamedTuple):
    """How errors name an expression (``a filter``) and what it sees (``use source, event and data``), of which type."""

    name: str
    variables: str
    kinds: Mapping[str, Kind]


class Expressions:
    """Conditions over the same ``variables``."""

    def __init__(self, variables: Mapping[str, Any], words: Words, limits: SandboxLimits) -> None:
        self._env = cel.NewEnv(variables=dict(variables))
        self._untyped = cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN))
        self._words = words
        self._compiled: LruCache[Any] = LruCache(limits.compiled)

    def check(self, text: str) -> None:
        """Compile an expression; raises ``CompilationFailed``."""
        self._compiled.get((text,), self._compile)

    def verdict(self, text: str, values: dict[str, Any]) -> bool | str:
        """Return whether an expression is true of the values, or its error."""
        try:
            result = self._compiled.get((text,), self._compile).eval(data=values)
            kind, value = result.type(), result.value()
        except CompilationFailed as error:
            return str(error)
        except (RuntimeError, ValueError, TypeError, OverflowError) as error:
            return _plain(str(error))
        if kind == cel.Type.ERROR:
            return _plain(str(value))
        return value if isinstance(value, bool) else f"it is neither true nor false but {kind.name()}"

    def tree(self, text: str) -> Tree:
        """Return a compiled expression's tree; raises ``CompilationFailed``."""
        return read_tree(self._compiled.get((text,), self._compile).serialize())

    def explain(self, text: str, values: dict[str, Any]) -> Explained:
        """Return the verdict of an expression and the value of each of its parts."""
        verdict = self.verdict(text, values)
        try:
            tree = self.tree(text)
        except CompilationFailed:
            return Explained(verdict, ())
        shown = islice(parts_of(tree.root), MAX_PARTS)
        return Explained(verdict, tuple(self._part(tree, node, depth, values) for depth, node in shown))

    def _part(self, tree: Tree, node: Node, depth: int, values: dict[str, Any]) -> Part:
        text = text_of(node)
        try:
            result = self._env.deserialize(tree.alone(node)).eval(data=values)
            if result.type() == cel.Type.ERROR:
                return Part(depth, text, None, _plain(str(result.value())))
            return Part(depth, text, _shown(result.plain_value()))
        except (RuntimeError, ValueError, TypeError, OverflowError) as error:
            return Part(depth, text, None, _plain(str(error)))

    def _compile(self, key: Key) -> Any:
        (text,) = key
        name = self._words.name
        if len(text) > MAX_EXPRESSION:
            raise CompilationFailed(CompileError(1, 1, f"{name} may have {MAX_EXPRESSION} characters"))
        try:
            expression = self._env.compile(text)
        except RuntimeError as error:
            raise CompilationFailed(self._in_words(text) or self._error(str(error))) from error
        kind = expression.return_type().name()
        if kind not in _KINDS_THAT_DECIDE:
            unsaid = CompileError(1, 1, f"{name} must be true or false; this one is {kind}")
            raise CompilationFailed(self._in_words(text) or unsaid)
        return expression

    def _in_words(self, text: str) -> CompileError | None:
        """Return what is wrong with the types of an expression; None where it is something else."""
        try:
            tree = read_tree(self._untyped.compile(text).serialize())
        except RuntimeError:
            return None
        return variables_error(tree, text, self._words.kinds, self._words.name)

    def _error(self, message: str) -> CompileError:
        found = _AT.search(message)
        if "recursion" in message:
            return CompileError(1, 1, f"{self._words.name} may have 32 levels of parentheses and operators")
        if found is None:
            return CompileError(1, 1, _plain(message))
        text, unknown = found[3].split(" expecting {")[0], _UNKNOWN.search(found[3])
        if found[3].startswith(_ASSIGNMENT):
            text = "a comparison is written with =="
        if unknown:
            text = f"unknown variable '{unknown[1]}': {self._words.variables}"
        return CompileError(int(found[1]), int(found[2]), text)


def _shown(value: Any) -> str:
    try:
        text = msgspec.json.encode(value, enc_hook=str).decode()
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError):
        text = str(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."


def without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd") if "\0" in value else value
    if isinstance(value, dict):
        return {without_nul(name): without_nul(each) for name, each in value.items()}
    return [without_nul(each) for each in value] if isinstance(value, list) else value


def _plain(message: str) -> str:
    return _KIND.sub("", message.partition("\n")[0])[:MAX_TEXT]

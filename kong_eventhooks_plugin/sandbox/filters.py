"""Filters in a worker: CEL, the Common Expression Language, by cel-expr-python.

Why CEL. It is what platform engineers already write in Kubernetes' admission policies and Envoy's rules; it always
ends (no loops but over existing lists, and those within a budget; regular expressions are RE2's); its types are checked
when the hook is created, with line and column; and this package is the CEL project's own, over its C++ evaluator,
without further dependencies, at some 20 us an expression. JMESPath queries a document and is awkward as a condition;
Lua would do, but need not end.

Why in the sandbox all the same. It is C++ on a user's input, with unbounded memory: a list can be mapped to long
strings. The dispatcher has all filters of an event evaluated in one task and waits a bounded time.

An expression sees ``source``, ``event`` and ``data``. One that reads a missing field is not true, and its verdict has
the error (``has(data.consumer.username)`` checks first).
"""

import re
from typing import Any

from cel_expr_python import cel

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed
from kong_eventhooks_plugin.sandbox.lru import Key, LruCache
from kong_eventhooks_plugin.sandbox.tasks import MAX_TEXT, CompileError, Decide, Decided, SandboxLimits

MAX_FILTER = 4_096
"""Characters of one filter."""

_AT = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_KIND = re.compile(r" \[[A-Z_]+\]$")
_UNKNOWN = re.compile(r"undeclared reference to '(\w+)'")
_KINDS_THAT_DECIDE = ("BOOL", "DYN")


class Filters:
    def __init__(self, limits: SandboxLimits) -> None:
        self._env = cel.NewEnv(
            variables={"source": cel.Type.STRING, "event": cel.Type.STRING, "data": cel.Type("map<string, dyn>")}
        )
        self._compiled: LruCache[Any] = LruCache(limits.compiled)

    def decide(self, task: Decide) -> Decided:
        """Return a verdict for each expression."""
        values = {"source": task.source, "event": task.event, "data": task.data}
        return Decided(tuple(self._verdict(text, values) for text in task.expressions))

    def check(self, text: str) -> None:
        """Compile a filter; raises ``CompilationFailed``."""
        self._compiled.get((text,), self._compile)

    def _verdict(self, text: str, values: dict[str, Any]) -> bool | str:
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

    def _compile(self, key: Key) -> Any:
        (text,) = key
        if len(text) > MAX_FILTER:
            raise CompilationFailed(CompileError(1, 1, f"a filter may have {MAX_FILTER} characters"))
        try:
            expression = self._env.compile(text)
        except RuntimeError as error:
            raise CompilationFailed(_compile_error(str(error))) from error
        kind = expression.return_type().name()
        if kind not in _KINDS_THAT_DECIDE:
            raise CompilationFailed(CompileError(1, 1, f"a filter must be true or false; this one is {kind}"))
        return expression


def _compile_error(message: str) -> CompileError:
    found = _AT.search(message)
    if found is None:
        return CompileError(1, 1, _plain(message))
    text, unknown = found[3].split(" expecting {")[0], _UNKNOWN.search(found[3])
    if unknown:
        text = f"unknown variable '{unknown[1]}': use source, event and data; the event's fields are under data"
    return CompileError(int(found[1]), int(found[2]), text)


def _plain(message: str) -> str:
    return _KIND.sub("", message.partition("\n")[0])[:MAX_TEXT]

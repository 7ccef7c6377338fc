"""Filters in a worker: conditions over an event (``expressions``).

The dispatcher has all filters of an event evaluated in one task and waits a bounded time.

A filter sees ``source``, ``event`` and ``data``. One that reads a missing field is not true, and its verdict has
the error (``has(data.consumer.username)`` checks first).
"""

from typing import Any

from cel_expr_python import cel

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed
from kong_eventhooks_plugin.sandbox.expressions import Expressions, Words, without_nul
from kong_eventhooks_plugin.sandbox.filter_types import FILTER_VARIABLES, type_error
from kong_eventhooks_plugin.sandbox.tasks import Decide, Decided, Explain, Explained, SandboxLimits

_WORDS = Words("a filter", "use source, event and data; the event's fields are under data", FILTER_VARIABLES)


class Filters:
    def __init__(self, limits: SandboxLimits) -> None:
        variables = {"source": cel.Type.STRING, "event": cel.Type.STRING, "data": cel.Type("map<string, dyn>")}
        self._expressions = Expressions(variables, _WORDS, limits)

    def decide(self, task: Decide) -> Decided:
        """Return a verdict for each expression."""
        values = {"source": task.source, "event": task.event, "data": without_nul(task.data)}
        return Decided(tuple(self._expressions.verdict(text, values) for text in task.expressions))

    def explain(self, task: Explain) -> Explained:
        """Return the verdict, and the value of each part: also of those that the verdict does not depend on."""
        values = {"source": task.source, "event": task.event, "data": without_nul(task.data)}
        return self._expressions.explain(task.expression, values)

    def check_types(self, text: str, fields: dict[str, Any]) -> None:
        """Check a filter against the types of its source's fields; raises ``CompilationFailed``."""
        error = type_error(self._expressions.tree(text), text, fields)
        if error is not None:
            raise CompilationFailed(error)

    def check(self, text: str) -> None:
        """Compile a filter; raises ``CompilationFailed``."""
        self._expressions.check(text)

"""Success rules in a worker: conditions over an endpoint's answer (``expressions``).

A rule sees ``status``, ``headers`` (names in lower case, the values of a repeated one joined by ``, ``) and ``body``,
as text.
"""

from cel_expr_python import cel

from kong_eventhooks_plugin.sandbox.expressions import Expressions, Words, without_nul
from kong_eventhooks_plugin.sandbox.filter_types import RULE_VARIABLES
from kong_eventhooks_plugin.sandbox.tasks import Decided, Judge, SandboxLimits

_WORDS = Words("a success rule", "use status, headers and body", RULE_VARIABLES)


class SuccessRules:
    def __init__(self, limits: SandboxLimits) -> None:
        variables = {"status": cel.Type.INT, "headers": cel.Type("map<string, string>"), "body": cel.Type.STRING}
        self._expressions = Expressions(variables, _WORDS, limits)

    def judge(self, task: Judge) -> Decided:
        values = {"status": task.status, "headers": task.headers, "body": without_nul(task.body)}
        return Decided((self._expressions.verdict(task.expression, values),))

    def check(self, text: str) -> None:
        """Compile a rule; raises ``CompilationFailed``."""
        self._expressions.check(text)

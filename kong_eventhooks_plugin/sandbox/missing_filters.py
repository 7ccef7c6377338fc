"""In the place of ``filters`` and ``success_rules`` where the extra ``filter`` is missing: none compiles or is true."""

from typing import Any

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed
from kong_eventhooks_plugin.sandbox.filter_errors import MISSING_EXTRA, SUCCESS_NEEDS_EXTRA
from kong_eventhooks_plugin.sandbox.tasks import CompileError, Decide, Decided, Explain, Explained, Judge, SandboxLimits


class MissingFilters:
    def __init__(self, _: SandboxLimits) -> None: ...

    def decide(self, task: Decide) -> Decided:
        return Decided((MISSING_EXTRA,) * len(task.expressions))

    def explain(self, _: Explain) -> Explained:
        return Explained(MISSING_EXTRA, ())

    def check_types(self, _: str, __: dict[str, Any]) -> None: ...

    def check(self, _: str) -> None:
        raise CompilationFailed(CompileError(1, 1, MISSING_EXTRA))


class MissingSuccessRules:
    def __init__(self, _: SandboxLimits) -> None: ...

    def judge(self, _: Judge) -> Decided:
        return Decided((SUCCESS_NEEDS_EXTRA,))

    def check(self, _: str) -> None:
        raise CompilationFailed(CompileError(1, 1, SUCCESS_NEEDS_EXTRA))

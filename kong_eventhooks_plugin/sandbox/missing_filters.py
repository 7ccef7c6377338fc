"""In the place of ``filters`` where the extra ``filter`` is not installed: no filter compiles, and none is true."""

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed
from kong_eventhooks_plugin.sandbox.filter_errors import MISSING_EXTRA
from kong_eventhooks_plugin.sandbox.tasks import CompileError, Decide, Decided, SandboxLimits


class MissingFilters:
    def __init__(self, _: SandboxLimits) -> None: ...

    def decide(self, task: Decide) -> Decided:
        return Decided((MISSING_EXTRA,) * len(task.expressions))

    def check(self, _: str) -> None:
        raise CompilationFailed(CompileError(1, 1, MISSING_EXTRA))

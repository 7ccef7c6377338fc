"""In the place of ``filters`` where the extra ``filter`` is not installed: no filter compiles, and none is true."""

from kong_eventhooks_plugin.errors import MissingExtra
from kong_eventhooks_plugin.sandbox.errors import CompilationFailed
from kong_eventhooks_plugin.sandbox.tasks import CompileError, Decide, Decided, SandboxLimits

_TEXT = str(MissingExtra("a filter", "filter"))


class MissingFilters:
    def __init__(self, _: SandboxLimits) -> None: ...

    def decide(self, task: Decide) -> Decided:
        return Decided((_TEXT,) * len(task.expressions))

    def check(self, _: str) -> None:
        raise CompilationFailed(CompileError(1, 1, _TEXT))

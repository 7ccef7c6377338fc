"""What stops a task inside a worker, as exceptions that become its ``Failed``."""

from kong_eventhooks_plugin.errors import EventHooksError
from kong_eventhooks_plugin.sandbox.tasks import MAX_TEXT, CompileError, Reason


class TaskFailed(EventHooksError):
    """The task has no answer."""

    def __init__(self, reason: Reason, text: str) -> None:
        self.reason = reason
        super().__init__(_encodable(text))


class CompilationFailed(EventHooksError):
    """A template, lambda or filter is refused."""

    def __init__(self, fault: CompileError) -> None:
        self.error = CompileError(fault.line, fault.column, _encodable(fault.text))
        super().__init__(str(self.error))


def _encodable(text: str) -> str:
    """Return as much of a text as is told; half a surrogate pair, which no message can hold, becomes ``?``."""
    return text[:MAX_TEXT].encode("utf-8", "replace").decode()

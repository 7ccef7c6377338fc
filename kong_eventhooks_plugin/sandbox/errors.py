"""Exceptions that end a task inside a worker and become its ``Failed``."""

from kong_eventhooks_plugin.errors import EventHooksError
from kong_eventhooks_plugin.sandbox.tasks import MAX_TEXT, CompileError, Reason


class TaskFailed(EventHooksError):
    """``logged`` as in ``Failed``."""

    def __init__(self, reason: Reason, text: str, logged: str | None = None) -> None:
        self.reason = reason
        self.logged = logged
        super().__init__(_encodable(text))


class CompilationFailed(EventHooksError):
    """A template, lambda or filter is refused."""

    def __init__(self, error: CompileError) -> None:
        self.error = CompileError(error.line, error.column, _encodable(error.text))
        super().__init__(str(self.error))


def not_compiled(error: CompilationFailed, name: str = "") -> str:
    """Return what a log may say of code that does not compile, which the text quotes; ``name`` is the template's."""
    return f"{name}{': ' if name else ''}{error.error.place}: it does not compile"


def _encodable(text: str) -> str:
    """Return the text cut to ``MAX_TEXT``; half a surrogate pair, which cannot be encoded, becomes ``?``."""
    return text[:MAX_TEXT].encode("utf-8", "replace").decode()

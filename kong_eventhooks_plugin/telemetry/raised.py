"""Where an error was raised: enough to find a bug, and nothing that a client sent, as an error's text may hold."""

from pathlib import PurePath
from traceback import FrameSummary, extract_tb


def raised_at(error: BaseException) -> str | None:
    """Return ``file:line``; None for an error that was never raised."""
    calls = extract_tb(error.__traceback__)
    return _place(calls[-1]) if calls else None


def bug_fields(error: BaseException) -> dict[str, str | None]:
    """Return the fields of a log line about an error that nothing expected."""
    return {"error": type(error).__name__, "raised_at": raised_at(error)}


def bug_text(error: BaseException) -> str:
    return f"{type(error).__name__} raised in {raised_at(error)}"


def raised_in(error: BaseException, most: int) -> list[str]:
    """Return ``file:line function`` of the innermost calls, ``most`` at most, the innermost last."""
    return [f"{_place(call)} {call.name}" for call in extract_tb(error.__traceback__)[-most:]]


def _place(call: FrameSummary) -> str:
    return f"{PurePath(call.filename).name}:{call.lineno}"

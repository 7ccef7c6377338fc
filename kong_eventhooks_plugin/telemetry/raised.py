"""Where an error was raised: enough to find a bug by, and nothing that a client sent, as an error's text may hold."""

from pathlib import PurePath
from traceback import FrameSummary, extract_tb


def raised_at(error: BaseException) -> str | None:
    """Return ``file:line``; None for an error that was never raised."""
    calls = extract_tb(error.__traceback__)
    return _place(calls[-1]) if calls else None


def raised_in(error: BaseException, most: int) -> list[str]:
    """Return ``file:line function`` of the innermost calls, ``most`` at most, the innermost last."""
    return [f"{_place(call)} {call.name}" for call in extract_tb(error.__traceback__)[-most:]]


def _place(call: FrameSummary) -> str:
    return f"{PurePath(call.filename).name}:{call.lineno}"

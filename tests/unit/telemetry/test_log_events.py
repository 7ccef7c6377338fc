"""The log's events: each has a name that is in the table, and docs/log-events.md is the table."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from kong_eventhooks_plugin.telemetry.log_events import LOG_EVENTS, page

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "kong_eventhooks_plugin"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
FORWARDED = {"sources/changes/observer.py"}
"""Here a method logs what its callers name."""


def writes(func: ast.expr) -> int | None:
    """Return which argument of a call of ``func`` names a log event, None where it does not log."""
    if isinstance(func, ast.IfExp):
        return writes(func.body)
    if isinstance(func, ast.Call):
        return 0 if ast.unparse(func).startswith("getattr(log, ") else None
    if not isinstance(func, ast.Attribute):
        return None
    if func.attr == "_log_once":
        return 1
    return 0 if func.attr in LEVELS and ast.unparse(func.value).endswith("log") else None


def literals(event: ast.expr) -> list[str]:
    if isinstance(event, ast.IfExp):
        return literals(event.body) + literals(event.orelse)
    return [event.value] if isinstance(event, ast.Constant) and isinstance(event.value, str) else []


def events() -> Iterator[tuple[str, list[str]]]:
    """Yield file and names, for every call in the package that logs."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "log" in text else ():
            if isinstance(node, ast.Call) and (position := writes(node.func)) is not None:
                yield str(path.relative_to(PACKAGE)), literals(node.args[position])


def test_every_event_is_in_the_table_and_no_other() -> None:
    assert {path for path, names in events() if not names} == FORWARDED
    assert {name for _, names in events() for name in names} == set(LOG_EVENTS)


def test_names_are_searched_for_as_they_are() -> None:
    assert [name for name in LOG_EVENTS if not re.fullmatch("[a-z][a-z0-9_]*", name)] == []


def test_the_page_is_the_table() -> None:
    assert (ROOT / "docs" / "log-events.md").read_text() == page()

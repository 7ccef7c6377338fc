"""What follows Kong's error of a value that is a time or an expression: its unit or form, and what was meant."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts

_UNITS: Final = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_OF_A_NUMBER: Final = (texts.INTEGER, texts.BETWEEN.partition("{")[0])
_DURATION: Final = re.compile(rf"(\d{{1,9}}) ?({'|'.join(_UNITS)})")


def with_units(errors: dict[str, Any], hook: Any) -> dict[str, Any]:
    """Return Kong's errors of a hook with what they leave unsaid."""
    found: dict[str, Any] = _said(errors, hook, _HINTS)
    return found


def _said(error: Any, value: Any, hints: Any) -> Any:
    if isinstance(error, Mapping):
        given = value if isinstance(value, Mapping) else {}
        if not isinstance(hints, Mapping):
            return error
        return {name: _said(each, given.get(name), hints[name]) if name in hints else each
                for name, each in error.items()}  # fmt: skip
    if isinstance(error, list) and isinstance(value, list):
        return [_said(each, given, hints) for each, given in zip(error, value, strict=False)]
    if not isinstance(error, str) or isinstance(hints, Mapping) or value is None:
        return error
    hint = hints(error, value)
    return f"{error}; {hint}" if hint else error


def _seconds(error: str, value: Any) -> str:
    if not error.startswith(_OF_A_NUMBER):
        return ""
    meant = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if meant is not None:
        return f"it is in seconds: write {int(meant[1]) * _UNITS[meant[2]]}"
    return "it is in seconds"


def _timeout(error: str, value: Any) -> str:
    if isinstance(value, int) and value > schema.MAX_TIMEOUT_SECONDS:
        return "it is in seconds, not milliseconds"
    return _seconds(error, value)


def _pauses(error: str, value: Any) -> str:
    if error == texts.ARRAY:
        return "write a list of seconds, as in [10, 60, 600]"
    return "" if isinstance(value, list) else _seconds(error, value)


def _expression(of: str) -> Callable[[str, Any], str]:
    return lambda error, _: f'write a CEL expression as text, as in "{of}"' if error == texts.STRING else ""


def _headers(error: str, value: Any) -> str:
    return "write name: value, without dashes" if error == texts.STRING and isinstance(value, list) else ""


def hooks_error(error: str, hooks: Any) -> str:
    """Return the error of a list of hooks that is none, with how to write one."""
    return f"{error}; begin each hook with a dash: - name: ..." if isinstance(hooks, Mapping) else error


_HINTS: Final[Mapping[str, Any]] = {
    "snooze": _seconds,
    "filter": _expression("data.limit > 5"),
    schema.DECLARED_CONFIG: {
        "headers": _headers,
        "timeout": _timeout,
        "success": _expression("status == 200"),
        "retry": {"schedule": _pauses, "max_retry_after": _seconds},
    },
}
"""By field; a list's hint is that of its elements too."""

"""Success rules in CEL."""

import pytest

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed
from kong_eventhooks_plugin.sandbox.success_rules import SuccessRules
from kong_eventhooks_plugin.sandbox.tasks import CompileError, Judge, SandboxLimits

RULES = SuccessRules(SandboxLimits())


def verdict(expression: str, status: int = 200, body: str = "1") -> bool | str:
    (answer,) = RULES.judge(Judge(expression, status, {"content-type": "text/plain"}, body)).verdicts
    return answer


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("status in [200, 409]", True),
        ("status >= 300", False),
        ('body == "1"', True),
        ('headers["content-type"].startsWith("text/")', True),
        ('"x-error" in headers', False),
        ('!has(headers.missing) && body.matches("^[0-9]$")', True),
    ],
)
def test_what_holds(expression: str, holds: bool) -> None:
    RULES.check(expression)
    assert verdict(expression) is holds


def test_what_follows_a_nul_is_not_hidden() -> None:
    assert verdict('body.contains("error")', body="ok\0error") is True


def test_what_cannot_be_evaluated_has_its_error() -> None:
    assert verdict('headers["x-ok"] == "1"') == 'NOT_FOUND: Key not found in map : "x-ok"'


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("data.ok", CompileError(1, 5, "unknown variable 'data': use status, headers and body")),
        (
            "body",
            CompileError(1, 1, 'a success rule must be true or false; body is text: compare it, as in body == "..."'),
        ),
        (
            "status",
            CompileError(
                1, 1, "a success rule must be true or false; status is a number: compare it, as in status > 0"
            ),
        ),
        (
            'status == "200"',
            CompileError(1, 1, 'status is a number, "200" is text: they cannot be compared; write 200'),
        ),
        (
            'headers["x-n"] > 4',
            CompileError(1, 1, 'headers["x-n"] is text, 4 is a number: they cannot be compared; write "4"'),
        ),
        (
            'status.startsWith("2")',
            CompileError(1, 1, "startsWith is for text; status is a number; write string(status).startsWith(...)"),
        ),
        ("status = 200", CompileError(1, 8, "a comparison is written with ==")),
    ],
)  # fmt: skip
def test_what_does_not_compile_is_refused_with_its_place(expression: str, error: CompileError) -> None:
    with pytest.raises(CompilationFailed) as refused:
        RULES.check(expression)
    assert refused.value.error == error
    assert verdict(expression) == str(error)

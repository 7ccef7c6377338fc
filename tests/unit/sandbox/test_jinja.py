"""Jinja2 templates."""

from typing import Any

import pytest

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed, TaskFailed
from kong_eventhooks_plugin.sandbox.jinja import JinjaTemplates
from kong_eventhooks_plugin.sandbox.tasks import CompileError, EscapeContext, SandboxLimits
from tests.support.sandbox import render

TEMPLATES = JinjaTemplates(SandboxLimits(output_bytes=1000))


def text(template: str, place: EscapeContext = "plain", data: dict[str, Any] | None = None) -> str:
    return TEMPLATES.render(render(template, place=place, dialect="jinja2", data=data)).texts[0]


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("{{ consumer.username }} on {{ service.name }}\n", "Joanna on demo\n"),
        ("{{ event }} of {{ source }}", "rate-limit-exceeded of rate-limiting"),
        ("{% for tag in service.tags %}{{ loop.index }}{{ tag }}{% endfor %}", "1a2b"),
        ("{{ missing }}{{ missing.deep.er }}{{ nothing }}{{ consumer.custom_id }}", ""),
        ("{{ note }} {{ note | tojson }}", 'A "B" <C> & D/E "A \\"B\\" \\u003cC\\u003e \\u0026 D/E"'),
        ("{{ consumer }} {{ service.tags }}", '{"username":"Joanna","custom_id":null} ["a","b"]'),
        ("{{ limit + 1 }} {{ rate > limit }}", "5 True"),
        ("{{ note | urlencode }}", "A%20%22B%22%20%3CC%3E%20%26%20D/E"),
        ("{% set x = 2 %}{{ x }}{# gone #}", "2"),
        ("{{ 'x' | default('y') }}{{ missing | default('y') }}", "xy"),
    ],
)
def test_what_a_template_gives(template: str, result: str) -> None:
    assert text(template) == result


def test_html_is_escaped_in_html_alone() -> None:
    assert text("{{ note }}", "html") == "A &#34;B&#34; &lt;C&gt; &amp; D/E"
    assert text("{{ note }}", "json") == 'A "B" <C> & D/E'


def test_a_field_comes_before_a_method() -> None:
    assert text("{{ x.items }} {{ x.keys }}", data={"x": {"items": 3, "keys": ["k"]}}) == '3 ["k"]'


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("a\n  {{ limit + }}", CompileError(2, 3, "unexpected 'end of print statement'")),
        ("{% include 'x' %}", CompileError(1, 1, "templates cannot include, import or extend files")),
        ("a\nb {% extends 'x' %}", CompileError(2, 3, "templates cannot include, import or extend files")),
        ("{{ x | nofilter }}", CompileError(1, 1, "No filter named 'nofilter'.")),
        ("x {% frob %}", CompileError(1, 3, "Encountered unknown tag 'frob'.")),
    ],
)
def test_what_does_not_compile_is_refused_with_its_place(template: str, error: CompileError) -> None:
    with pytest.raises(CompilationFailed) as refused:
        TEMPLATES.check(template)
    assert refused.value.error == error


@pytest.mark.parametrize(
    ("template", "reason", "error"),
    [
        ("{{ 1 / 0 }}", "template", "t0: ZeroDivisionError: division by zero"),
        ("{{ missing() }}", "template", "t0: UndefinedError: 'missing' is undefined"),
        ("{{ 'x' * 1001 }}", "output", "t0: more than 1000 bytes of text"),
        ("{% for i in range(9999) %}xxxxx{% endfor %}", "output", "t0: more than 1000 bytes of text"),
        ("{{ '\U0001f600' * 251 }}", "output", "t0: more than 1000 bytes of text"),
    ],
)
def test_a_failure_has_its_reason(template: str, reason: str, error: str) -> None:
    with pytest.raises(TaskFailed) as failed:
        text(template)
    assert (failed.value.reason, str(failed.value)) == (reason, error)


LARGE = {"big": 9007199254740993, "low": -9223372036854775807, "deep": {"a": [9223372036854775807]}}


def test_whole_numbers_stay_exact() -> None:
    template = (
        '{"a": {{ big }}, "b": "{{ big }}", "c": {{ low }}, "d": {{ deep }}, "e": {{ big + 1 }}, '
        '"f": {% if big > 3 %}yes{% endif %}}'
    )
    assert text(template, "json", LARGE) == (
        '{"a": 9007199254740993, "b": "9007199254740993", "c": -9223372036854775807, "d": {"a":[9223372036854775807]}, '
        '"e": 9007199254740994, "f": yes}'
    )

"""Templates in the dialect of lua-resty-template."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed, TaskFailed
from kong_eventhooks_plugin.sandbox.lua import Templates
from kong_eventhooks_plugin.sandbox.resty import compile_template
from kong_eventhooks_plugin.sandbox.tasks import MAX_SOURCE, CompileError, EscapeContext, SandboxLimits
from tests.support.sandbox import render

TEMPLATES = Templates(SandboxLimits(output_bytes=1000))


def text(template: str, place: EscapeContext = "plain", data: dict[str, Any] | None = None) -> str:
    return TEMPLATES.render(render(template, place=place, data=data)).texts[0]


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{{consumer.username}} on {{ service.name }}", "Joanna on demo"),
        ("{*note*}", 'A "B" <C> & D/E'),
        ("{{ event }} of {{ source }}", "rate-limit-exceeded of rate-limiting"),
        ("{{ context.limit }}{{ context['limit'] }}", "44"),
        ("{{ limit + 1 }} {{ limit / 8 }} {{ rate > limit }}", "5 0.5 true"),
        ("{# gone #}x{# gone\ntoo #}\ny", "xy"),
        ("a\n  {% if limit == 4 then %}\nfour\n  {% end %}\nb", "a\nfour\nb"),
        ("{% for i, tag in ipairs(service.tags) do %}{{ i }}={{ tag }};{% end %}", "1=a;2=b;"),
        ("{% local x = limit * 2 %}{{ x }}", "8"),
        ("{% made = 1 %}{{ made }}", "1"),
        ("{% echo('a', 1, nil) %}", "a1nil"),
        ("{-raw-}{{ x }} {% y %}{-raw-}", "{{ x }} {% y %}"),
        ("{-verbatim-}\n{{ x }}\n{-verbatim-}\nend", "{{ x }}\nend"),
        ("{-head-}\nHi {{ limit }}\n{-head-}\n[{* blocks.head *}]", "[Hi 4]"),
        ("{-a-}{% for i=1,2 do %}{{i}}{% end %}{-a-}<{*blocks.a*}{*blocks.a*}>", "<1212>"),
        ("\\{{ limit }} \\\\{{ limit }} \\{% x %} \\{# x #}", "{{ limit }} \\4 {% x %} {# x #}"),
        ("]=] 'single' \"double\" \\n \\", "]=] 'single' \"double\" \\n \\"),
        ("line\r\nline\0end", "line\r\nline\0end"),
        ('{"a":{"b":"{{ limit }}"}}', '{"a":{"b":"4"}}'),
        ("{{* limit *}", "{4"),
        ("{# {- {( {[ open", "{# {- {( {[ open"),
        ("{{ function() return limit end }}", "4"),
        ("{{ -- a remark\n limit }}", "4"),
        ("{{ escape('<a>') }}{* template.escape('&') *}{* escape('{', true) *}", "&lt;a&gt;&amp;&#123;"),
        ("{{ consumer }} {{ service.tags }}", '{"username":"Joanna"} ["a","b"]'),
        ("{* json(note) *} {* json(nothing) *} {* json({1, x}) *}", '"A \\"B\\" <C> & D/E" null [1]'),
        ("{{ ('ab'):upper() }} {{ string.rep('x', 3) }} {{ #service.tags }}", "AB xxx 2"),
    ],
)
def test_what_a_template_gives(template: str, result: str) -> None:
    assert text(template) == result


@pytest.mark.parametrize(
    "template",
    [
        "{{ nothing }}", "{{ missing }}", "{{ missing.deep.er }}", "{{ consumer.custom_id }}", "{{ consumer.x.y }}",
        "{* nothing *}", "{{ ngx.null }}", "{{ limit.x }}", "{% for _ in ipairs(missing) do %}x{% end %}",
        "{% for _ in pairs(nothing) do %}x{% end %}", '{{ missing .. "" }}', "{% if missing then %}x{% end %}",
    ],
)  # fmt: skip
def test_what_is_missing_is_empty(template: str) -> None:
    assert text(template) == ""


@pytest.mark.parametrize(
    ("place", "value", "table"),
    [
        ("plain", 'A "B" <C> & D/E', '{"n":["<"]}'),
        ("json", 'A \\"B\\" <C> & D/E', '{"n":["<"]}'),
        ("html", "A &quot;B&quot; &lt;C&gt; &amp; D&#47;E", "{&quot;n&quot;:[&quot;&lt;&quot;]}"),
        ("form", "A%20%22B%22%20%3CC%3E%20%26%20D%2FE", "%7B%22n%22%3A%5B%22%3C%22%5D%7D"),
        ("url", "A%20%22B%22%20%3CC%3E%20%26%20D%2FE", "%7B%22n%22%3A%5B%22%3C%22%5D%7D"),
    ],
)
def test_a_value_is_escaped_for_its_place(place: EscapeContext, value: str, table: str) -> None:
    data = {"note": 'A "B" <C> & D/E', "object": {"n": ["<"]}, "limit": 4}
    assert text("{{ note }}|{{ object }}|{{ limit }}|{* note *}", place, data) == f"{value}|{table}|4|{data['note']}"


def test_in_json_control_characters_are_escaped() -> None:
    assert text("{{ x }}", "json", {"x": 'a\n\t\r\\"\x01\x7fé'}) == 'a\\n\\t\\r\\\\\\"\\u0001\\u007fé'


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (-3, "-3"), (1732212345678, "1732212345678"), (2**60, str(2**60)), (0.25, "0.25"), (5.0, "5")],
)
def test_numbers_have_all_their_digits(number: float, shown: str) -> None:
    assert text("{{ n }}", data={"n": number}) == shown


def test_whole_numbers_survive_lua_s_garbage_collection() -> None:
    """LuaJIT crashes here where its library for them was collected, although nothing else uses that."""
    templates = Templates(SandboxLimits(output_bytes=1000))
    for turn in range(50):
        templates._collect(b"collect")
        number = 2**60 + turn
        assert templates.render(render("{{ n }} {* json({n}) *}", data={"n": number})).texts == (
            f"{number} [{number}]",
        )


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ limit", CompileError(1, 1, "{{ is not closed by }}")),
        ("a\n  {* limit }", CompileError(2, 3, "{* is not closed by *}")),
        ("é {% if x", CompileError(1, 3, "{% is not closed by %}")),
        ("x {{ }}", CompileError(1, 3, "an expression is missing")),
        ("\n\n {(other.html)}", CompileError(3, 2, "templates cannot include files; write \\{( for the text {(")),
        ("{[name]}", CompileError(1, 1, "templates cannot include files; write \\{[ for the text {[")),
        ("a\n b {{ limit + }} c", CompileError(2, 4, "unexpected symbol near ')'")),
        ("{{ limit }}\n{% if limit %}x{% end %}", CompileError(2, 15, "'then' expected near '___'")),
        ("{%\n local x = 1\n local = 2 %}", CompileError(3, 1, "'<name>' expected near '='")),
        ("{% end %}", CompileError(1, 1, "'<eof>' expected near 'end'")),
        ("\n\nx{% for i = 1, 2 do %}\n", CompileError(4, 1, "'end' expected (to close 'for' at line 3) near '<eof>'")),
        ("x" * (MAX_SOURCE + 1), CompileError(1, 1, f"a template may have {MAX_SOURCE} characters")),
    ],
)
def test_what_does_not_compile_is_refused_with_its_place(template: str, error: CompileError) -> None:
    with pytest.raises(CompilationFailed) as refused:
        TEMPLATES.check(template)
    assert refused.value.error == error


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ limit * no }}", "t0: line 1, column 1: attempt to perform arithmetic on global 'no' (a nil value)"),
        ("ok\n {% error('no') %}", "t0: line 2, column 2: no"),
        ("{{ missing() }}", "t0: line 1, column 1: attempt to call global 'missing' (a nil value)"),
        ("{% error({code = 1}) %}", 't0: {"code":1}'),
        ("{% ___[1] = {} %}", "t0: invalid value (table) at index 1 in table for 'concat'"),
        ("{% layout = 'page.html' %}", "t0: layouts are not supported: templates cannot include files"),
        ("{% string.rep = nil %}", "t0: line 1, column 1: the sandbox protects string.rep"),
    ],
)  # fmt: skip
def test_a_failure_on_an_event_has_its_place(template: str, error: str) -> None:
    with pytest.raises(TaskFailed) as failed:
        text(template)
    assert (failed.value.reason, str(failed.value)) == ("template", error)


def test_text_has_a_limit_over_all_templates() -> None:
    half = "{{ ('x'):rep(500) }}"
    assert TEMPLATES.render(render(half, half)).texts == ("x" * 500,) * 2
    with pytest.raises(TaskFailed) as failed:
        TEMPLATES.render(render(half, half, "x"))
    assert failed.value.reason == "output"


def test_nothing_is_left_from_one_rendering_to_the_next() -> None:
    template = "{{ seen }}{% seen = limit; consumer.username = 'changed' %}"
    assert [text(template + "{{ consumer.username }}") for _ in range(2)] == ["changed"] * 2
    assert text("{{ consumer.username }}") == "Joanna"


def test_nothing_is_left_in_what_is_read_only() -> None:
    # table.insert heeds no metatable.
    keep = "{% for _, each in ipairs({string, table, math, os, coroutine, ngx, template}) do %}"
    keep += "{{ #each }}{% table.insert(each, consumer) %}{% end %}"
    assert [text(keep) for _ in range(2)] == ["0" * 7] * 2


def test_templates_are_compiled_again_once_forgotten() -> None:
    few = Templates(SandboxLimits(compiled=2))
    for _ in range(2):
        for number in range(5):
            assert few.render(render(f"{{{{ limit + {number} }}}}")).texts == (str(4 + number),)


@given(st.text(alphabet=st.sampled_from("{}%*#-()[]\\ \n\txa1'\"="), max_size=40))
def test_any_text_compiles_or_is_refused(template: str) -> None:
    try:
        compiled = compile_template(template)
    except CompilationFailed as refused:
        line = refused.error.line
    else:
        line = compiled.lines[-1][0]
        assert compiled.source.count("\n") + 1 == len(compiled.lines)
    assert 1 <= line <= template.count("\n") + 1


@given(st.text())
def test_text_without_braces_is_itself(template: str) -> None:
    template = template.replace("{", "(")
    assert TEMPLATES.render(render(template[:200])).texts == (template[:200],)


LARGE = {"big": 9007199254740993, "low": -9223372036854775807, "deep": {"a": [9223372036854775807]}}


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("{{ tostring(u) }} {{ u .. 'x' }}", "18446744073709551615 18446744073709551615x"),
        ("{{ json({u}) }}{{ u.field }}", "[18446744073709551615]"),
        ("{{ huge }} {{ ('%d'):format(big) }}", "1e+30 9007199254740993"),
    ],
)
def test_large_numbers_in_lua(template: str, result: str) -> None:
    data = {"u": (1 << 64) - 1, "huge": 10**30, "big": 1 << 53 | 1}
    assert text(template, "plain", data) == result


def test_whole_numbers_stay_exact() -> None:
    template = (
        '{"a": {{ big }}, "b": "{{ big }}", "c": {* low *}, "d": {{ deep }}, "e": {{ big + 1 }}, '
        '"f": {% if big > 3 and big .. "" == "9007199254740993" and type(big) == "number" then %}yes{% end %}}'
    )
    assert text(template, "json", LARGE) == (
        '{"a": 9007199254740993, "b": "9007199254740993", "c": -9223372036854775807, "d": {"a":[9223372036854775807]}, '
        '"e": 9007199254740994, "f":yes}'
    )

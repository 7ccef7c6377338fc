"""Jinja2's attribute tricks and bombs. None leads anywhere, and the pool goes on serving."""

from collections.abc import Awaitable, Callable

import pytest

from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Check, Failed, Rendered
from tests.support.sampling import sample
from tests.support.sandbox import render

pytestmark = pytest.mark.asyncio(loop_scope="module")
Serves = Callable[[], Awaitable[None]]

TRICKS = [
    "''.__class__",
    "''.__class__.__mro__",
    "''['__class__']",
    "''|attr('__class__')",
    "[].__class__.__base__",
    "().__class__.__subclasses__()",
    "(1).__class__",
    "consumer.__class__.__init__.__globals__",
    "self.__init__.__globals__",
    "self._TemplateReference__context",
    "cycler.__init__.__globals__.os",
    "joiner.__init__.__globals__",
    "namespace.__init__.__globals__",
    "dict.__base__.__subclasses__()",
    "range.__class__",
    "lipsum.__globals__",
    "lipsum",
    "config",
    "request",
    "get_flashed_messages.__globals__",
    "url_for.__globals__",
    "'{0.__class__}'.format(1)",
    "'{0.__class__.__mro__}'.format('')",
    "'%s'.__mod__",
    "''.format_map({'a': 1}.__class__)",
    "('{0.__class__.__init__}'|format(1)).__class__",
    "{}.__getattribute__('__class__')",
    "(x for x in [1])",
    "[1]|map(attribute='__class__')|list",
    "[consumer]|map(attribute='__class__.__mro__')|list",
    "[1]|groupby('__class__')",
    "'a'|attr('__' ~ 'class__')",
    "'a'|attr('\\x5f\\x5fclass__')",
    "caller",
    "varargs",
    "loop",
    "super()",
    "consumer.update({'a': 1})",
    "service.tags.append(1)",
    "service.tags.clear()",
    "consumer.pop('x')",
    "consumer.username.join.__self__",
    "''.join.__func__",
    "context",
    "environment",
    # str.format, reached another way than by its name
    "('{0.__cl' ~ 'ass__}').format(1)",
    "{'f': '{0.__class__}'.format}.f(1)",
    "'{0.__class__}'|attr('format')(1)",
    "('{x.__class__}'|attr('format_map'))({'x': 1})",
    "'{0.__class__}'.format_map({'0': 1})",
    "'{0[__class__]}{0.__init__.__globals__}'.format(cycler)",
    "(['{0.__class__}']|first).format(1)",
    # frames and code of generators, methods' functions
    "([1]|map('upper')).gi_frame",
    "([1]|map('upper')).gi_frame.f_back.f_globals",
    "([1]|select('odd')).gi_code.co_consts",
    "([1]|batch(2)).gi_frame.f_builtins",
    "cycler('a').next.__func__.__globals__",
    "joiner().__call__.__globals__",
    "dict.mro()",
    "range.mro()",
    "[1]|map('attr', '__class__')|list",
    "[consumer]|selectattr('__class__')|map(attribute='__class__.__name__')|list",
    "[consumer]|sum(attribute='__class__')",
    "[1]|sort(attribute='__class__')|map(attribute='__doc__')|list",
    "'a'[('__cla', 'ss__')|join]",
    "'a'['__class__'|reverse|list|reverse|join]",
    "consumer|attr('__class__')|attr('__base__')",
    "none.__class__.__base__",
    "true.__class__.__init__",
    "''.maketrans.__self__.__class__",
    "'a'.encode().__class__.__mro__",
    "self.__dict__",
    "namespace(a=1)._Namespace__attrs",
    "namespace(__class__=1).__class__.__mro__",
    "dict(__class__=1).__class__.__mro__",
    "dict.fromkeys.__self__.__mro__",
    "consumer.items.__self__",
    "consumer|items|attr('gi_frame')",
]

BOMBS = {
    "a long range": ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", {"cpu"}),
    "a large number": ("{{ 9 ** (9 ** 9) }}", {"cpu", "memory"}),
    "a long string": ("{% set x = 'x' * 10 ** 10 %}", {"memory", "template"}),
    "strings that double": (
        "{% set n = namespace(s='x' * 99) %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        {"memory", "cpu", "template"},
    ),
    "a wide format": ("{{ '%9999999999d' % 1 }}", {"memory", "template"}),
    "a wide format by method": ("{{ '{:99999999999}'.format('x') }}", {"memory", "template"}),
    "a list that repeats": ("{% set x = [0] * 10 ** 9 %}", {"memory"}),
    "macros": ("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", {"template", "cpu", "memory"}),
    "output": ("{% for a in range(99999) %}xxxxxxxxxx{% endfor %}", {"output"}),
    "a filter": ("{{ 'x'|center(10 ** 10) }}", {"memory"}),
    "an indent": ("{{ ('x\n' * 9999)|indent(10 ** 7) }}", {"memory", "cpu"}),
    "a filter, often": ("{% for i in range(9999) %}{{ ('<' * 30000)|striptags }}{% endfor %}", {"cpu", "output"}),
    "a replacement": ("{{ ('a' * 100000)|replace('a', 'b' * 100000) }}", {"memory"}),
    "a join": ("{{ ('x' * 9999999)|list|join(',' * 99) }}", {"memory", "cpu"}),
    "tabs": ("{{ ('\t' * 9).expandtabs(10 ** 9) }}", {"memory"}),
    "zeros": ("{{ 'x'.zfill(10 ** 10) }}", {"memory"}),
    "a width from a value": ("{{ '%*d' % (10 ** 9, 1) }}", {"memory"}),
    "an indent of JSON": ("{{ [1]|tojson(indent=10 ** 9) }}", {"memory"}),
    "words": ("{{ ('a ' * 200000)|wordwrap(1) }}", {"cpu", "memory", "output"}),
    "an endless loop of itself": (
        "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{{ loop([[1]]) }}{% endfor %}", {"template", "cpu", "memory"}
    ),
    "a list in a list": (
        "{% set n = namespace(x=[]) %}{% for i in range(99999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
        {"template"},
    ),
    "a large number, written": ("{{ (10 ** 9999999)|string }}", {"template", "cpu"}),
    "characters of four bytes": ("{{ '\U0001f600' * 99000 }}", {"output"}),
    "a batch": ("{{ [1]|batch(10 ** 10, 'x')|list }}", {"memory", "cpu"}),
}  # fmt: skip


@pytest.mark.parametrize("expression", sample(TRICKS, 3))
async def test_a_trick_gives_nothing(pool: Pool, expression: str, still_serves: Serves) -> None:
    result = await pool.run(render("{{ " + expression + " }}", dialect="jinja2"), "evil")
    if isinstance(result, Rendered):
        text = result.texts[0]
        assert not any(sign in text for sign in ("<class", "<function", "<module", "subclasses", "globals", "os."))
        assert "object at 0x" not in text or "generator" in text
    else:
        assert isinstance(result, Failed)
        assert result.reason == "template"
    await still_serves()


@pytest.mark.parametrize("name", sample(BOMBS, 5))
async def test_a_bomb_costs_itself_alone(pool: Pool, name: str, still_serves: Serves) -> None:
    template, reasons = BOMBS[name]
    result = await pool.run(render(template, dialect="jinja2"), "evil")
    assert isinstance(result, Failed), result
    assert result.reason in reasons | {"crash", "cpu"}
    await still_serves()


@pytest.mark.parametrize("tag", ["include", "import", "extends", "from"])
async def test_there_are_no_files(pool: Pool, tag: str) -> None:
    more = {"import": " as x", "from": " import x"}.get(tag, "")
    result = await pool.run(Check("jinja2", f"{{% {tag} '/etc/passwd'{more} %}}"))
    assert "templates cannot include" in str(getattr(result, "error", result))


async def test_data_is_not_changed_for_the_next_template(pool: Pool) -> None:
    change = "{% set consumer = 1 %}{% set service.name = 2 %}"
    assert isinstance(await pool.run(render(change, dialect="jinja2"), "evil"), Failed)
    twice = await pool.run(render("{% set consumer = 1 %}", "{{ consumer.username }}", dialect="jinja2"), "evil")
    assert twice == Rendered(("", "Joanna"))


async def test_what_is_said_of_a_failure_is_cut(pool: Pool) -> None:
    for template in ("{{ consumer['x' * 1000000]() }}", "{{ x | " + "n" * 500_000 + " }}"):
        result = await pool.run(render(template, dialect="jinja2"), "evil")
        assert isinstance(result, Failed)
        assert result.reason == "template"
        assert len(result.text) < 5_000


async def test_half_a_surrogate_pair_costs_no_worker(pool: Pool, still_serves: Serves) -> None:
    assert await pool.run(render("{{ '\\ud800' }}", dialect="jinja2"), "evil") == Rendered(("?",))
    failed = await pool.run(render("{{ consumer['\\ud800']() }}", dialect="jinja2"), "evil")
    assert isinstance(failed, Failed)
    assert failed.reason == "template"
    await still_serves()


async def test_a_change_of_data_is_the_tasks_own(pool: Pool, still_serves: Serves) -> None:
    change = "{% set _ = dict.update(consumer, {'username': 'Mallory'}) %}{{ consumer.username }}"
    assert await pool.run(render(change, dialect="jinja2"), "evil") == Rendered(("Mallory",))
    await still_serves()

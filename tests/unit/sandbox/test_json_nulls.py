"""Null in templates: of both dialects, and by what one of them alone has."""

import json
from typing import Any

import pytest

from kong_eventhooks_plugin.sandbox.tasks import Dialect
from tests.unit.sandbox import test_jinja, test_resty

DATA = {"n": None, "s": 'a "b"', "list": [None, 1]}
TEXT = {"jinja2": test_jinja.text, "resty": test_resty.text}


@pytest.mark.parametrize("dialect", TEXT)
@pytest.mark.parametrize(
    ("template", "result"),
    [
        ('{"n": {{ n }}}', {"n": None}),
        ('{"n": {{ missing.deep.er }}, "m": [{{ n }}, 1]}', {"n": None, "m": [None, 1]}),
        ('{"n": "{{ n }}", "m": "a{{ n }}b"}', {"n": "", "m": "ab"}),
        ('{"quoted \\" {{ n }}": {{ n }}}', {'quoted " ': None}),
        ('{"n": {{ list }}}', {"n": [None, 1]}),
    ],
)
def test_null_in_json_is_null_where_a_value_is_expected(template: str, result: Any, dialect: Dialect) -> None:
    assert json.loads(TEXT[dialect](template, "json", DATA)) == result


def test_null_of_a_filter_and_of_an_unescaped_tag() -> None:
    jinja = test_jinja.text('{"n": {{ n | tojson }}, "m": "{{ none }}"}', "json", DATA)
    resty = test_resty.text('{"n": {* n *}, "m": "{* n *}"}', "json", DATA)
    assert json.loads(jinja) == json.loads(resty) == {"n": None, "m": ""}


@pytest.mark.parametrize("dialect", TEXT)
def test_null_is_empty_elsewhere(dialect: Dialect) -> None:
    assert TEXT[dialect]("[{{ n }}{{ missing }}]", "plain", DATA) == "[]"

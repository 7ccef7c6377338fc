"""Forms as a real Kong 3.9 read them: the hook's schema was a plugin's config there."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl

import pytest

from kong_eventhooks_plugin.api.rest.form_names import nested
from kong_eventhooks_plugin.api.rest.form_values import inferred
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from tests.support.api import CAPTURES, RECORDED
from tests.support.hooks import at_its_place

LINES = [json.loads(line) for line in (CAPTURES / "form-answers.jsonl").read_text().splitlines()]
VALIDATION = Validation(RECORDED)

# What is read in another way on purpose (see form_names), or reported at another path.
OURS: dict[str, Any] = {
    "config.payload.blocks[].type=section": {"config": {"payload": {"blocks": [{"type": "section"}]}}},
}
TAKEN_NOW = ("config.payload={%22a%22:1}",)
"""A payload that is a text: the schema that was recorded took objects alone."""
FOREIGN = re.compile(r"=webhook&.*(url_format|template)=|=log&.*url=.")
"""Fields of other handlers: the schema that was recorded took them."""
UNIT = re.compile("; it is in seconds$")
"""Ours, behind Kong's text."""
REFUSED_DIFFERENTLY = ("config=x", "config.=x", "a..b=x")


def read(form: str) -> dict[str, Any]:
    """What our server makes of a form body."""
    given = nested(parse_qsl(form, keep_blank_values=True))
    return VALIDATION.hook(inferred(given, schema.hook(RECORDED)))


@pytest.mark.parametrize("recorded", LINES, ids=lambda one: one["form"][-60:])
def test_a_form_is_read_as_kong_reads_it(recorded: dict[str, Any]) -> None:
    form, answer = recorded["form"], recorded["answer"]
    if form.endswith(TAKEN_NOW):
        assert read(form)["config"]["payload"] == {"a": 1}
        return
    if FOREIGN.search(form):
        with pytest.raises(ValidationError, match="unknown field"):
            read(form)
        return
    if recorded["status"] != 201:
        with pytest.raises(ValidationError) as refused:
            read(form)
        if not form.endswith(REFUSED_DIFFERENTLY):
            said = dict(refused.value.fields)
            if "snooze" in said:
                said["snooze"] = UNIT.sub("", said["snooze"])
            assert said == at_its_place(answer["fields"]["config"])
        return
    hook = read(form)
    known = hook["config"].keys() & answer["config"].keys()
    assert known == answer["config"].keys()
    ours = next((each for end, each in OURS.items() if form.endswith(end)), {})
    expected = answer["config"] | ours.get("config", {})
    assert {name: hook["config"][name] for name in known} == expected
    assert {name: hook[name] for name in answer if name != "config"} == {
        k: v for k, v in answer.items() if k != "config"
    }

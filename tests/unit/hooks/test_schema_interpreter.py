"""Our interpreter of Kong's schema language against what a real Kong answered (tests.support.hooks_of_kong).

It was Kong 3.9.1, whose schema code is that of 3.9.3.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.validation import schema_interpreter
from tests.support.hooks import KNOWN
from tests.support.sampling import sample

RECORDED = Path(__file__).parents[2] / "captures" / "schema-answers.jsonl"
ANSWERS = [json.loads(line) for line in RECORDED.read_text().splitlines()]
FIELD = schema.plugin_config(KNOWN)
EVERY = 5
"""Of so many answers `make test` compares one."""


def our_answer(config: Any) -> Any:
    return schema_interpreter.errors_of(FIELD, schema_interpreter.with_defaults(FIELD, config)) or {}


def one_text(fields: Any) -> Any:
    """Kong has a text of its own for a missing field that a check between fields needs; ours has one for both."""
    return json.loads(json.dumps(fields).replace("field required for entity check", "required field missing"))


def is_known_difference(recorded: dict[str, Any]) -> bool:
    """A list in a record's place (Kong: its elements are unknown fields), or `false` (Kong: the field is unset)."""
    hooks = recorded["config"].get("hooks")
    return isinstance(hooks, list) and any(
        isinstance(record, list) or record is False for hook in hooks for record in records_of(hook)
    )


def records_of(hook: Any) -> list[Any]:
    config = hook.get("handler_config") if isinstance(hook, dict) else None
    return [hook, config, *(config.get(name) for name in schema.RECORDS if isinstance(config, dict))]


def test_there_is_enough_to_compare() -> None:
    statuses = [recorded["status"] for recorded in ANSWERS]
    assert statuses.count(200) > 100
    assert statuses.count(400) > 1000


@pytest.mark.parametrize("start", sample(range(EVERY), EVERY))
def test_our_answers_are_kongs(start: int) -> None:
    different = [
        (recorded, ours)
        for recorded in ANSWERS[start::EVERY]
        if recorded["status"] != 500
        and not is_known_difference(recorded)
        and (ours := our_answer(recorded["config"])) != one_text(recorded["fields"])
    ]
    assert not different, f"{len(different)} differ; the first: {different[0]}"


def test_what_kong_refuses_in_another_way_we_refuse() -> None:
    refused = [
        recorded["config"]
        for recorded in ANSWERS
        if recorded["status"] == 500 or (recorded["status"] == 400 and is_known_difference(recorded))
    ]
    assert len(refused) > 10
    assert all(our_answer(config) for config in refused)

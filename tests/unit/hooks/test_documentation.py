"""docs/kong-yml.md and kong.yml say what the code does."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from kong_eventhooks_plugin.cli.check import check_files
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.declarations import documents, kong_yml
from kong_eventhooks_plugin.hooks.validation import json_values
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known
from kong_eventhooks_plugin.model.masking import is_reference
from tests.support.doc_blocks import ROOT, blocks
from tests.support.hooks import read_file

PAGE = ROOT / "docs" / "kong-yml.md"
GUIDE = PAGE.read_text()
EXAMPLES = [block.text for block in blocks(PAGE) if block.language == "yaml"]
VALIDATION = Validation(known())


def field_names(record: dict[str, Any]) -> Iterator[str]:
    for entry in record["fields"]:
        for name, field in entry.items():
            yield name
            if field["type"] == "record":
                yield from field_names(field)


def test_every_field_has_a_row_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)
    assert sorted(rows) == sorted(set(field_names(schema.hook(known(), schema.DECLARED_CONFIG))))


def test_limits_are_the_code_s() -> None:
    for limit in (
        f"{schema.MAX_SNOOZE_SECONDS:,}",
        f"{json_values.MAX_VALUES:,} values",
        f"{json_values.MAX_DEPTH} levels",
    ):
        assert limit in GUIDE
    for header in schema.RESERVED_HEADERS:
        assert f"`{header}`" in GUIDE


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_valid(example: str) -> None:
    declared = kong_yml.parse(example.encode(), "example.yml", VALIDATION)
    assert declared.errors == ()
    assert declared.hooks


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


class TestTopLevelFile:
    DECLARED = read_file(str(ROOT / "kong.yml"), VALIDATION)

    def test_it_is_valid(self) -> None:
        assert check_files([str(ROOT / "kong.yml")], VALIDATION) == ([], [], 4)

    def test_it_shows_what_it_should(self) -> None:
        hooks = {hook.name: hook for hook in self.DECLARED.hooks}
        assert {hook.handler for hook in hooks.values()} == {"webhook", "webhook-custom", "log"}
        assert hooks["limits-to-slack"].config["url"] == "{vault://env/slack-webhook}"
        assert hooks["limits-to-receiver"].config["secret"] == "{vault://env/event-hooks-secret}"
        assert any(hook.snooze for hook in hooks.values())
        assert {hook.scope.service for hook in hooks.values()} == {None, "partners"}

    def test_there_is_traffic_that_runs_the_global_plugin(self) -> None:
        """Kong resolves a plugin's references when it runs, so beside hooks on every service none would be sent."""
        document = documents.parse((ROOT / "kong.yml").read_bytes(), "kong.yml")
        plugins = [{plugin["name"] for plugin in service["plugins"]} for service in document["services"]]
        assert {"rate-limiting"} in plugins

    def test_no_secret_is_in_it_but_a_reference(self) -> None:
        for hook in self.DECLARED.hooks:
            values = [
                hook.config.get("secret"),
                hook.config.get("previous_secret"),
                *(value for name, value in hook.config.get("headers", {}).items() if name != "content-type"),
            ]
            assert all(value is None or is_reference(value) for value in values)

"""The Admin API's list of plugins, recorded and made up."""

import json
from pathlib import Path
from typing import Any

from kong_eventhooks_plugin.hooks.declarations import listed_plugins
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.model.hook import Origin
from kong_eventhooks_plugin.model.scope import HookScope
from tests.support.hooks import PLUGIN_ID, VALIDATION, listed, log_hook, plugin_config, webhook

CAPTURES = Path(__file__).parents[2] / "captures" / "admin-api"


def recorded(name: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = json.loads((CAPTURES / name).read_text())["data"]
    return data


def test_a_recorded_list_without_a_database() -> None:
    plugins = recorded("dbless-plugins.json")
    for plugin in plugins:
        if plugin["name"] == "event-hooks":
            config = plugin["config"]["hooks"][0]["config"]
            config["payload"] = config.pop("payload_json")
            plugin["config"] = plugin_config(*plugin["config"]["hooks"])
    later = Validation(Known(sources={"rate-limiting-advanced": ()}, handlers=("webhook-custom",)))
    found = listed_plugins.read(plugins, later)
    assert list(found.declared) == [PLUGIN_ID]
    [hook] = found.declared[PLUGIN_ID].hooks
    assert (hook.name, hook.config["secret"], hook.snooze) == ("slack", "{vault://env/my-secret}", None)


def test_a_recorded_list_with_a_database() -> None:
    found = listed_plugins.read(recorded("pg-plugins.json"), VALIDATION)
    [declared] = found.declared.values()
    assert (declared.hooks, declared.errors) == ((), ())


def test_scope_and_place() -> None:
    plugin = listed(webhook(), service={"id": "s"}, consumer={"id": "c"})
    [hook] = listed_plugins.read([plugin], VALIDATION).declared[PLUGIN_ID].hooks
    assert hook.scope == HookScope(service="s", consumer="c")
    assert hook.origin == Origin("admin-api", PLUGIN_ID, f"plugin {PLUGIN_ID} (Admin API): config.hooks[0]")


def test_a_disabled_plugin() -> None:
    found = listed_plugins.read([listed(log_hook(), enabled=False)], VALIDATION)
    assert found.disabled == {PLUGIN_ID}
    assert not found.declared[PLUGIN_ID].hooks[0].enabled


def test_the_good_hold_beside_the_bad() -> None:
    declared = listed_plugins.read([listed(log_hook("a"), 5)], VALIDATION).declared[PLUGIN_ID]
    assert [hook.name for hook in declared.hooks] == ["a"]
    assert [error.path for error in declared.errors] == ["config.hooks[1]"]


def test_a_consumer_group_is_no_place_for_hooks() -> None:
    declared = listed_plugins.read([listed(log_hook(), consumer_group={"id": "g"})], VALIDATION).declared[PLUGIN_ID]
    assert declared.hooks == ()
    assert [error.path for error in declared.errors] == ["consumer_group"]


def test_other_plugins_and_what_is_none() -> None:
    assert (
        listed_plugins.read([{"name": "event-hooks"}, {"id": "x", "name": "cors"}, 5, None], VALIDATION).declared == {}
    )

"""What Kong hands to an instance, recorded and made up."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kong_eventhooks_plugin.hooks.declarations import instance_config
from kong_eventhooks_plugin.hooks.declarations.instance_config import InstanceConfig
from kong_eventhooks_plugin.hooks.in_force.scope_comparison import dbless_id
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.model.hook import Origin
from kong_eventhooks_plugin.model.scope import HookScope
from tests.support.hooks import PLUGIN_ID, VALIDATION, log_hook, plugin_config, read_file, started, webhook

CAPTURES = Path(__file__).parents[2] / "captures"


def read(*hooks: Any, **extra: Any) -> InstanceConfig:
    return instance_config.read(started(*hooks, **extra).config, VALIDATION)


def recorded() -> list[bytes]:
    lines = (CAPTURES / "dbless-config-reload.jsonl").read_text().splitlines()
    calls = [json.loads(line) for line in lines]
    return [
        json.dumps(call["config"] | plugin_config(*call["config"]["hooks"])).encode()
        for call in calls
        if call["call"] == "cmd_start_instance" and call["name"] == "event-hooks"
    ]


def test_a_recorded_one_has_errors_of_unknown_fields() -> None:
    first, second = (instance_config.read(config, VALIDATION) for config in recorded())
    assert (first.plugin_id, first.seq, second.seq) == (PLUGIN_ID, 12, 19)
    assert first.declared == second.declared
    assert list(map(str, first.declared.errors)) == [
        f"plugin {PLUGIN_ID}: config.hooks[0].handler_config.payload_json: unknown field; did you mean payload?"
    ]


def test_a_recorded_one_for_a_release_that_has_the_handler() -> None:
    config = json.loads(recorded()[0])
    needed = config["hooks"][0]["handler_config"]
    needed["payload"] = needed.pop("payload_json")
    later = Validation(Known(sources={"rate-limiting-advanced": ()}, handlers=("webhook-custom",)))
    found = instance_config.read(json.dumps(config).encode(), later).declared
    assert found.errors == ()
    [hook] = found.hooks
    assert hook.config["secret"] == "{vault://env/my-secret}"
    assert hook.config["payload"] == {"text": "exceeded", "blocks": [{"type": "section", "n": 1}]}
    assert found.values == {"{vault://env/my-secret}": "s3cr3t"}
    assert "s3cr3t" not in repr(found)


def test_a_recorded_one_with_references_equals_the_file() -> None:
    """Kong had DESK_URL and DESK in its environment, and neither NOPE nor NOPE2."""
    found = instance_config.read((CAPTURES / "instance-with-references.json").read_bytes(), VALIDATION).declared
    file = read_file(str(CAPTURES / "instance-with-references.kong.yml"))
    assert (found.errors, file.errors) == ((), ())
    assert found.values == {
        "{vault://env/desk-url}": "https://resolved.example/x",
        "{vault://env/desk/secret}": "sec",
        "{vault://env/desk/token}": "tok",
        "{vault://env/nope}": "",
        "{vault://env/nope2}": "",
    }
    payloads = [each.hooks[0].config.pop("payload") for each in (found, file)]
    assert payloads[0] == payloads[1] | {"a": {}}, "Lua has one kind of empty table"
    for ours, written in zip(found.hooks, file.hooks, strict=True):
        assert ours.scope == HookScope(service=dbless_id("services", "demo"))
        assert ours.same_definition(msgspec.structs.replace(written, scope=ours.scope))


def test_references_take_the_places_of_their_values() -> None:
    hook = webhook(
        url="https://resolved.example",
        secret="resolved",
        headers={"authorization": "resolved too", "x-plain": "plain"},
        **{
            "$refs": {
                "url": "{vault://hcv/url}",
                "secret": "{vault://env/s}",
                "headers": {"authorization": "{vault://env/h}"},
            }
        },
    )
    declared = read(hook).declared
    assert declared.errors == ()
    config = declared.hooks[0].config
    assert (config["url"], config["secret"]) == ("{vault://hcv/url}", "{vault://env/s}")
    assert config["headers"] == {"authorization": "{vault://env/h}", "x-plain": "plain"}
    assert declared.values == {
        "{vault://hcv/url}": "https://resolved.example",
        "{vault://env/s}": "resolved",
        "{vault://env/h}": "resolved too",
    }


def test_a_reference_that_kong_could_not_resolve_has_no_value() -> None:
    refs = {"$refs": {"secret": "{vault://env/s}", "headers": {"a": "{vault://env/h}"}}}
    declared = read(webhook(secret="", headers={"a": ""}, **refs)).declared
    assert declared.errors == ()
    assert declared.hooks[0].config["secret"] == "{vault://env/s}"
    assert declared.values == {"{vault://env/s}": "", "{vault://env/h}": ""}
    # Kong may leave the key out altogether.
    assert read(webhook(**refs)).declared.values == {"{vault://env/s}": ""}


@pytest.mark.parametrize(
    "refs", [None, 5, [], {"secret": 5}, {"headers": ["x"]}, {"headers": {"a": 5}}, {"nothing": {}}]
)
def test_references_of_any_shape(refs: Any) -> None:
    declared = read(webhook(secret="s", headers={"a": "b"}, **{"$refs": refs})).declared
    assert declared.values == {}
    assert declared.errors == () or "nothing" in str(refs)


def test_the_scope_is_in_kongs_own_keys() -> None:
    declared = read(log_hook(), service_id="s", route_id="r", consumer_id="c", plugin_instance_name="mine").declared
    [hook] = declared.hooks
    assert hook.scope == HookScope(service="s", route="r", consumer="c")
    assert hook.origin == Origin("instance", PLUGIN_ID, f"plugin {PLUGIN_ID}: config.hooks[0]")


def test_the_good_hold_beside_the_bad() -> None:
    declared = read(log_hook("a"), {"name": 5}, log_hook("b")).declared
    assert [(hook.name, hook.origin.path.rpartition(".")[2]) for hook in declared.hooks] == [
        ("a", "hooks[0]"),
        ("b", "hooks[2]"),
    ]
    assert {error.path for error in declared.errors} == {
        f"config.hooks[1].{name}" for name in ("handler", "name", "source")
    }


@pytest.mark.parametrize("hooks", [{}, [], None])
def test_without_hooks(hooks: Any) -> None:
    config = {"__plugin_id": "p", "hooks": hooks} if hooks is not None else {"__plugin_id": "p"}
    assert instance_config.read(json.dumps(config).encode(), VALIDATION).declared.hooks == ()
    assert instance_config.read(json.dumps(config).encode(), VALIDATION).declared.errors == ()


@pytest.mark.parametrize("config", [b"", b"{", b"[]", b"5", b"\xff", b"[" * 100_000])
def test_what_cannot_be_read(config: bytes) -> None:
    found = instance_config.read(config, VALIDATION)
    assert (found.plugin_id, found.seq, len(found.declared.errors)) == ("", None, 1)

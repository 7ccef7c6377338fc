"""What Kong is told of the two plugins before it starts."""

import json
import os
import subprocess
import sys

import pytest

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.hooks.schema import AVAILABLE_HANDLERS
from kong_eventhooks_plugin.kong.plugin_server import plugin_info as module
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known, plugin_info, plugin_names
from kong_eventhooks_plugin.sources import catalogue


@pytest.mark.parametrize(
    ("name", "phases", "checks"),
    [
        ("event-hooks", ["log"], None),
        ("event-hooks-crud", ["response", "log"], [{"at_least_one_of": ["route"]}]),
    ],
)
def test_a_plugin(name: str, phases: list[str], checks: object) -> None:
    document = plugin_info(name, "/run/kong/event-hooks.sock")
    assert (document["Protocol"], document["SocketPath"]) == ("ProtoBuf:1", "/run/kong/event-hooks.sock")
    [plugin] = document["Plugins"]
    assert plugin.keys() == {"Name", "Phases", "Version", "Priority", "Schema"}
    assert (plugin["Name"], plugin["Phases"], plugin["Version"]) == (name, phases, __version__)
    assert plugin["Schema"]["name"] == name
    assert plugin["Schema"].get("entity_checks") == checks
    assert [list(field) for field in plugin["Schema"]["fields"]] == [["protocols"], ["config"]]
    assert json.loads(json.dumps(document)) == document


def test_both_are_named() -> None:
    assert plugin_names() == ("event-hooks", "event-hooks-crud")
    with pytest.raises(KeyError):
        plugin_info("cors", "/x")


def test_the_other_protocol() -> None:
    assert plugin_info("event-hooks", "/x", "MsgPack:1")["Protocol"] == "MsgPack:1"


@pytest.mark.parametrize(
    ("version", "kongs"),
    [("0.1.0", "0.1.0"), ("1.2.3.dev4+g5", "1.2.3"), ("2.0rc1", "2.0.0"), ("3", "3.0.0"), ("10.20.30", "10.20.30")],
)
def test_versions_are_x_y_z(version: str, kongs: str) -> None:
    assert module._kong_version(version) == kongs


def test_what_is_known_is_the_catalogue_s() -> None:
    assert set(known().sources) == set(catalogue.BY_NAME)
    assert set(known().patterns) == {source.name for source in catalogue.SOURCES if source.families}
    assert known().handlers == AVAILABLE_HANDLERS


def test_it_is_made_without_anything_heavy() -> None:
    """Kong waits for it; `plugin-info` has 300 ms in all."""
    program = (
        "import json, sys; from kong_eventhooks_plugin.kong.plugin_server.plugin_info import plugin_info;"
        "json.dumps(plugin_info('event-hooks', '/x')); print(*sys.modules)"
    )
    before = os.times()
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    after = os.times()
    heavy = {"aiohttp", "asyncio", "httpx", "msgspec", "google", "prometheus_client", "structlog", "uvloop", "yaml"}
    assert not heavy & set(loaded.stdout.split())
    took = after.children_user + after.children_system - before.children_user - before.children_system
    assert took < 5, "processor seconds: a shared machine is slow, but not that slow"

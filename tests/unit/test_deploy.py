"""What deploy/ and docker/ declare: every hook in them is one that Kong and the sidecar take."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known
from kong_eventhooks_plugin.settings import ENVIRONMENT_PREFIX, described

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def declared() -> Iterator[tuple[str, Any]]:
    for document in documents(KUBERNETES / "kong-plugin.yaml"):
        yield document["metadata"]["name"], document["config"]
    config_map = documents(KUBERNETES / "kong.yaml")[0]
    for file in (config_map["data"]["kong.yml"], (ROOT / "docker" / "kong.yml").read_text()):
        for plugin in yaml.safe_load(file)["plugins"]:
            yield plugin["name"], plugin["config"]


@pytest.mark.parametrize(("name", "config"), list(declared()))
def test_hooks_are_valid(name: str, config: Any) -> None:
    checked = Validation(known()).config(config)
    assert not checked.error, name
    assert checked.hooks


@pytest.mark.parametrize(
    "file", ["deploy/kubernetes/kong.yaml", "deploy/kubernetes/helm-values.yaml", "docker/compose.yml"]
)
def test_settings_exist(file: str) -> None:
    used = {
        word.strip('{},:"').removeprefix(ENVIRONMENT_PREFIX)
        for word in (ROOT / file).read_text().split()
        if ENVIRONMENT_PREFIX in word
    }
    assert used
    assert {name.lower() for name in used} <= {setting.name for setting in described()}

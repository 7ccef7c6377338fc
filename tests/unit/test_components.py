"""What the composition root decides itself."""

from pathlib import Path

import pytest

from kong_eventhooks_plugin import components as components_module
from kong_eventhooks_plugin.components import Components
from kong_eventhooks_plugin.delivery.rendezvous import Distribution
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.model.hook import Origin
from kong_eventhooks_plugin.queue.nodes import Node
from kong_eventhooks_plugin.queue.polling import LeaseHolder
from kong_eventhooks_plugin.settings import Settings
from tests.support.events import make_hook


@pytest.mark.parametrize(
    "path", ["keyauth_credentials", "keyauth_credentials.", "plugins. config", "key-auths.key", ""]
)
def test_a_field_to_reveal_needs_an_entity_and_a_field(path: str, tmp_path: Path) -> None:
    fields = ("keyauth_credentials.key", "plugins.config.http_endpoint", path)
    with pytest.raises(SettingsError, match=f"crud_reveal: {path!r} names no field"):
        Components(Settings(data_dir=str(tmp_path), admin_url="http://127.0.0.1:8001", crud_reveal=fields))
    Components(Settings(data_dir=str(tmp_path), admin_url="http://127.0.0.1:8001", crud_reveal=fields[:2]))


@pytest.mark.parametrize("setting", ["admin_token_file", "api_token_file"])
def test_a_token_file_without_a_token_is_refused(setting: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(SettingsError, match=f"{setting}: .*token: is empty"):
        Components(Settings(data_dir=str(tmp_path), **{setting: str(tmp_path / "token")}))


def test_a_feature_of_the_kernel_that_is_demanded_and_missing_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(components_module, "missing_features", lambda: {"landlock": "Function not implemented"})
    components = Components(Settings(data_dir=str(tmp_path), sandbox_kernel_features=("seccomp",)))
    assert components.sandbox_features == {"seccomp": "ok", "landlock": "Function not implemented"}
    for settings in (
        Settings(sandbox_kernel_features=("seccomp", "landlock")),
        Settings(untrusted_lua="on", sandbox_kernel_features=("landlock",)),
    ):
        with pytest.raises(SettingsError, match="sandbox_kernel_features: landlock cannot be used"):
            Components(settings)


async def test_a_node_without_an_admin_api_is_right_where_another_one_polls_for_its_hooks(tmp_path: Path) -> None:
    components = Components(Settings(data_dir=str(tmp_path), store="postgresql://127.0.0.1/none"))
    holders, members = components.holders, components.members
    assert holders is not None
    assert members is not None
    declared, unknown = (make_hook(name, source="dao:crud") for name in ("declared", "unknown"))
    made = make_hook("made", source="balancer", origin=Origin("api", "", ""))
    health = make_hook("health", source="gateway", origin=Origin("api", "", ""))
    hooks = (declared, unknown, made, health)
    assert all(components._lacks_admin_api(hook) for hook in hooks), "nobody does yet"
    holders._holders = {name: LeaseHolder("other", "node-b", 1) for name in ("crud", "balancer")}
    members.distribution = Distribution([Node("other", "id", "node-b", "1", frozenset({declared.id}))])
    lacking = [hook for hook in hooks if components._lacks_admin_api(hook)]
    assert lacking == [unknown, health], "the other has no such hook, and does not poll that for us"


def test_who_follows_other_nodes(tmp_path: Path) -> None:
    shared = "postgresql://127.0.0.1/none"
    assert Components(Settings(data_dir=str(tmp_path))).forwarder() is None
    assert Components(Settings(data_dir=str(tmp_path), store=shared)).forwarder() is not None
    with_api = Settings(data_dir=str(tmp_path), store=shared, admin_url="http://127.0.0.1:8001")
    assert Components(with_api).forwarder() is None

"""What the composition root decides itself."""

import gc
from pathlib import Path

import pytest

from kong_eventhooks_plugin import app
from kong_eventhooks_plugin.app import Components
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.settings import Settings


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
    monkeypatch.setattr(app, "missing_features", lambda: {"landlock": "Function not implemented"})
    components = Components(Settings(data_dir=str(tmp_path), sandbox_kernel_features=("seccomp",)))
    assert components.sandbox_features == {"seccomp": "ok", "landlock": "Function not implemented"}
    for settings in (
        Settings(sandbox_kernel_features=("seccomp", "landlock")),
        Settings(untrusted_lua="on", sandbox_kernel_features=("landlock",)),
    ):
        with pytest.raises(SettingsError, match="sandbox_kernel_features: landlock cannot be used"):
            Components(settings)


def test_the_collector_leaves_the_calls_of_a_flood_alone() -> None:
    thresholds = gc.get_threshold()
    collections: list[str] = []
    try:
        app.collect_seldom()
        gc.callbacks.append(lambda phase, _: collections.append(phase))
        waiting = [[number] for number in range(2_000)]  # what a thousand calls hold that wait for a commit
        assert len(waiting) == 2_000
        assert collections == []
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.callbacks.pop()
        gc.set_threshold(*thresholds)
        gc.unfreeze()

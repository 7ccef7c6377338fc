"""What the composition root decides itself."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from kong_eventhooks_plugin import app
from kong_eventhooks_plugin.app import Components, Worker
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.settings import Settings
from tests.support.admin_node import AdminNode
from tests.support.recorded_logs import plugin


@pytest.mark.parametrize(("believed", "kept"), [(0.0, False), (600.0, True)])
async def test_plugins_that_cannot_be_listed_anew_are_believed_for_a_while(
    believed: float, kept: bool, tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "PLUGINS_SECONDS", believed)
    url = f"http://127.0.0.1:{unused_tcp_port}"
    parts = Components(Settings(data_dir=str(tmp_path), admin_url=url, admin_poll_seconds=0.01))
    parts.plugins.replace([plugin("rate-limiting", minute=3)])
    tried: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(parts.registry, "set_listing_error", tried.put_nowait)
    with socket.socket() as listening:
        reading = asyncio.create_task(Worker(parts, listening, None)._read_admin_api(url))
        for _ in range(3):
            await asyncio.wait_for(tried.get(), 30)
        known = parts.plugins.on("default", None, None, None)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
    assert (known is not None) is kept


async def test_a_list_of_plugins_that_trips_our_code_is_a_fault_and_not_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AdminNode() as node:
        parts = Components(Settings(data_dir=str(tmp_path), admin_url=node.url, admin_poll_seconds=0.01))
        taken: asyncio.Queue[object] = asyncio.Queue()
        refused: asyncio.Queue[str] = asyncio.Queue()
        bugs = [KeyError("a secret")]

        def take(listed: object, _began_at: float) -> None:
            if bugs:
                raise bugs.pop()
            taken.put_nowait(listed)

        monkeypatch.setattr(parts.registry, "set_listed_plugins", take)
        monkeypatch.setattr(parts.registry, "set_listing_error", refused.put_nowait)
        with socket.socket() as listening:
            reading = asyncio.create_task(Worker(parts, listening, None)._read_admin_api(node.url))
            why = await asyncio.wait_for(refused.get(), 30)
            await asyncio.wait_for(taken.get(), 30)
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
        assert why.startswith("a bug: KeyError raised in test_app.py:")
        assert "secret" not in why


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

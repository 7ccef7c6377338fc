"""How a worker starts."""

import socket
from pathlib import Path

import pytest

from kong_eventhooks_plugin import background
from kong_eventhooks_plugin.app import Worker
from kong_eventhooks_plugin.components import Components
from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.settings import Settings


async def test_a_store_that_is_open_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "RETRY_SECONDS", 0.01)
    parts = Components(Settings(data_dir=str(tmp_path), deliver=False))
    queue, definitions, calls = parts.stores.queue, parts.stores.declared.definitions, list[str]()
    opened = queue.open

    async def counted() -> None:
        calls.append("open")
        await opened()

    async def fails_once() -> list[Hook]:
        calls.append("definitions")
        if calls.count("definitions") == 1:
            raise StoreUnavailable("for a moment")
        return await definitions()

    monkeypatch.setattr(queue, "open", counted)
    monkeypatch.setattr(parts.stores.declared, "definitions", fails_once)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "plugin.sock"))
        worker = Worker(parts, listening, None)
    try:
        await worker._open_store()
        assert calls == ["open", "definitions", "definitions"]
    finally:
        await worker._close()
        worker._link.close()

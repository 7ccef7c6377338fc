"""What the composition root decides itself."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from kong_eventhooks_plugin import app
from kong_eventhooks_plugin.app import Parts, Worker
from kong_eventhooks_plugin.settings import Settings
from tests.support.recorded_logs import plugin


@pytest.mark.parametrize(("believed", "kept"), [(0.0, False), (600.0, True)])
async def test_plugins_that_cannot_be_listed_anew_are_believed_for_a_while(
    believed: float, kept: bool, tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "PLUGINS_SECONDS", believed)
    url = f"http://127.0.0.1:{unused_tcp_port}"
    parts = Parts(Settings(data_dir=str(tmp_path), admin_url=url, admin_poll_seconds=0.01))
    parts.plugins.replace([plugin("rate-limiting", minute=3)])
    tried: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(parts.book, "plugins_not_listed", tried.put_nowait)
    with socket.socket() as listening:
        reading = asyncio.create_task(Worker(parts, listening, None)._read_admin_api(url))
        for _ in range(3):
            await asyncio.wait_for(tried.get(), 30)
        known = parts.plugins.on("default", None, None, None)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
    assert (known is not None) is kept

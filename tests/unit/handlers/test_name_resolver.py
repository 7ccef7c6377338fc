import asyncio
import socket
import threading
from typing import Any

import pytest

from kong_eventhooks_plugin.handlers.name_resolver import ADDRESSES, ThreadedNames


async def test_a_name_has_addresses_and_an_unknown_one_raises() -> None:
    names = ThreadedNames()
    found = await names.resolve("localhost", 80, socket.AF_INET)
    assert {(each["hostname"], each["host"], each["port"]) for each in found} == {("localhost", "127.0.0.1", 80)}
    with pytest.raises(OSError, match=r"known|resolution|associated"):
        await names.resolve("nowhere.invalid", 80)
    await names.close()


async def test_a_slow_name_server_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, asked = threading.Event(), threading.Event()
    real = socket.getaddrinfo

    def slow(host: str, *args: Any, **options: Any) -> Any:
        if host == "slow.test":
            asked.set()
            answered.wait(10)
            host = "127.0.0.1"
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    names = ThreadedNames()
    slow_one = asyncio.create_task(names.resolve("slow.test", 80))
    await asyncio.to_thread(asked.wait, 10)
    assert await names.resolve("localhost", 80)
    assert not slow_one.done()
    answered.set()
    assert await slow_one
    await names.close()


async def test_a_name_with_very_many_addresses_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"10.0.0.{number}", 80)) for number in range(200)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: many)
    names = ThreadedNames()
    assert len(await names.resolve("many.test", 80)) == ADDRESSES
    await names.close()

"""An answer is sent within its call: who does not take it is cut off, and counts as running until then."""

import asyncio

import pytest
from aiohttp import web

from kong_eventhooks_plugin.api.rest import routes
from kong_eventhooks_plugin.api.rest.routes import CallGuard, Endpoint, add_calls
from kong_eventhooks_plugin.api.rest.serve import serve_rest
from kong_eventhooks_plugin.api.service.access import Access
from tests.support.waiting import SECONDS

LARGE = 20_000_000
"""More than the kernel takes for a peer that reads nothing."""


async def large(_: web.Request) -> web.Response:
    return web.Response(body=b"x" * LARGE)


async def served() -> tuple[web.AppRunner, CallGuard]:
    app, gate = web.Application(), CallGuard(Access())
    add_calls(app, [Endpoint("GET", "/large", large, "open")], gate)
    return (await serve_rest(app, "127.0.0.1:0"))[0], gate


async def ask(runner: web.AppRunner) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for the large answer and read its head."""
    reader, writer = await asyncio.open_connection(*runner.addresses[0], limit=1_000)
    writer.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(SECONDS):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    return reader, writer


async def test_a_reader_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "CALL_SECONDS", 0.2)
    runner, gate = await served()
    _, writer = await ask(runner)
    async with asyncio.timeout(SECONDS):
        while runner.server is not None and runner.server.connections:  # noqa: ASYNC110 - aiohttp tells nobody
            await asyncio.sleep(0.01)
    assert gate._running == 0
    writer.close()
    await runner.cleanup()


async def test_it_runs_until_it_is_read() -> None:
    runner, gate = await served()
    reader, writer = await ask(runner)
    assert gate._running == 1
    async with asyncio.timeout(SECONDS):
        assert len(await reader.readexactly(LARGE)) == LARGE
        while gate._running:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)
    writer.close()
    await runner.cleanup()

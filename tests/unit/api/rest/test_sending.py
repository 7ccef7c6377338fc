"""An answer is sent within its call: who does not take it is cut off, and counts as running until then."""

import asyncio
import contextlib

import pytest
from aiohttp import web

from kong_eventhooks_plugin.api.rest import routes
from kong_eventhooks_plugin.api.rest.routes import CallGuard, Endpoint, add_calls
from kong_eventhooks_plugin.api.rest.serve import RestServer
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.transport.listener import Listener
from tests.support.waiting import SECONDS

LARGE = 20_000_000
"""More than the kernel takes for a peer that reads nothing."""


async def large(_: web.Request) -> web.Response:
    return web.Response(body=b"x" * LARGE)


async def served() -> tuple[RestServer, CallGuard]:
    app, gate = web.Application(), CallGuard(Access())
    add_calls(app, [Endpoint("GET", "/large", large, "open")], gate)
    server = RestServer(app, Listener("listen", 8))
    await server.open("127.0.0.1:0")
    return server, gate


async def ask(server: RestServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for the large answer and read its head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1_000)
    writer.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(SECONDS):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    return reader, writer


async def test_a_reader_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "CALL_SECONDS", 0.2)
    server, gate = await served()
    _, writer = await ask(server)
    async with asyncio.timeout(SECONDS):
        while server._listener._open:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    assert gate._running == 0
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    await server.stop()


async def test_it_runs_until_it_is_read() -> None:
    server, gate = await served()
    reader, writer = await ask(server)
    assert gate._running == 1
    async with asyncio.timeout(SECONDS):
        assert len(await reader.readexactly(LARGE)) == LARGE
        while gate._running:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    await server.stop()

"""What connections may cost: how many, how long idle, how long unread."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
from aiohttp import web

from kong_eventhooks_plugin.api.rest import connections, serve
from kong_eventhooks_plugin.api.rest.serve import serve_rest
from tests.support.waiting import SECONDS

LARGE = 20_000_000
"""More than the kernel takes for a peer that reads nothing."""


@asynccontextmanager
async def serving() -> AsyncIterator[web.AppRunner]:
    """Serve ``/small`` and ``/large`` on a free port."""

    async def small(_: web.Request) -> web.Response:
        return web.Response(text="here")

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * LARGE)

    app = web.Application()
    app.add_routes([web.get("/small", small), web.get("/large", large)])
    runner, _ = await serve_rest(app, "127.0.0.1:0")
    try:
        yield runner
    finally:
        await runner.cleanup()


Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(runner: web.AppRunner) -> Peer:
    return await asyncio.open_connection(*runner.addresses[0], limit=1_000)


async def ask(peer: Peer, path: str = "/small") -> bytes:
    """Ask on a connection that stays open; return the answer's last line."""
    reader, writer = peer
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(SECONDS):
        await reader.readuntil(b"\r\n\r\n")
        return await reader.readexactly(4)


async def ended(peer: Peer) -> bool:
    """Wait until the connection is ended by the other side."""
    async with asyncio.timeout(SECONDS):
        try:
            return await peer[0].read() == b""
        except ConnectionResetError:
            return True
        finally:
            peer[1].close()


async def test_one_too_many_ends_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS", 3)
    with structlog.testing.capture_logs() as logged:
        async with serving() as runner:
            peers = []
            for _ in range(5):
                peers.append(await connect(runner))
                assert await ask(peers[-1]) == b"here"
            assert await ended(peers[0])
            assert await ended(peers[1])
            assert [await ask(peer) for peer in peers[2:]] == [b"here"] * 3
            for _, writer in peers[2:]:
                writer.close()
    assert [(line["event"], line["limit"]) for line in logged] == [("api_connections_limited", 3)], (
        "once a minute is enough"
    )


@pytest.mark.parametrize("sent", [b"", b"GET /small HTTP/1.1\r\nHost: loc"])
async def test_one_that_asks_nothing_is_closed(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(serve, "IDLE_SECONDS", 0.05)
    async with serving() as runner:
        peer = await connect(runner)
        peer[1].write(sent)
        assert await ended(peer)


async def asks_for_much(runner: web.AppRunner) -> Peer:
    """Connect, and read no more of a large answer than its head."""
    peer = await connect(runner)
    peer[1].write(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(SECONDS):
        await peer[0].readuntil(b"\r\n\r\n")
    return peer


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel knows no such timeout")
async def test_a_peer_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 1)
    async with serving() as runner:
        peer = await asks_for_much(runner)
        async with asyncio.timeout(SECONDS):
            while runner.server is not None and runner.server.connections:  # noqa: ASYNC110 - a kernel tells nobody
                await asyncio.sleep(0.01)
        peer[1].close()


async def test_a_peer_that_reads_nothing_does_not_delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "END_SECONDS", 0.05)
    async with serving() as runner:
        peer = await asks_for_much(runner)
        async with asyncio.timeout(SECONDS):
            await runner.cleanup()
        peer[1].close()

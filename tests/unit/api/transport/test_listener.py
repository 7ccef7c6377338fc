"""What connections may cost: how many, which is closed for one more, how long one may be idle or unread."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import pytest
import structlog
from aiohttp import web

from kong_eventhooks_plugin.api.rest import serve
from kong_eventhooks_plugin.api.rest.app import entry
from kong_eventhooks_plugin.api.rest.serve import RestServer
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.transport import listener as module
from kong_eventhooks_plugin.api.transport.listener import Listener
from tests.support.waiting import SECONDS

LARGE = 20_000_000
"""More than the kernel takes for a peer that reads nothing."""


@asynccontextmanager
async def serving(limit: int = 8) -> AsyncIterator["Served"]:
    """Serve ``/small``, ``/large`` and ``/slow``, which never ends, on a free port."""

    async def small(_: web.Request) -> web.Response:
        return web.Response(text="here")

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * LARGE)

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"slow")
        await asyncio.Event().wait()
        return response

    listener = Listener("listen", limit)
    app = web.Application(middlewares=[entry(Access(), listener.calling)])
    app.add_routes([web.get("/small", small), web.get("/large", large), web.get("/slow", slow)])
    server = RestServer(app, listener)
    await server.open("127.0.0.1:0")
    served = Served(listener, server, [])
    try:
        yield served
    finally:
        await server.stop()
        for _, writer in served.peers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@pytest.fixture(autouse=True)
def _ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "END_SECONDS", 0.05)


Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Served(NamedTuple):
    listener: Listener
    server: RestServer
    peers: list[Peer]

    async def connect(self) -> Peer:
        self.peers.append(await asyncio.open_connection("127.0.0.1", self.server.port, limit=1_000))
        return self.peers[-1]


async def ask(peer: Peer, path: str = "/small") -> bytes:
    """Ask on a connection that stays open; return the end of what arrives: the answer's last line."""
    reader, writer = peer
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(SECONDS):
        await reader.readuntil(b"\r\n\r\n")
        return await reader.readexactly(4)


async def ended(peer: Peer) -> bool:
    """Wait until the connection is ended by the other side."""
    async with asyncio.timeout(SECONDS):
        try:
            await peer[0].read()
        except ConnectionResetError:
            return True
    return True


async def test_one_too_many_closes_what_has_been_idle_longest() -> None:
    with structlog.testing.capture_logs() as logged:
        async with serving(3) as served:
            peers = [await served.connect() for _ in range(3)]
            for peer in (peers[1], peers[2], peers[0]):
                assert await ask(peer) == b"here"
            more = [await served.connect() for _ in range(2)]
            assert [await ask(peer) for peer in more] == [b"here"] * 2
            assert await ended(peers[1])
            assert await ended(peers[2])
            assert await ask(peers[0]) == b"here"
    assert [(line["event"], line["setting"], line["limit"]) for line in logged] == [
        ("api_connections_limited", "listen", 3)
    ], "once a minute is enough"


async def test_one_with_a_call_stays_while_another_is_idle() -> None:
    async with serving(2) as served:
        busy = await served.connect()
        await ask(busy, "/slow")
        for _ in range(4):
            (await served.connect())[1].close()
        idle, probe = await served.connect(), await served.connect()
        assert await ask(probe) == b"here"
        assert await ended(idle)
        assert not busy[0].at_eof()


async def test_where_all_have_a_call_the_oldest_is_closed() -> None:
    async with serving(2) as served:
        peers = [await served.connect() for _ in range(2)]
        for peer in peers:
            await ask(peer, "/slow")
        assert await ask(await served.connect()) == b"here"
        assert await ended(peers[0])
        assert not peers[1][0].at_eof()


async def test_no_more_sockets_than_the_limit_and_what_is_being_closed() -> None:
    async with serving(4) as served:
        # All at once: they are accepted in one turn of the loop.
        burst = [socket.create_connection(("127.0.0.1", served.server.port)) for _ in range(100)]
        assert await ask(await served.connect()) == b"here"
        assert len(served.listener._open) <= 4 + module.CLOSING
        for each in burst:
            each.close()
        for _ in range(3):
            assert await ask(await served.connect()) == b"here"


@pytest.mark.parametrize("sent", [b"", b"GET /small HTTP/1.1\r\nHost: loc"])
async def test_one_that_asks_nothing_is_closed(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(serve, "IDLE_SECONDS", 0.05)
    async with serving() as served:
        peer = await served.connect()
        peer[1].write(sent)
        assert await ended(peer)


async def asks_for_much(served: Served) -> Peer:
    """Connect, and read no more of a large answer than its head."""
    peer = await served.connect()
    peer[1].write(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(SECONDS):
        await peer[0].readuntil(b"\r\n\r\n")
    return peer


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel knows no such timeout")
async def test_a_peer_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNREAD_SECONDS", 1)
    async with serving() as served:
        await asks_for_much(served)
        async with asyncio.timeout(SECONDS):
            while served.listener._open:  # noqa: ASYNC110 - a kernel tells nobody
                await asyncio.sleep(0.01)


async def test_a_peer_that_reads_nothing_does_not_delay_the_end() -> None:
    async with serving() as served:
        await asks_for_much(served)
        async with asyncio.timeout(SECONDS):
            await served.server.stop()


async def test_a_port_in_use_is_an_error_and_a_later_try_succeeds() -> None:
    listener = Listener("listen", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await listener.bind(f"127.0.0.1:{port}")
    await listener.bind(f"127.0.0.1:{port}")
    assert listener.port == port
    listener.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_every_address_is_ipv4s_too() -> None:
    listener = Listener("listen", 1)
    await listener.bind("[::]:0")
    for address in ("127.0.0.1", "::1"):
        socket.create_connection((address, listener.port)).close()
    listener.close()

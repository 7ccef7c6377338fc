"""What a request may cost beside its body, over real connections."""

import asyncio
import re

import pytest
from aiohttp import web

from kong_eventhooks_plugin.api.rest.request_protocol import RequestProtocol
from tests.support.waiting import SECONDS

POST = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: a\r\n"


async def answered(*sent: bytes, endless: bytes = b"") -> list[int]:
    """How long the bodies were that were read before the connection's end; ``endless`` is sent until then."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=f"<{len(await request.read())}>")

    app = web.Application(client_max_size=1 << 21)
    app.router.add_route("*", "/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    server = runner.server
    assert server is not None
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: RequestProtocol(server), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    try:
        async with asyncio.timeout(SECONDS):
            for piece in sent:
                writer.write(piece)
                await writer.drain()
            while endless and not writer.is_closing():
                writer.write(endless)
                await writer.drain()
                await asyncio.sleep(0)
            if not endless:
                writer.write(GET + b"connection: close\r\n\r\n")
            return [int(found) for found in re.findall(rb"<(\d+)>", await reader.read())]
    except ConnectionError:
        return []
    finally:
        writer.close()
        listening.close()
        await runner.cleanup()


async def test_proper_requests() -> None:
    chunk = b"40\r\n" + b"x" * 64 + b"\r\n"
    assert await answered(GET + b"\r\n") == [0, 0]
    assert await answered(GET + (b"x: " + b"y" * 8_000 + b"\r\n") * 15 + b"\r\n", GET + b"\r\n") == [0, 0, 0]
    assert await answered(POST + chunk * 4_000 + b"0\r\n\r\n") == [64 * 4_000, 0]
    assert await answered(POST + b"1\r\nx\r\n" * 400 + b"0\r\n\r\n") == [400, 0]
    assert await answered(GET + b"content-length: 2000000\r\n\r\n", b"x" * 2_000_000) == [2_000_000, 0]
    assert await answered((GET + b"\r\n") * 200) == [0] * 201


@pytest.mark.parametrize(
    ("start", "endless"),
    [
        pytest.param(b"", b"\r\n" * 10_000, id="blank lines"),
        pytest.param(GET, b"x: " + b"y" * 8_000 + b"\r\n", id="headers"),
        pytest.param(GET + b"x: ", b"y", id="a header byte by byte"),
        pytest.param(POST + b"1;", b"y" * 65_536, id="a chunk's extension"),
        pytest.param(POST, b"1;" + b"y" * 4_096 + b"\r\nz\r\n", id="chunks with extensions"),
        pytest.param(POST, b"1\r\nx\r\n" * 10_000, id="chunks of a byte"),
        pytest.param(POST, b"10000\r\n" + b"x" * 65_536 + b"\r\n", id="a body"),
        pytest.param(POST + b"0\r\n", b"x: " + b"y" * 8_000 + b"\r\n", id="trailers"),
    ],
)
async def test_what_brings_nothing_is_cut(start: bytes, endless: bytes) -> None:
    assert await answered(start, endless=endless) == []


async def test_a_small_chunk_counts_for_what_it_costs() -> None:
    assert await answered(POST + b"1\r\nx\r\n" * 2_000 + b"0\r\n\r\n") == []


async def test_nothing_is_read_behind_a_request_that_cannot_be() -> None:
    """aiohttp kept an error for each read, with all that was read."""
    server = web.Server(lambda request: asyncio.sleep(0))  # type: ignore[arg-type]
    protocol = RequestProtocol(server)
    protocol.data_received(b"no request\r\n\r\n")
    for _ in range(10):
        protocol.data_received(b"x" * 100_000)
    assert len(protocol._messages) == 1

"""``POST /events`` has one answer, whether the publish lane gives it or aiohttp: on real connections."""

import asyncio
import gc
import itertools
import re
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog
from aiohttp import http_parser, web_protocol
from hypothesis import given, settings
from hypothesis import strategies as st

from kong_eventhooks_plugin.api.rest import publish_lane, routes, serve
from kong_eventhooks_plugin.api.rest.request_protocol import RequestProtocol
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.transport.turns import Turns
from kong_eventhooks_plugin.errors import QueueFull, StoreUnavailable
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.contract import EventFilter, Receipt
from tests.support.api import Api, running
from tests.support.waiting import SECONDS

TOKEN = "correct-horse-battery-staple"
BEARER = f"Authorization: Bearer {TOKEN}"
JSON = "Content-Type: application/json"
BODY = b'{"event":"made","data":{"number":1}}'
NOBODYS = b'{"event":"other","data":{"a":"b"}}'
LAST = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CHANGES = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|(?<=Date: )[^\r]+")
"""Events' ids, and the time."""
UNREADABLE = re.compile(rb"HTTP/1.0 400 Bad Request.*", re.DOTALL)
"""The answer to what cannot be parsed: its text is about one read, and it is lost where more was sent meanwhile."""


def post(
    *headers: str,
    body: bytes = BODY,
    first: str = "POST /events HTTP/1.1",
    host: str = "Host: localhost",
    length: str | None = "Content-Length: {}",
) -> bytes:
    lines = [first, host, *headers, *([length.format(len(body))] if length else [])]
    return "".join(f"{line}\r\n" for line in lines if line).encode("latin-1") + b"\r\n" + body


PLAIN = {
    "with a token": post(JSON, BEARER),
    "with Kong's header": post(JSON, f"kong-admin-token: {TOKEN}"),
    "a slash": post(JSON, BEARER, first="POST /events/ HTTP/1.1"),
    "a charset": post("content-type: Application/JSON ; charset=utf-8", BEARER),
    "an address": post(JSON, BEARER, host="HOST:127.0.0.1:8008"),
    "its own page": post(JSON, BEARER, "Origin: http://localhost", "Sec-Fetch-Site: same-origin"),
    "more headers": post(JSON, BEARER, "Accept: */*", "X-Empty:", "X-Text: a\xe9", "Connection: keep-alive"),
    "no data": post(JSON, BEARER, body=b'{"event":"made"}'),
    "nothing subscribes": post(JSON, BEARER, body=b'{"event":"other"}'),
    "a key": post(JSON, BEARER, body=b'{"event":"made","key":"k","data":null}'),
    "a name twice": post(JSON, BEARER, body=b'{"event":"other","event":"made"}'),
    "no JSON": post(JSON, BEARER, body=b"{"),
    "no object": post(JSON, BEARER, body=b"[1]"),
    "nothing": post(JSON, BEARER, body=b""),
    "no length": post(JSON, BEARER, body=b"", length=None),
    "no UTF-8": post(JSON, BEARER, body=b'{"event":"\xff"}'),
    "half a pair": post(JSON, BEARER, body=b'{"event":"\\ud800"}'),
    "fields": post(JSON, BEARER, body=b'{"event":1,"data":[],"key":{},"more":1}'),
    "no name": post(JSON, BEARER, body=b'{"data":{}}'),
    "controls": post(JSON, BEARER, body=b'{"event":"a\\u0007","key":"\\n","data":{"a":"\\u0000"}}'),
    "an empty name": post(JSON, BEARER, body=b'{"event":"","key":""}'),
    "a long name": post(JSON, BEARER, body=b'{"event":"%b"}' % (b"x" * 257)),
    "deep data": post(JSON, BEARER, body=b'{"event":"made","data":%b1%b}' % (b'{"a":' * 40, b"}" * 40)),
    "too deep": post(JSON, BEARER, body=b'{"event":"made","data":%b' % (b'{"a":' * 5_000)),
    "numbers": post(JSON, BEARER, body=b'{"event":"made","data":{"a":9223372036854775808,"b":1e999}}'),
    "many values": post(JSON, BEARER, body=b'{"event":"made","data":{"a":[%b1]}}' % (b"1," * 30_000)),
}  # fmt: skip
"""What the lane answers itself."""

OTHER = {
    "no token": post(JSON),
    "a wrong token": post(JSON, BEARER + "x"),
    "another scheme": post(JSON, "Authorization: Basic eA=="),
    "no host": post(JSON, BEARER, host=""),
    "two hosts": post(JSON, BEARER, "Host: localhost"),
    "a foreign host": post(JSON, BEARER, host="Host: evil.example"),
    "a foreign page": post(JSON, BEARER, "Origin: http://evil.example"),
    "a foreign site": post(JSON, BEARER, "Sec-Fetch-Site: cross-site"),
    "a query": post(JSON, BEARER, first="POST /events?a=b HTTP/1.1"),
    "an escape": post(JSON, BEARER, first="POST /%65vents HTTP/1.1"),
    "a whole URL": post(JSON, BEARER, first="POST http://localhost/events HTTP/1.1"),
    "another path": post(JSON, BEARER, first="POST /eventsx HTTP/1.1"),
    "another method": post(JSON, BEARER, first="PUT /events HTTP/1.1"),
    "sources": post(BEARER, first="GET /event-hooks/sources HTTP/1.1", body=b"", length=None),
    "health": post(first="GET /healthz HTTP/1.1", body=b"", length=None),
    "HTTP/1.0": post(JSON, BEARER, first="POST /events HTTP/1.0"),
    "HTTP/3.0": post(JSON, BEARER, first="POST /events HTTP/3.0"),
    "no version": post(JSON, BEARER, first="POST /events"),
    "a close": post(JSON, BEARER, "Connection: close"),
    "chunks": post(JSON, BEARER, "Transfer-Encoding: chunked", body=b"24\r\n" + BODY + b"\r\n0\r\n\r\n", length=None),
    "both lengths": post(JSON, BEARER, "Transfer-Encoding: chunked"),
    "an expectation": post(JSON, BEARER, "Expect: 100-continue"),
    "a coding": post(JSON, BEARER, "Content-Encoding: gzip"),
    "an upgrade": post(JSON, BEARER, "Connection: upgrade", "Upgrade: websocket"),
    "an old WebSocket": post(JSON, BEARER, "Sec-WebSocket-Key1: 1"),
    "a form": post("Content-Type: application/x-www-form-urlencoded", BEARER, body=b"event=made"),
    "another type": post("Content-Type: text/plain", BEARER),
    "no type": post(BEARER),
    "two types": post(JSON, "Content-Type: text/plain", BEARER),
    "two lengths": post(JSON, BEARER, "Content-Length: 3"),
    "no number": post(JSON, BEARER, length="Content-Length: x"),
    "a sign": post(JSON, BEARER, length="Content-Length: +{}"),
    "many digits": post(JSON, BEARER, length=f"Content-Length: {'0' * 5_000}{{}}"),
    "a fold": post(JSON, BEARER, "X: a\r\n b"),
    "a control": post(JSON, BEARER, "X: a\x01b"),
    "no colon": post(JSON, BEARER, "X"),
    "line feeds": post(JSON, BEARER).replace(b"\r\n", b"\n"),
    "blank lines": b"\r\n\r\n" + post(JSON, BEARER),
    "many headers": post(JSON, BEARER, *["X: 1"] * 130),
    "a long header": post(JSON, BEARER, f"X: {'x' * 9_000}"),
    "a large body": post(JSON, BEARER, body=b'{"event":"made","data":{"a":"%b"}}' % (b"x" * 100_000)),
    "too large a body": post(JSON, BEARER, body=b" " * 1_100_000),
    "two at once": post(JSON, BEARER) * 2,
    "more than its length": post(JSON, BEARER, length="Content-Length: 2"),
    "no HTTP": b"\x16\x03\x01 what is this?\r\n\r\n",
    "a part of the path": b"POST /ev\r\n\r\n",
}  # fmt: skip


class Side(NamedTuple):
    """A server of its own, with a store of its own."""

    api: Api
    port: int

    async def answers(self, pieces: Sequence[bytes]) -> bytes:
        """Send pieces, and after the first answer a request that ends the connection.

        Return what came but for what always differs.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        came = b""
        try:
            async with asyncio.timeout(SECONDS):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    for _ in range(3):
                        await asyncio.sleep(0)  # for the most part a read each
                came += await answer(reader)
                writer.write(LAST)
                came += await reader.read()
        except ConnectionError:
            pass  # it was closed with what nobody read
        finally:
            writer.close()
        return CHANGES.sub(b"(changes)", came)

    async def seen(self, pieces: Sequence[bytes]) -> Any:
        """Return the answers, and what else was to be seen."""
        with structlog.testing.capture_logs() as logged:
            answers = await self.answers(pieces)
        stored = await self.api.queue.events(EventFilter(), 1)
        newest = [(each.event.event, each.event.data, each.fired.keys()) for each in stored.events]
        return answers, logged, newest, dict(self.api.dispatcher._counts.events)


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return head + await reader.readexactly(int(length[1]) if length else 0)


@asynccontextmanager
async def both(folder: Path) -> AsyncIterator[tuple[Side, Side]]:
    """The API with the lane, and without it."""
    for name in ("lane", "aiohttp"):
        (folder / name).mkdir()
    async with running(folder / "lane") as one, running(folder / "aiohttp") as other:
        for api in (one, other):
            config = {"url": "https://receiver.example/"}
            api.declare(
                {"name": "h", "source": "custom", "event": "made", "handler": "webhook", "handler_config": config}
            )
        access = Access(TOKEN)
        async with one.served(access=access), other.served(access=access, lane=False):
            yield Side(one, port_of(one)), Side(other, port_of(other))


def port_of(api: Api) -> int:
    return int(api.base.rsplit(":", 1)[1])


@pytest.fixture(autouse=True)
def _ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "END_SECONDS", 0.05)
    monkeypatch.setattr(serve, "LINGER_SECONDS", 0.01)


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the lane has left to aiohttp."""
    passed: list[bytes] = []
    received = RequestProtocol.data_received

    def data_received(self: RequestProtocol, data: bytes) -> None:
        if isinstance(self, publish_lane.PublishLane):
            passed.append(data)
        received(self, data)

    monkeypatch.setattr(RequestProtocol, "data_received", data_received)
    return passed


async def test_both_give_the_same_answers(tmp_path: Path, left: list[bytes]) -> None:
    async with both(tmp_path) as (lane, aiohttp):
        for name, request in (PLAIN | OTHER).items():
            left.clear()
            assert await lane.seen([request]) == await aiohttp.seen([request]), name
            assert (left == [LAST]) is (name in PLAIN), name


async def test_wherever_it_is_split(tmp_path: Path, left: list[bytes]) -> None:
    request = post(JSON, BEARER, body=NOBODYS)
    async with both(tmp_path) as (lane, aiohttp):
        expected = await aiohttp.answers([request])
        assert b"201 Created" in expected
        reader, writer = await asyncio.open_connection("127.0.0.1", lane.port)
        for at in range(1, len(request)):
            writer.write(request[:at])
            await asyncio.sleep(0)
            writer.write(request[at:])
            async with asyncio.timeout(SECONDS):
                assert expected.startswith(CHANGES.sub(b"(changes)", await answer(reader))), at
        writer.close()
        assert left == [], "one connection, and each of its requests was the lane's"
        pieces = [request[at : at + 1] for at in range(len(request))]
        assert await lane.answers(pieces) == expected
        assert b"".join(left) == request + LAST


HEADER = st.sampled_from([
    JSON, BEARER, "content-type:application/json;x", "Authorization:bearer  x", "Host: localhost", "Accept: a,b",
    "Connection: Keep-Alive", "connection: close, x", "Expect: x", "Cookie: x", "Upgrade: x", "Origin: null",
    f"Content-Length: {len(NOBODYS)}", "Transfer-Encoding: identity", "X-Empty:",
    "X: \xff\xfe", "Via: 1.1 a", "Content-Encoding:",
])  # fmt: skip


def test_whatever_headers_it_has(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        served = both(tmp_path)
        lane, aiohttp = runner.run(served.__aenter__())

        @settings(max_examples=25, deadline=None, database=None)
        @given(st.lists(HEADER, max_size=5), st.lists(st.integers(0, 250), max_size=3))
        def check(headers: list[str], cuts: list[int]) -> None:
            request = post(*([JSON, BEARER, *headers] if len(headers) < 3 else headers), body=NOBODYS)
            ends = [0, *sorted(cuts), len(request)]
            pieces = [request[start:end] for start, end in itertools.pairwise(ends)]
            one, other = (runner.run(side.answers(pieces)) for side in (lane, aiohttp))
            assert UNREADABLE.sub(b"", one) == UNREADABLE.sub(b"", other)

        try:
            check()
        finally:
            runner.run(served.__aexit__(None, None, None))


@pytest.mark.parametrize("error", [QueueFull("too many", "buffer"), StoreUnavailable("no"), TimeoutError(), KeyError()])
async def test_what_fails_later(tmp_path: Path, left: list[bytes], error: Exception) -> None:
    async def fails() -> None:
        raise error

    async with both(tmp_path) as sides:
        for side in sides:
            side.api.service.events._publish = lambda _: asyncio.ensure_future(fails())  # type: ignore[arg-type,return-value]
        request = [PLAIN["with a token"]]
        one, other = [await side.answers(request) for side in sides]
        assert one == other
        assert b"HTTP/1.1 50" in one
        assert left == [LAST]


async def test_a_rest_that_the_parser_fails_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # aiohttp's own one of Python, which CPython has where there is no other, does with a number of so many digits.
    monkeypatch.setattr(web_protocol, "HttpRequestParser", http_parser.HttpRequestParserPy)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with running(tmp_path) as api, api.served():
        held = Held(api, monkeypatch)
        reader, writer = await held.publish()
        writer.write(post(length=f"Content-Length: {'9' * 5_000}"))
        await read_meanwhile(writer)
        held.accept()
        async with asyncio.timeout(SECONDS):
            await answer(reader)
            assert await reader.read() == b""
        writer.close()


async def test_a_rest_of_a_peer_that_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
    async with running(tmp_path) as api, api.served():
        held = Held(api, monkeypatch)
        _, writer = await held.publish()
        writer.write(post(JSON))
        await read_meanwhile(writer)
        reset = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        writer.close()
        await writer.wait_closed()
        held.accept()
    gc.collect()  # then a task's error that nobody has seen is told
    assert errors == []


async def test_what_aiohttp_logs_of_a_rest_has_nothing_of_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with running(tmp_path) as api, api.served():
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(api))
        with monkeypatch.context() as patched:
            patched.setattr(Turns, "turn", lambda _: turn)
            for sent in (post(JSON, body=b"{"), b"GET / HTTP/1.1\r\nno colon\r\n\r\n"):
                writer.write(sent)
                await read_meanwhile(writer)
        turn.set_result(None)
        async with asyncio.timeout(SECONDS):
            assert (await reader.read()).count(b" 400 Bad Request") == 2
        writer.close()
    (info,) = [record.exc_info for record in caplog.records if record.name == "aiohttp.server"]
    assert info is not None
    assert info[1] is not None
    assert info[1].__context__ is None


async def read_meanwhile(writer: asyncio.StreamWriter) -> None:
    """Return when what was written has been read."""
    await writer.drain()
    for _ in range(5):
        await asyncio.sleep(0)


class Held:
    """An API whose store accepts when it is told to, and the answer to one request."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self.offered: asyncio.Future[None] = loop.create_future()
        self.accepted: asyncio.Future[Receipt] = loop.create_future()

        def publish(_: Event) -> "asyncio.Future[Receipt]":
            self.offered.set_result(None)
            return self.accepted

        monkeypatch.setattr(api.service.events, "_publish", publish)
        self.port = port_of(api)

    async def publish(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Publish, and return when the store has the event."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(post(JSON))
        await asyncio.wait_for(self.offered, SECONDS)
        return reader, writer

    def accept(self) -> None:
        self.accepted.set_result(Receipt("id", duplicate=False, fired=(), held_back={}))


@pytest.mark.parametrize("lane", [True, False])
class TestHeld:
    """What takes long: the same on both sides."""

    async def test_a_call_that_takes_too_long(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lane: bool
    ) -> None:
        monkeypatch.setattr(routes, "CALL_SECONDS", 0.01)
        async with running(tmp_path) as api, api.served(lane=lane):
            held = Held(api, monkeypatch)
            reader, writer = await held.publish()
            async with asyncio.timeout(SECONDS):
                assert (await answer(reader)).startswith(b"HTTP/1.1 503 ")
            assert held.accepted.cancelled()
            writer.close()

    async def test_no_more_calls_than_run_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lane: bool
    ) -> None:
        monkeypatch.setattr(routes, "AT_ONCE", 1)
        async with running(tmp_path) as api, api.served(lane=lane) as client:
            held = Held(api, monkeypatch)
            reader, writer = await held.publish()
            refused = await client.post("/events", json={"event": "made"})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            held.accept()
            async with asyncio.timeout(SECONDS):
                assert (await answer(reader)).startswith(b"HTTP/1.1 201 ")
            assert (await client.get("/event-hooks")).status_code == 200
            writer.close()

    async def test_a_connection_with_a_call_is_not_idle(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lane: bool
    ) -> None:
        monkeypatch.setattr(serve, "IDLE_SECONDS", 0.2)
        async with running(tmp_path) as api, api.served(lane=lane):
            held = Held(api, monkeypatch)
            began = asyncio.get_running_loop().time()
            reader, writer = await held.publish()
            async with asyncio.timeout(SECONDS):
                held.accept()
                await answer(reader)
                assert await reader.read() == b""
            assert asyncio.get_running_loop().time() - began >= 0.2
            writer.close()

    async def test_what_comes_meanwhile_is_answered_after_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lane: bool
    ) -> None:
        async with running(tmp_path) as api, api.served(lane=lane):
            held = Held(api, monkeypatch)
            reader, writer = await held.publish()
            writer.write(LAST[:20])
            await asyncio.sleep(0.01)
            writer.write(LAST[20:])
            await asyncio.sleep(0.01)
            held.accept()
            async with asyncio.timeout(SECONDS):
                assert re.findall(rb"HTTP/1.1 (\d+)", await reader.read()) == [b"201", b"404"]
            writer.close()

    async def test_the_end_waits_for_the_answer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lane: bool
    ) -> None:
        monkeypatch.setattr(serve, "END_SECONDS", SECONDS)
        async with running(tmp_path) as api:
            async with api.served(lane=lane):
                held = Held(api, monkeypatch)
                reader, writer = await held.publish()
                asyncio.get_running_loop().call_later(0.05, held.accept)
            async with asyncio.timeout(SECONDS):
                assert (await reader.read()).startswith(b"HTTP/1.1 201 ")
            writer.close()

    async def test_the_end_does_not_wait_for_ever(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lane: bool
    ) -> None:
        async with running(tmp_path) as api:
            async with api.served(lane=lane):
                held = Held(api, monkeypatch)
                reader, writer = await held.publish()
            assert held.accepted.cancelled()
            async with asyncio.timeout(SECONDS):
                assert await reader.read() == b""
            writer.close()

    async def test_a_body_that_does_not_come(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lane: bool) -> None:
        monkeypatch.setattr(publish_lane, "HELD_SECONDS", 0.01)
        monkeypatch.setattr(routes, "CALL_SECONDS", 0.01)
        async with running(tmp_path) as api, api.served(lane=lane):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(api))
            writer.write(post(JSON)[:-1])
            async with asyncio.timeout(SECONDS):
                assert (await answer(reader)).startswith(b"HTTP/1.1 503 ")
            writer.close()

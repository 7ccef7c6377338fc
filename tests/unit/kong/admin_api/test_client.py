"""The Admin API's client against a real HTTP server that serves recorded and broken answers."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.kong.admin_api.client import MAX_LOOP_BYTES, AdminClient, AdminSettings
from tests.support.waiting import SECONDS

CAPTURES = Path(__file__).parents[3] / "captures" / "admin-api"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def without_its_own_name(_: web.Request, response: web.StreamResponse) -> None:
    """Send the header ``Server`` only where the test names one."""
    if response.headers["Server"].startswith("Python"):
        del response.headers["Server"]


class Kong:
    """An HTTP server that answers as the test says and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.answer: Answer
        app = web.Application()
        app.on_response_prepare.append(without_its_own_name)
        app.router.add_get("/{path:.*}", self._handle)
        self.server = TestServer(app)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.answer(request)

    def serves(self, *pages: Any) -> None:
        """Serve pages by their number, which is the offset too."""

        async def answer(request: web.Request) -> web.StreamResponse:
            return web.json_response(pages[int(request.query.get("offset", "0"))])

        self.answer = answer

    def client(self, prefix: str = "", **settings: Any) -> AdminClient:
        return AdminClient(AdminSettings(url=str(self.server.make_url(prefix or "/")), **settings))


@pytest.fixture
async def kong() -> AsyncIterator[Kong]:
    kong = Kong()
    await kong.server.start_server()
    yield kong
    await kong.server.close()


def recorded(name: str) -> Any:
    return json.loads((CAPTURES / name).read_text())


async def entities(kong: Kong, path: str = "/plugins", **settings: Any) -> list[dict[str, Any]]:
    async with kong.client(**settings) as client:
        return await client.entities(path)


async def refusal(kong: Kong, **settings: Any) -> str:
    with pytest.raises(AdminApiError) as caught:
        await entities(kong, **settings)
    return str(caught.value)


@pytest.mark.parametrize("name", ["dbless-plugins.json", "pg-plugins.json", "pg-consumers.json"])
async def test_a_recorded_list(kong: Kong, name: str) -> None:
    kong.serves(recorded(name))
    assert await entities(kong) == recorded(name)["data"]
    assert dict(kong.asked[0].query) == {"size": "100"}


async def test_recorded_pages(kong: Kong) -> None:
    first = recorded("pg-consumers-page1.json")
    assert first["next"].startswith("/consumers?offset=")

    async def answer(request: web.Request) -> web.StreamResponse:
        if "offset" not in request.query:
            return web.json_response(first)
        assert request.query["offset"] == first["offset"]
        return web.json_response({"data": [{"id": "last"}], "next": None})

    kong.answer = answer
    async with kong.client(prefix="/admin/") as client:
        found = await client.entities("/consumers", size=1)
    assert [each["id"] for each in found] == [first["data"][0]["id"], "last"]
    assert [request.path for request in kong.asked] == ["/admin/consumers"] * 2, "behind a route's prefix"


async def test_an_empty_list_as_kong_may_write_it(kong: Kong) -> None:
    kong.serves({"data": {}, "next": None})
    assert await entities(kong) == []


@pytest.mark.parametrize("header", [{"Server": "kong/3.9.1"}, {}])
async def test_who_answered(kong: Kong, header: dict[str, str]) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"data": []}, headers=header)

    kong.answer = answer
    async with kong.client() as client:
        assert await client.answer("/endpoints") == ({"data": []}, header.get("Server", ""))


async def test_the_token(kong: Kong) -> None:
    kong.serves({"data": []})
    await entities(kong, token="t0k")
    await entities(kong)
    assert [request.headers.get("Kong-Admin-Token") for request in kong.asked] == ["t0k", None]
    assert "t0k" not in repr(AdminSettings(url="http://u:t0k@a", token="t0k"))


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ([], "the answer is not an object"),
        ({}, "a page has no list of entities under data"),
        ({"data": [5]}, "a page has no list of entities under data"),
        ({"data": None}, "a page has no list of entities under data"),
        ({"data": [], "offset": 5}, "a page's offset is not a string"),
    ],
)
async def test_what_is_no_list(kong: Kong, page: Any, text: str) -> None:
    kong.serves(page)
    assert await refusal(kong) == f"/plugins: {text}"


async def test_half_a_list_is_none(kong: Kong) -> None:
    kong.serves({"data": [{"id": "a"}], "offset": "1"}, {"message": "later"})
    assert "no list of entities" in await refusal(kong)


async def test_pages_have_a_limit(kong: Kong) -> None:
    kong.serves({"data": [], "offset": "0"})
    assert await refusal(kong, max_pages=3) == "/plugins: more than 3 pages"
    assert len(kong.asked) == 3


@pytest.mark.parametrize("status", [204, 301, 401, 404, 500])
async def test_any_other_status(kong: Kong, status: int) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"location": "/elsewhere"} if status == 301 else {})

    kong.answer = answer
    assert await refusal(kong) == f"/plugins: answered {status}"
    assert len(kong.asked) == 1


async def test_a_refusal_has_its_status(kong: Kong) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"message": "Not found"}, status=404)

    kong.answer = answer
    async with kong.client() as client:
        with pytest.raises(AdminApiError) as caught:
            await client.get("/workspaces")
    assert caught.value.status == 404


async def test_nobody_there_has_no_status(unused_tcp_port: int) -> None:
    async with AdminClient(AdminSettings(url=f"http://127.0.0.1:{unused_tcp_port}")) as client:
        with pytest.raises(AdminApiError) as caught:
            await client.get("/")
    assert caught.value.status is None
    assert str(caught.value) == f"http://127.0.0.1:{unused_tcp_port}/: no connection: Connection refused"


async def test_an_object_and_its_query(kong: Kong) -> None:
    kong.serves(recorded("dbless-status.json"))
    async with kong.client(prefix="/admin/") as client:
        assert await client.get("/status") == recorded("dbless-status.json")
        await client.get("/upstreams/a%2Fb%20c/health", {"balancer_health": "1", "x": "a b&c"})
    assert kong.asked[0].raw_path == "/admin/status"
    assert kong.asked[1].raw_path.startswith("/admin/upstreams/a%2Fb%20c/health?")
    assert dict(kong.asked[1].query) == {"balancer_health": "1", "x": "a b&c"}


async def test_one_page_at_a_time(kong: Kong) -> None:
    kong.serves({"data": [{"id": "a"}], "offset": "1"}, {"data": [{"id": "b"}]})
    async with kong.client() as client:
        first = await client.page("/plugins", 5)
        assert first == ([{"id": "a"}], "1")
        assert await client.page("/plugins", 5, first.offset) == ([{"id": "b"}], None)
    assert [dict(request.query) for request in kong.asked] == [{"size": "5"}, {"size": "5", "offset": "1"}]


async def test_an_offset_is_sent_as_it_came(kong: Kong) -> None:
    """Kong's are base64: with ``+``, ``/`` and ``=``."""
    offset = "WyIr+/8=&x"
    kong.answer = lambda _request: _json({"data": []})
    async with kong.client() as client:
        await client.page("/plugins", offset=offset)
    assert kong.asked[0].query["offset"] == offset


async def _json(answer: Any) -> web.StreamResponse:
    return web.json_response(answer)


async def test_one_connection_is_enough(kong: Kong) -> None:
    ports = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.json_response({"data": []})

    kong.answer = answer
    async with kong.client() as client:
        for _ in range(5):
            await client.entities("/plugins")
    assert len(ports) == 1


async def test_a_page_has_a_size_limit(kong: Kong) -> None:
    kong.serves({"data": [{"id": "x" * 5000}]})
    assert await refusal(kong, max_page_bytes=4096) == "/plugins: a page is larger than 4,096 bytes"


async def test_a_compressed_answer_is_not_requested_and_refused(kong: Kong) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        response = web.json_response({"data": [{"id": "x" * 100_000}]})
        response.enable_compression(web.ContentCoding.gzip)
        return response

    kong.answer = answer
    assert await refusal(kong) == "/plugins: the answer is compressed"


async def test_what_is_no_http() -> None:
    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-hunter2\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, AdminClient(AdminSettings(url=f"http://127.0.0.1:{port}")) as client:
        with pytest.raises(AdminApiError) as caught:
            await client.get("/")
    assert str(caught.value) == f"http://127.0.0.1:{port}/: the answer is not HTTP"


async def test_a_connection_that_is_cut(kong: Kong) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"data": [')
        assert request.transport is not None
        request.transport.abort()
        return response

    kong.answer = answer
    assert re.match(r"http://127.0.0.1:[0-9]+/plugins: ", await refusal(kong))


async def test_a_page_has_a_time_limit_however_it_trickles(kong: Kong) -> None:
    ended = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            ended.set()
            raise

    kong.answer = answer
    assert (await refusal(kong, page_seconds=0.2)).endswith("/plugins: no answer within 0.2 s")
    await asyncio.wait_for(ended.wait(), SECONDS)


async def test_garbage(kong: Kong) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"[" * 100_000)

    kong.answer = answer
    assert "the answer is not JSON" in await refusal(kong)


@pytest.mark.parametrize("blanks", [0, MAX_LOOP_BYTES])
async def test_a_page_of_too_many_values(kong: Kong, blanks: int) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=b'{"data":[' + b"{}," * 200_000 + b"{}]}" + b" " * blanks)

    kong.answer = answer
    assert await refusal(kong) == "/plugins: the answer is not JSON: more than 200,000 values"


async def test_headers_without_end(kong: Kong) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000)  # type: ignore[attr-defined]
        return web.Response()

    kong.answer = answer
    assert (await refusal(kong)).endswith("/plugins: Kong sent more than 16 informational answers")


async def test_nobody_there(unused_tcp_port: int) -> None:
    async with AdminClient(AdminSettings(url=f"http://user:hunter2@127.0.0.1:{unused_tcp_port}")) as client:
        with pytest.raises(AdminApiError) as caught:
            await client.entities("/plugins")
    assert str(caught.value).startswith(f"http://127.0.0.1:{unused_tcp_port}/plugins: ")
    assert "hunter2" not in str(caught.value)


async def test_a_url_that_is_none() -> None:
    async with AdminClient(AdminSettings(url="http://[::x")) as client:
        with pytest.raises(AdminApiError):
            await client.entities("/plugins")


async def test_the_environment_s_proxies_are_not_used(kong: Kong, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    kong.serves({"data": []})
    assert await entities(kong) == []

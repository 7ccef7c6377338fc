"""Bodies that are made to cost much are refused, or read where they stop nobody."""

import threading
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.api.rest import bodies
from kong_eventhooks_plugin.api.rest.bodies import AT_ONCE, FORM, JSON, MAX_BODY, MULTIPART, read_object
from kong_eventhooks_plugin.errors import BadArgument

PARTS = f"{MULTIPART}; boundary=b"


async def sent(body: bytes, kind: str, *, chunked: bool = False) -> Any:
    """What our server makes of a body, or the text of its refusal, or the status of aiohttp's."""
    seen: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        try:
            seen.append(await read_object(request))
        except BadArgument as error:
            seen.append(str(error))
        except web.HTTPException as error:
            seen.append(error.status)
        return web.Response()

    async def chunks() -> Any:
        yield body

    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post("/", handle)
    async with TestServer(app) as server, httpx.AsyncClient() as client:
        await client.post(
            str(server.make_url("/")), content=chunks() if chunked else body, headers={"content-type": kind}
        )
    return seen[0]


@pytest.mark.parametrize("body", [b'{"a":[' + b"[]," * 300_000 + b"[]]}", b"{" + b'"a":0,' * 100_000 + b'"b":0}'])
async def test_json_of_too_many_values(body: bytes) -> None:
    assert await sent(body, JSON) == "the body has more than 25,000 values"


async def test_as_many_values_as_a_hook_may_have_are_read() -> None:
    fields = b",".join(b'"%d":[0]' % number for number in range(3_333))
    assert len((await sent(b'{"payload":{' + fields + b"}}", JSON))["payload"]) == 3_333


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"--b\r\n\r\n\r\n" * 25_574 + b"--b--\r\n", id="parts without a name"),
        pytest.param(b"--b\r\n" + b"x: y\r\n" * 2_000 + b"\r\n\r\n--b--\r\n", id="part headers"),
    ],
)
async def test_a_form_of_nothing_is_refused(body: bytes) -> None:
    assert await sent(body, PARTS) in ("Too many arguments", "a part of the form has more than 8,190 bytes of headers")


@pytest.mark.parametrize("stray", [b"%", b"%4", b"%zz"])
async def test_percent_signs_that_begin_no_code(stray: bytes) -> None:
    assert await sent(b"a=" + stray * 999 + b"%41&b=%", FORM) == {"a": stray.decode() * 999 + "A", "b": "%"}
    assert await sent(b"a=" + stray * 300_000, FORM) == "Too many percent signs that begin no code"


@given(st.binary(max_size=30) | st.text(alphabet="a=&+%4\xfcf", max_size=30).map(str.encode), st.integers(3, 9))
def test_a_form_is_read_as_pythons_library_does(body: bytes, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "PIECE", piece)
        try:
            expected = parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
        except UnicodeDecodeError:
            with pytest.raises(BadArgument, match="the form is not UTF-8"):
                bodies._fields(body)
        else:
            assert bodies._fields(body) == expected


@pytest.mark.parametrize("around", [b"x\r\n" * (MAX_BODY // 3) + b"%s", b"%s" + b"x\r\n" * (MAX_BODY // 3)])
@pytest.mark.parametrize("chunked", [True, False])
async def test_what_is_around_the_parts_is_of_the_body(around: bytes, chunked: bool) -> None:
    assert await sent(around % b"\r\n--b--\r\n", PARTS, chunked=chunked) == 413


@pytest.mark.parametrize(("size", "on_the_loop"), [(AT_ONCE, True), (AT_ONCE + 1, False)])
async def test_a_long_form_is_read_beside_the_loop(
    size: int, on_the_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def nested(arguments: Any) -> dict[str, Any]:
        threads.append(threading.current_thread() is threading.main_thread())
        return dict(arguments)

    monkeypatch.setattr(bodies, "nested", nested)
    assert await sent(b"a=%" + b"x" * (size - 3), FORM) == {"a": "%" + "x" * (size - 3)}
    assert threads == [on_the_loop]

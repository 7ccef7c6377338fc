import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser
from hypothesis import example, given
from hypothesis import strategies as st

from kong_eventhooks_plugin.handlers.plain_answers import LONGEST, LONGEST_HEAD, PlainHead, plain_answer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_whole_answer_of_known_length_is_plain() -> None:
    assert plain_answer(OK) == (PlainHead(200, ((b"Content-Length", b"2"),), 2), b"ok")
    assert plain_answer(b"HTTP/1.1 204 No Content\r\n\r\n") == (PlainHead(204, (), 0), b"")


@pytest.mark.parametrize(
    "data",
    [
        OK[:-1],
        OK + b"x",
        OK.replace(b"1.1", b"1.0"),
        OK.replace(b"200", b"103"),
        OK.replace(b"200", b"204"),
        OK.replace(b"200", b"304"),
        OK.replace(b"Length: 2", b"Length: 2\r\nConnection: close"),
        OK.replace(b"Length: 2", b"Length: 2\r\nTransfer-Encoding: chunked"),
        OK.replace(b"Length: 2", b"Length: 2\r\nContent-Length: 2"),
        OK.replace(b"Length: 2", b"Length: +2"),
        OK.replace(b"Content-Length: 2", b"X: 1"),
        OK.replace(b"\r\n\r\n", b"\n\n"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\n\nX: 1\r\n\r\n123456789",
        OK.replace(b"Length: 2", b"Length: 2\r\nX: " + b"a" * LONGEST_HEAD),
        OK.replace(b"Length: 2", b"Length: %d" % LONGEST)[:-2] + b"a" * LONGEST,
        b"nonsense\r\n\r\n",
        b"",
    ],
)
async def test_anything_else_is_left_to_the_parser(data: bytes) -> None:
    assert plain_answer(data) is None


STATUS_LINES = (b"HTTP/1.1 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.0 200 OK", b"HTTP/1.1 500 ", b"HTTP/1.1 100 ")
LENGTHS = (b"Content-Length: 2", b"content-length:0", b"Content-Length : 2", b"Transfer-Encoding: chunked")
HEADERS = (
    *LENGTHS,
    b"Connection: close",
    b"Connection: Keep-Alive",
    b"Upgrade: x",
    b"X: 1",
    b"X:",
    b": 1",
    b" folded",
    b"\0",
)
ENDS = (*[b"\r\n"] * 6, b"\n", b"\r", b"\n\n")
BODIES = (b"ok", b"", b"0\r\n\r\n", b"ok\r\n", b"HTTP/1.1 200 OK\r\n\r\n")
ANSWERS = st.builds(
    lambda first, lines, body: first + b"\r\n" + b"".join(map(b"".join, lines)) + b"\r\n" + body,
    st.sampled_from(STATUS_LINES),
    st.lists(st.tuples(st.sampled_from(HEADERS), st.sampled_from(ENDS)), max_size=4),
    st.sampled_from(BODIES),
)


@given(ANSWERS)
@example(OK)
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 9\n\nX: 1\r\n\r\n123456789")
def test_what_is_plain_is_what_the_parser_reads(data: bytes) -> None:
    async def compare() -> None:
        if (plain := plain_answer(data)) is None:
            return
        head, body = plain
        loop = asyncio.get_running_loop()
        parser = HttpResponseParser(BaseProtocol(loop), loop, LONGEST, read_until_eof=True, auto_decompress=False)
        try:
            ((message, payload),), upgraded, rest = parser.feed_data(data)
        except HttpProcessingError as error:
            raise AssertionError(data) from error
        assert not upgraded
        assert not rest
        assert (message.code, message.raw_headers, message.should_close) == (head.code, head.raw_headers, False)
        assert (b"" if payload.at_eof() else await payload.read()) == body

    asyncio.run(compare())

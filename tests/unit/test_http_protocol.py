"""What of an answer is counted, and that no proper answer is past a limit."""

import asyncio

import pytest

from kong_eventhooks_plugin.http_errors import AnswerOverrun
from kong_eventhooks_plugin.http_protocol import BESIDE_BODY, INFORMATIONAL, PIECE, SMALLEST_READ, AnswerProtocol

OK = b"HTTP/1.1 200 OK\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
READ_BUFFER = 32_768


class Transport(asyncio.Transport):
    """Takes no part in what is counted."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def connected() -> tuple[AnswerProtocol, Transport]:
    protocol, transport = AnswerProtocol(asyncio.get_running_loop()), Transport()
    protocol.connection_made(transport)
    expect_answer(protocol)
    return protocol, transport


def expect_answer(protocol: AnswerProtocol) -> None:
    protocol.set_response_params(read_bufsize=READ_BUFFER, read_until_eof=True, auto_decompress=False)


async def test_few_informational_answers_wait_however_many_come_at_once() -> None:
    protocol, transport = await connected()
    protocol.data_received(CONTINUE * 100_000)
    waiting = len(protocol)
    assert waiting <= INFORMATIONAL + PIECE // len(CONTINUE)
    assert transport.aborted
    for _ in range(waiting):
        await protocol.read()
    with pytest.raises(AnswerOverrun, match=f"^more than {INFORMATIONAL} informational answers$"):
        await protocol.read()


async def test_as_many_as_the_limit_are_passed_over() -> None:
    protocol, transport = await connected()
    protocol.data_received(CONTINUE * INFORMATIONAL + OK + b"content-length: 0\r\n\r\n")
    assert [(await protocol.read())[0].code for _ in range(INFORMATIONAL + 1)] == [100] * INFORMATIONAL + [200]
    assert not transport.aborted


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        pytest.param(CHUNKED + b"1\r\nx\r\n" * 1_500 + b"0\r\n\r\n", 1_500, id="each byte a chunk"),
        pytest.param(CHUNKED + b"80000\r\n" + b"x" * 524_288 + b"\r\n0\r\n\r\n", 524_288, id="one chunk"),
        pytest.param(OK + b"content-length: 1000000\r\n\r\n" + b"x" * 1_000_000, 1_000_000, id="a length"),
        pytest.param(OK + b"x: y\r\n" * 100 + b"content-length: 3\r\n\r\nabc", 3, id="many headers"),
    ],
)
@pytest.mark.parametrize("piece", [SMALLEST_READ, 1_460, 1 << 20])
async def test_a_proper_answer_is_read_to_its_end(answer: bytes, size: int, piece: int) -> None:
    protocol, transport = await connected()
    for at in range(0, len(answer), piece):
        protocol.data_received(answer[at : at + piece])
    _, payload = await protocol.read()
    assert len(await payload.read()) == size
    assert not transport.aborted


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(b"", b"\r\n" * 1_000, id="blank lines"),
        pytest.param(OK, b"x: " + b"y" * 8_000 + b"\r\n", id="long headers"),
        pytest.param(OK + b"x: ", b"y", id="a header byte by byte"),
        pytest.param(OK + b"\r\n", b"y", id="a body byte by byte"),
        pytest.param(CHUNKED + b"1;", b"y" * 4_096, id="a chunk's extension"),
        pytest.param(CHUNKED, b"1;" + b"y" * 4_096 + b"\r\nz\r\n", id="chunks with extensions"),
        pytest.param(CHUNKED, b"0" * 4_096, id="a chunk's length"),
        pytest.param(CHUNKED, b"1\r\nx\r\n" * 50, id="chunks of a byte"),
        pytest.param(CHUNKED + b"0\r\n", b"x: " + b"y" * 8_000 + b"\r\n", id="trailers"),
    ],
)
async def test_what_brings_nothing_is_cut(start: bytes, piece: bytes) -> None:
    protocol, transport = await connected()
    protocol.data_received(start)
    reads = 0
    while not transport.aborted:
        protocol.data_received(piece)
        reads += 1
        assert (reads - 1) * max(len(piece) - 1, SMALLEST_READ - 1) <= BESIDE_BODY


async def test_small_chunks_count_while_a_reader_falls_behind() -> None:
    protocol, transport = await connected()
    protocol.data_received(CHUNKED + b"1\r\nx\r\n" * 20_000)
    _, payload = await protocol.read()
    with pytest.raises(AnswerOverrun):
        await payload.read()
    assert transport.aborted
    assert payload.total_bytes < 4_000


async def test_each_request_is_counted_anew() -> None:
    protocol, transport = await connected()
    for _ in range(3):
        protocol.data_received(OK + (b"x: " + b"y" * 8_000 + b"\r\n") * 10 + b"content-length: 0\r\n\r\n")
        await protocol.read()
        expect_answer(protocol)
    assert not transport.aborted

"""The status in an answer's first bytes: whole, byte by byte, and with whatever behind it."""

import pytest

from kong_eventhooks_plugin.handlers.status_line import StatusLine
from kong_eventhooks_plugin.http_protocol import INFORMATIONAL

FINAL = b"HTTP/1.1 200 OK\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (FINAL, 200),
        (FINAL + b"\xff\x00 garbage", 200),
        (b"HTTP/1.0 204\r\n", 204),
        (b"HTTP/1.1 200\n", 200),
        (b"HTTP/1.1 410 " + b"x" * 100_000, 410),
        (b"\r\nHTTP/1.1 201 \xff\r\n", 201),
        (b"HTTP/1.1 101 Switching Protocols\r\n", 101),
        (INTERIM + FINAL, 200),
        (INTERIM * INFORMATIONAL + b"HTTP/1.1 500 No\r\n", 500),
        (INTERIM * (INFORMATIONAL + 1) + FINAL, None),
        (b"HTTP/1.1 100 Continue\n\n" + FINAL, 200),
        (b"HTTP/1.1 100 Continue\r\nx: HTTP/1.1 200 OK\r\n", None),
        (INTERIM, None),
        (b"HTTP/1.1 200", None),
        (b"HTTP/1.1 2000 OK\r\n", None),
        (b"HTTP/1.1 abc\r\n", None),
        (b"SSH-2.0-OpenSSH_9.6\r\n" + FINAL, None),
        (b"", None),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_the_status(answer: bytes, status: int | None, piece: int) -> None:
    line = StatusLine()
    for at in range(0, len(answer), piece):
        if not line.ended:
            line.feed(answer[at : at + piece])
    assert line.status == status


@pytest.mark.parametrize("start", [b"HTTP/1.1 100 Continue\r\nx: ", b"\r\n", b"HTTP/1.1 100\n"])
def test_nothing_is_kept_of_what_was_read(start: bytes) -> None:
    line = StatusLine()
    line.feed(start)
    for _ in range(100):
        line.feed(b"\r\n" if start == b"\r\n" else b"y: z\r\n")
    assert not line.ended
    assert len(line._rest) < len(b"HTTP/1.1 200 ")
    line.feed(b"\r\n" + FINAL)
    assert line.status == 200

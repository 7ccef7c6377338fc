"""Server-sent events, however they are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.api.client import sse
from kong_eventhooks_plugin.api.client.sse import Message, Parser
from kong_eventhooks_plugin.errors import RemoteError

STREAM = (
    '\ufeffretry: 2000\n\n: a comment\n\nid: 1\ndata: {"a": "ü"}\n\n'
    "event: missed\r\ndata: x\r\ndata: y\r\n\r\nid: 2\rdata:z\r\rdata\n\nnonsense: 1\nid\n\ndata: end\n\n"
).encode()
MESSAGES = [
    Message("message", '{"a": "ü"}', "1"),
    Message("missed", "x\ny", "1"),
    Message("message", "z", "2"),
    Message("message", "", "2"),
    Message("message", "end", ""),
]


def parsed(*chunks: bytes) -> list[Message]:
    parser = Parser()
    return [message for chunk in chunks for message in parser.feed(chunk)]


def test_whole() -> None:
    assert parsed(STREAM) == MESSAGES


def test_byte_by_byte() -> None:
    assert parsed(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == MESSAGES


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_however_it_is_cut(cuts: list[int]) -> None:
    places = sorted({0, len(STREAM), *cuts})
    assert parsed(*(STREAM[a:b] for a, b in pairwise(places))) == MESSAGES


def test_what_is_not_complete_is_no_message() -> None:
    assert parsed(b"data: x\n") == []
    assert parsed(b"data: x") == []
    assert parsed(b"id: 5\n\n") == []


@given(st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    assert all(isinstance(message, Message) for message in parsed(data, b"\n\n"))


@pytest.mark.parametrize("piece", [b"x" * 50, b"data: xxxxxxxxx\n"])
def test_a_message_that_does_not_end(monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    monkeypatch.setattr(sse, "MAX_MESSAGE", 100)
    with pytest.raises(RemoteError, match="too large"):
        parsed(*[piece] * 20)
    assert parsed(*[b"data: 0123456789\n\n"] * 30)

"""Requests out of bytes: whole, byte by byte, with what comes behind them, and out of anything."""

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.plugin_server import msgpack_rpc
from kong_eventhooks_plugin.kong.plugin_server.msgpack_rpc import (
    MAX_COLLECTIONS,
    MAX_LENGTH,
    RequestReader,
    RpcRequest,
    exact,
)
from kong_eventhooks_plugin.kong.wire.frames import ByteBudget

texts = st.text() | st.binary().map(lambda raw: raw.decode(errors="surrogateescape"))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=3),
    max_leaves=8,
)
requests = st.builds(RpcRequest, st.integers(0, 2**31), st.text(max_size=64), values)


def packed(request: RpcRequest) -> bytes:
    message = [0, request.msgid, request.method, [request.argument]]
    return bytes(msgpack.packb(message, unicode_errors="surrogateescape"))


def read(parts: list[bytes], **options: Any) -> list[RpcRequest]:
    reader = RequestReader(ByteBudget(), **options)
    found: list[RpcRequest] = []
    for part in parts:
        reader.feed(part)
        found.extend(reader.requests())
    return found


@given(st.lists(requests, min_size=1, max_size=3), st.integers(1, 7))
def test_requests_are_the_same_whole_and_in_pieces(sent: list[RpcRequest], size: int) -> None:
    raw = b"".join(map(packed, sent))
    assert read([raw]) == sent
    assert read([raw[at : at + size] for at in range(0, len(raw), size)]) == sent
    assert read([raw + packed(sent[0])[:-1]]) == sent


@given(st.binary(max_size=200), st.integers(1, 200))
def test_anything_is_requests_or_a_bad_message(raw: bytes, cut: int) -> None:
    room = ByteBudget(10_000)
    reader = RequestReader(room)
    try:
        for part in (raw[:cut], raw[cut:]):
            reader.feed(part)
            for request in reader.requests():
                assert isinstance(request, RpcRequest)
    except BadMessage:
        pass
    reader.close()
    assert room.acquire(10_000)  # nothing was kept of the room


@given(values)
def test_answers_come_out_as_they_went_in(value: Any) -> None:
    request = RpcRequest(5, "plugin.Step", None)
    raw = msgpack_rpc.result(request, value)
    assert msgpack.unpackb(raw, strict_map_key=False, unicode_errors="surrogateescape") == [1, 5, None, value]
    assert msgpack.unpackb(msgpack_rpc.error(request, "no")) == [1, 5, "no", None]


@given(st.binary())
def test_escaped_bytes_become_exact(raw: bytes) -> None:
    text = raw.decode(errors="surrogateescape")
    found = exact(text)
    assert found in {text, raw}
    assert isinstance(found, bytes) == any("\udc80" <= letter <= "\udcff" for letter in text)


def test_a_message_over_the_limit_is_refused() -> None:
    with pytest.raises(BadMessage, match="over the limit"):
        read([b"\xc6\x00\x10\x00\x00" + b"x" * 2000], limit=1000)


def test_peers_together_may_hold_no_more_than_the_room() -> None:
    room = ByteBudget(1000)
    first, second = RequestReader(room), RequestReader(room)
    first.feed(b"\xc6\x00\x10\x00\x00" + b"x" * 700)
    with pytest.raises(BadMessage, match="all peers together"):
        second.feed(b"x" * 700)
    first.close()
    second.feed(packed(RpcRequest(1, "m", "x" * 700)))
    assert len(list(second.requests())) == 1
    assert room.acquire(1000)


@pytest.mark.parametrize(
    "argument",
    [
        [[]] * (MAX_COLLECTIONS - 3),
        {"a": [[]] * (MAX_COLLECTIONS - 4)},
        [0] * MAX_LENGTH,
        dict.fromkeys(range(MAX_LENGTH)),
    ],
)
def test_a_message_of_many_values(argument: Any) -> None:
    request = RpcRequest(1, "plugin.Step", argument)
    assert read([packed(request)] * 2) == [request] * 2


@pytest.mark.parametrize(
    "argument",
    [
        [[[]] * 1_000] * 1_000,
        [{}] * 1_000_000,
        [0] * (MAX_LENGTH + 1),
        dict.fromkeys(range(MAX_LENGTH + 1)),
        [[0] * 100] * 2_000,
    ],
)
@pytest.mark.parametrize("size", [1 << 16, 1 << 24])
def test_a_message_of_too_many_values(argument: Any, size: int) -> None:
    raw = packed(RpcRequest(1, "plugin.Step", argument))
    with pytest.raises(BadMessage, match="not MessagePack"):
        read([raw[at : at + size] for at in range(0, len(raw), size)])

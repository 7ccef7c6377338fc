"""A message's fields by hand: the same as protobuf's own code, and gentle with what that refuses."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.fields import encode_varint, fields, read_varint, signed

INT64 = st.integers(-(2**63), 2**63 - 1)


def until_it_breaks(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    with suppress(BadMessage):
        yield from fields(data)


@given(INT64)
def test_varints_are_protobufs(number: int) -> None:
    encoded = pb.RpcCall(sequence=number).SerializeToString()[1:]
    unsigned = number & (1 << 64) - 1
    if number:
        assert encode_varint(unsigned) == encoded
        assert read_varint(b"?" + encoded + b"\x80", 1) == (unsigned, 1 + len(encoded))
    assert signed(unsigned) == number


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 10, b"\x80" * 20])
def test_a_varint_without_an_end(data: bytes) -> None:
    with pytest.raises(BadMessage):
        read_varint(data, 0)


@given(INT64, st.text(max_size=300), st.binary(max_size=300), st.booleans())
def test_fields_are_those_that_protobuf_wrote(sequence: int, name: str, config: bytes, kong_order: bool) -> None:
    start = pb.RpcCall(cmd_start_instance=pb.CmdStartInstance(name=name, config=config)).SerializeToString()
    number = pb.RpcCall(sequence=sequence).SerializeToString()
    found = dict(fields(start + number if kong_order else number + start))
    assert signed(int(found.get(1, 0))) == sequence
    body = dict(fields(bytes(found[33])))
    assert body.get(1, b"") == name.encode()
    assert body.get(2, b"") == config


def test_fixed_sizes() -> None:
    data = b"\x09" + b"8bytes.." + b"\x15" + b"four" + b"\x18\x01"
    assert list(fields(data)) == [(1, b"8bytes.."), (2, b"four"), (3, 1)]


def test_what_comes_before_a_break_is_given() -> None:
    message = pb.RpcCall(cmd_start_instance=pb.CmdStartInstance(name="event-hooks", config=b"x" * 500))
    cut = message.SerializeToString()[:40]
    (number, body), *none = until_it_breaks(cut)
    assert (number, none) == (33, [])
    assert dict(until_it_breaks(bytes(body)))[1] == b"event-hooks"
    with pytest.raises(BadMessage):
        list(fields(cut))


@given(st.binary(max_size=200))
def test_garbage_is_bad_and_nothing_else(garbage: bytes) -> None:
    list(until_it_breaks(garbage))


@pytest.mark.parametrize("kind", [3, 4, 6, 7])
def test_unknown_types(kind: int) -> None:
    with pytest.raises(BadMessage):
        list(fields(bytes([8 | kind, 0])))

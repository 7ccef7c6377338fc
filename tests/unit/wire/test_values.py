"""Arguments and results of PDK functions, against the recordings and against what is wrong."""

import pytest
from google.protobuf.struct_pb2 import ListValue
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.pluginserver.pdk import FUNCTIONS
from kong_eventhooks_plugin.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.wire.frames import FrameReader, encode_frame
from kong_eventhooks_plugin.wire.values import DECODERS, Result, encode_question
from tests.kong_node.node import string
from tests.support.recordings import every_call


def test_recorded_questions_and_answers() -> None:
    compared = set()
    for recorded in every_call():
        for (name, argument), result in recorded.answers().items():
            function = FUNCTIONS.get(name)
            if function is None:
                continue
            args = tuple(ListValue.FromString(argument)) if function.argument == "ListValue" else ()
            asked = encode_question(name, function.argument, args)
            assert asked == encode_frame(name.encode()) + encode_frame(argument)
            value = DECODERS[function.result](result)
            if name == "kong.client.get_consumer":
                assert value is None
            elif name != "kong.log.serialize" and function.result != "Empty":
                assert (value.decode() if isinstance(value, bytes) else value) == (recorded.pdk[name] or None)
            compared.add(name)
    assert len(compared) >= 10


def test_a_log_line_with_anything_in_it() -> None:
    frames = encode_question("kong.log.err", "ListValue", ("a\nb \ud800 \x00", 1, True))
    reader = FrameReader()
    reader.keep(frames)
    assert reader.next() == b"kong.log.err"
    argument = reader.next()
    assert isinstance(argument, bytes)
    assert list(ListValue.FromString(argument)) == ["a\nb ? \x00", 1, True]


@given(st.binary(max_size=40_000))
def test_strings_are_any_bytes(value: bytes) -> None:
    frame = string(value)
    assert (DECODERS["ByteString"](frame) or b"") == value
    assert (DECODERS["String"](frame) or "") == value.decode("utf-8", "replace")


@given(st.integers(-(2**31), 2**31 - 1))
def test_ints(value: int) -> None:
    assert DECODERS["Int"](pb.Int(v=value).SerializeToString()) == (value or None)


def test_a_zero_that_is_written_out() -> None:
    assert DECODERS["Int"](b"\x08\x00") == 0


def test_consumer() -> None:
    consumer = pb.Consumer(id="i", created_at=1795278538, username="bob", custom_id="c-1")
    assert DECODERS["Consumer"](consumer.SerializeToString()) == {
        "id": "i",
        "created_at": 1795278538,
        "username": "bob",
        "custom_id": "c-1",
    }


@pytest.mark.parametrize("result", DECODERS)
def test_nil_is_none(result: Result) -> None:
    assert DECODERS[result](b"") is None


@pytest.mark.parametrize(
    ("result", "frame"),
    [
        ("Int", pb.String(v="200").SerializeToString()),
        ("Int", b"\x08\xc8"),
        ("Int", b"\x08\x01\x08\x02"),
        ("Int", b"\x10\x01"),
        ("String", pb.Int(v=200).SerializeToString()),
        ("String", b"\x0a\x05abc"),
        ("String", b"\x0a\x02abc"),
        ("String", b"\x0a"),
        ("ByteString", pb.Number(v=1.5).SerializeToString()),
        ("Consumer", pb.Int(v=200).SerializeToString()),
        ("Consumer", b"\x0a\xff"),
        ("Empty", b"\x08\x01"),
    ],
)
def test_another_type_is_a_bad_message(result: Result, frame: bytes) -> None:
    with pytest.raises(BadMessage):
        DECODERS[result](frame)


@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=60))
def test_garbage(result: Result, garbage: bytes) -> None:
    try:
        DECODERS[result](garbage)
    except BadMessage:
        return

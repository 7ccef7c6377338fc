"""Arguments and results of PDK functions, against the recordings and against what is wrong."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.struct_pb2 import ListValue
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.plugin_server.pdk import FUNCTIONS
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire import values
from kong_eventhooks_plugin.kong.wire.frames import FrameReader, encode_frame
from kong_eventhooks_plugin.kong.wire.values import DECODERS, RECORD_BYTES, Argument, Result, checked, encode_request
from tests.kong_node.answers import string
from tests.support.recordings import every_call

ARGUMENTS: dict[Argument, Callable[[bytes], tuple[Any, ...]]] = {
    "Empty": lambda _: (),
    "String": lambda frame: (pb.String.FromString(frame).v,),
    "ListValue": lambda frame: tuple(ListValue.FromString(frame)),
}


def test_recorded_questions_and_answers() -> None:
    compared = set()
    for recorded in every_call():
        for (name, argument), result in recorded.answers().items():
            function = FUNCTIONS.get(name)
            if function is None:
                continue
            args = ARGUMENTS[function.argument](argument)
            asked = encode_request(name, function.argument, args)
            assert asked == encode_frame(name.encode()) + encode_frame(argument)
            value = DECODERS[function.result](result)
            if name == "kong.client.get_consumer":
                assert value is None
            elif name != "kong.log.serialize" and function.result != "Empty":
                written = f"{name}({args[0]})" if args else name
                assert (value.decode() if isinstance(value, bytes) else value) == (recorded.pdk[written] or None)
            compared.add(name)
    assert len(compared) >= 10


def test_a_log_line_with_anything_in_it() -> None:
    frames = encode_request("kong.log.err", "ListValue", ("a\nb \ud800 \x00", 1, True))
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


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers(value: float) -> None:
    assert (DECODERS["Number"](pb.Number(v=value).SerializeToString()) or 0.0) == value


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


def test_credential() -> None:
    credential = pb.AuthenticatedCredential(id="c", consumer_id="i")
    assert DECODERS["AuthenticatedCredential"](credential.SerializeToString()) == {"id": "c", "consumer_id": "i"}


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
        ("Consumer", pb.Consumer(username="bob").SerializeToString()),
        ("Consumer", b"\x0a\x01\xff"),
        ("AuthenticatedCredential", pb.Int(v=200).SerializeToString()),
        ("AuthenticatedCredential", b"\x0a\xff"),
        ("AuthenticatedCredential", b"\x12\x01i"),
        ("Number", pb.Int(v=200).SerializeToString()),
        ("Number", pb.Number(v=1.5).SerializeToString()[:-1]),
        ("Number", pb.Number(v=1.5).SerializeToString() + b"\x00"),
        ("Number", b"\x11" + bytes(8)),
        ("Number", pb.Number(v=float("nan")).SerializeToString()),
        ("Number", pb.Number(v=float("inf")).SerializeToString()),
        ("Empty", b"\x08\x01"),
    ],
)
def test_another_type_is_a_bad_message(result: Result, frame: bytes) -> None:
    with pytest.raises(BadMessage):
        DECODERS[result](frame)


@pytest.mark.parametrize(
    ("result", "frame"),
    [
        ("Int", b"\x08\x01" * 6),
        ("Consumer", pb.Consumer(id="i", tags=["x"] * RECORD_BYTES).SerializeToString()),
        ("AuthenticatedCredential", pb.AuthenticatedCredential(id="i" * RECORD_BYTES).SerializeToString()),
    ],
)
def test_what_is_too_long_for_its_type_is_not_read(
    result: Result, frame: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "fields", None)
    monkeypatch.setattr(values, "MessageToDict", None)
    with pytest.raises(BadMessage):
        DECODERS[result](frame)


@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=60))
def test_garbage(result: Result, garbage: bytes) -> None:
    try:
        DECODERS[result](garbage)
    except BadMessage:
        return


@pytest.mark.parametrize(
    ("result", "value"),
    [
        ("Int", 200), ("Number", 1.5), ("Number", 2), ("String", "a"), ("String", b"\xff"), ("ByteString", b"a"),
        ("ByteString", "a"), ("Consumer", {"id": "i"}), ("AuthenticatedCredential", {}), ("Empty", "whatever"),
    ],
)  # fmt: skip
def test_a_value_of_the_type_that_was_asked_for(result: Result, value: Any) -> None:
    assert checked(result, value) is value
    assert checked(result, None) is None


@pytest.mark.parametrize(
    ("result", "value"),
    [
        ("Int", "200"), ("Int", 1.5), ("Number", "1.5"), ("Number", float("nan")), ("String", 5), ("String", ["a"]),
        ("ByteString", {}), ("Consumer", "bob"), ("AuthenticatedCredential", [1]),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_a_bad_message(result: Result, value: Any) -> None:
    with pytest.raises(BadMessage):
        checked(result, value)

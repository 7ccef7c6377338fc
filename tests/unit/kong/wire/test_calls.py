"""Kong's calls: what was recorded is read as the recording says; damaged ones are salvaged, never raised over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.wire import answers, calls
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.calls import (
    CloseInstance,
    GetInstanceStatus,
    GetPluginInfo,
    GetPluginNames,
    HandleEvent,
    MalformedCall,
    StartInstance,
    UnknownCall,
    encode_echo,
    parse_call,
    parse_partial,
    split_event,
)
from kong_eventhooks_plugin.kong.wire.fields import fields
from kong_eventhooks_plugin.kong.wire.frames import HEAD_BYTES, Oversized, encode_frame
from tests.support.recordings import every_call

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
PHASES = st.one_of(st.sampled_from(["log", "response", "access"]), st.text(max_size=200))


def in_kongs_order(command: pb.RpcCall, sequence: int) -> bytes:
    return command.SerializeToString() + encode_echo(sequence)


def test_recorded_calls() -> None:
    for recorded in every_call():
        frame, message = recorded.frames[0].payload, recorded.message()
        call = parse_call(frame)
        assert call.echo == encode_echo(message.sequence)
        if isinstance(call, HandleEvent):
            assert (call.instance_id, call.phase) == (recorded.id, recorded.phase)
        elif isinstance(call, StartInstance):
            assert (call.name, call.config) == (recorded.name, message.cmd_start_instance.config)
        else:
            assert isinstance(call, CloseInstance)
            assert call.instance_id == recorded.id


@given(INT64)
def test_the_echo_is_the_sequence(sequence: int) -> None:
    names = pb.RpcCall(sequence=sequence, cmd_get_plugin_names=pb.CmdGetPluginNames())
    call = parse_call(names.SerializeToString())
    assert isinstance(call, GetPluginNames)
    assert pb.RpcReturn.FromString(call.echo).sequence == sequence


def test_every_kind() -> None:
    status = pb.RpcCall(cmd_get_instance_status=pb.CmdGetInstanceStatus(instance_id=7))
    info = pb.RpcCall(cmd_get_plugin_info=pb.CmdGetPluginInfo(name="event-hooks"))
    assert parse_call(in_kongs_order(status, 5)) == GetInstanceStatus(b"\x08\x05", 7)
    assert parse_call(in_kongs_order(info, 5)) == GetPluginInfo(b"\x08\x05", "event-hooks")
    assert parse_call(b"\x08\x05") == UnknownCall(b"\x08\x05")
    assert parse_call(b"\xaa\x02\x00\x08\x05") == UnknownCall(b"\x08\x05")  # a command 37, from a Kong to come
    assert parse_call(b"") == UnknownCall(b"")


class TestSplitEvent:
    """The connection trusts what was split: it must be what ``parse_call`` reads."""

    @given(INT32, PHASES, INT64, st.booleans())
    def test_it_is_what_is_parsed(self, instance_id: int, phase: str, sequence: int, first: bool) -> None:
        event = pb.CmdHandleEvent(instance_id=instance_id, event_name=phase)
        command, echo = pb.RpcCall(cmd_handle_event=event).SerializeToString(), encode_echo(sequence)
        split = split_event(encode_frame(echo + command if first else command + echo))
        if split is None:
            assert not 0 < sequence < 2**49 or len(command) > 100
        else:
            assert split == (command, echo)

    @given(st.binary(max_size=30))
    def test_garbage(self, garbage: bytes) -> None:
        split_event(garbage)

    @given(st.sampled_from([b"\xa2\x02", b"\x08", b"\x08\x03\xa2\x02"]), st.binary(max_size=20))
    def test_nearly_an_event(self, begin: bytes, rest: bytes) -> None:
        frame = begin + rest
        split = split_event(encode_frame(frame))
        if split is None or not split[0].startswith(b"\xa2\x02"):
            return
        try:
            call = parse_call(frame)
        except BadMessage:
            return  # never one that has a route: no call with that command was understood
        assert isinstance(call, HandleEvent)
        assert call.echo == encode_echo(pb.RpcReturn.FromString(split[1]).sequence)
        alone = parse_call(split[0])
        assert isinstance(alone, HandleEvent)
        assert (alone.instance_id, alone.phase) == (call.instance_id, call.phase)

    def test_all_of_kongs_own(self) -> None:
        for recorded in every_call():
            if recorded.call == "cmd_handle_event":
                frame = recorded.frames[0].payload
                split = split_event(encode_frame(frame))
                assert split is not None
                assert sorted(b"".join(split)) == sorted(frame)
                assert split[1] == parse_call(frame).echo

    def test_two_calls_or_half_a_call(self) -> None:
        frame = encode_frame(b"\xa2\x02\x07\x08\x01\x12\x03log\x08\x03")
        assert split_event(frame) is not None
        assert split_event(frame + frame) is None
        for cut in range(len(frame)):
            assert split_event(frame[:cut]) is None
            assert split_event(frame[cut + 1 :]) is None

    @pytest.mark.parametrize(
        "frame",
        [
            b"\xa2\x02\x87\x00\x08\x01\x12\x03log\x08\x03",  # a long length
            b"\xa2\x02\x07\x08\x01\x12\x03log\x08\x02\x08\x03",  # the sequence twice
            b"\x08\x02\xa2\x02\x07\x08\x01\x12\x03log\x08\x03",  # the same, at both ends
            b"\xa2\x02\x07\x08\x01\x12\x03log",  # none
        ],
    )
    def test_other_encodings_are_left_to_the_parser(self, frame: bytes) -> None:
        call = parse_call(frame)
        assert isinstance(call, HandleEvent)
        assert (call.instance_id, call.phase) == (1, "log")
        assert split_event(encode_frame(frame)) is None


class TestDamaged:
    @given(st.binary(max_size=300))
    def test_garbage(self, garbage: bytes) -> None:
        try:
            call = parse_call(garbage)
        except BadMessage:
            call = parse_partial(garbage)
        pb.RpcReturn.FromString(answers.finished(call.echo)[8:])

    @given(st.binary(max_size=300), st.binary(max_size=64))
    def test_oversized_garbage(self, head: bytes, tail: bytes) -> None:
        broken = parse_partial(Oversized(1 << 30, head, tail))
        pb.RpcReturn.FromString(answers.finished(broken.echo)[8:])

    def test_of_a_damaged_frame_no_more_is_read_than_of_one_that_is_too_long(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[int] = []
        monkeypatch.setattr(calls, "fields", lambda data: read.append(len(data)) or fields(data))
        broken = parse_partial(b"\xa2\x02\x00" + b"\x10\x00" * 1_000_000 + b"\x08\x07")
        assert broken == MalformedCall(b"\x08\x07", "cmd_handle_event", "")
        assert read == [HEAD_BYTES]

    @pytest.mark.parametrize("tail", [b"\x08" + b"\xff" * 60 + b"\x01", b"\xff" * 64, b"\x08" * 64, b"\x08", b""])
    def test_a_tail_that_looks_like_a_sequence(self, tail: bytes) -> None:
        broken = parse_partial(Oversized(1 << 30, b"", tail))
        pb.RpcReturn.FromString(answers.finished(broken.echo)[8:])

    @given(st.integers(1, 2**63 - 1), st.booleans())
    def test_an_oversized_start_keeps_its_sequence_and_name(self, sequence: int, kong_order: bool) -> None:
        start = pb.RpcCall(cmd_start_instance=pb.CmdStartInstance(name="event-hooks", config=b"\x08" * 9_000))
        echo = encode_echo(sequence)
        frame = start.SerializeToString() + echo if kong_order else echo + start.SerializeToString()
        broken = parse_partial(Oversized(len(frame), frame[:4_096], frame[-64:]))
        assert (broken.kind, broken.name) == ("cmd_start_instance", "event-hooks")
        assert broken.echo == echo

    @pytest.mark.parametrize("cut", range(3, 14))
    def test_a_cut_event_keeps_its_kind(self, cut: int) -> None:
        frame = b"\xa2\x02\x09\x08\xac\x02\x12\x04log!\x08\x03"
        with pytest.raises(BadMessage):
            parse_call(b"\xa2\x02\x20" + frame[3:cut])
        assert parse_partial(frame[:cut]).kind == ("cmd_handle_event" if cut > 2 else None)

    def test_a_name_that_is_not_utf_8(self) -> None:
        frame = b"\x8a\x02\x08\x0a\x02\xff\xfe\x12\x02{}\x08\x05"
        with pytest.raises(BadMessage):
            parse_call(frame)
        broken = parse_partial(frame)
        assert (broken.kind, broken.name, broken.echo) == ("cmd_start_instance", "\ufffd\ufffd", b"\x08\x05")

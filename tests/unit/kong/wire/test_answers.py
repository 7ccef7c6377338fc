"""Our answers: byte for byte those that a real Kong took."""

import json

from kong_eventhooks_plugin.kong.wire import answers
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.calls import encode_echo, parse_call
from kong_eventhooks_plugin.kong.wire.frames import encode_frame
from tests.support.recordings import every_call

INFO = {"Name": "event-hooks", "Phases": ["log"], "Version": "1.2.3", "Priority": 1, "Schema": {"name": "x"}}


def test_recorded_answers() -> None:
    for recorded in every_call():
        echo = parse_call(recorded.frames[0].payload).echo
        kept = recorded.frames[-1].payload
        status = pb.RpcReturn.FromString(kept).instance_status
        ours = {
            "cmd_start_instance": lambda e=echo, s=status: answers.instance_status(
                e, s.name, s.instance_id, s.started_at
            ),
            "cmd_close_instance": lambda e=echo: answers.returned(e),
            "cmd_handle_event": lambda e=echo: answers.finished(e),
        }[recorded.call]()
        empty = encode_frame(b"") if recorded.call == "cmd_handle_event" else b""
        assert ours == empty + encode_frame(kept)


def test_the_longest_sequence_fits() -> None:
    echo = encode_echo(-1)
    assert answers.finished(echo) == encode_frame(b"") + encode_frame(echo)


def test_plugin_names() -> None:
    message = pb.RpcReturn.FromString(answers.plugin_names(b"\x08\x05", ["a", "b"])[4:])
    assert (message.sequence, list(message.plugin_names.names)) == (5, ["a", "b"])


def test_plugin_info() -> None:
    message = pb.RpcReturn.FromString(answers.plugin_info(b"\x08\x05", INFO, 12.7)[4:])
    info = message.plugin_info
    assert (info.name, list(info.phases), info.version, info.priority) == ("event-hooks", ["log"], "1.2.3", 1)
    assert json.loads(info.schema) == {"name": "x"}
    assert info.loaded_at == 12


def test_a_name_that_protobuf_would_refuse() -> None:
    answer = answers.instance_status(b"", "lone \ud800", 1, 0.0)
    assert pb.RpcReturn.FromString(answer[4:]).instance_status.name == "lone ?"

"""proto/kong/pluginsocket.proto against what a real Kong sent and took: names, numbers, types.

A frame is read with our message; what it says is what the recording says; and written again it is as long as before,
so that no field of Kong's was unknown to us, or another type than we think.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct

from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.fields import fields
from tests.support.recordings import NAMES, every_call, recording

FUNCTIONS: dict[str, tuple[type[Message], type[Message]]] = {
    "kong.response.get_status": (Empty, pb.Int),
    "kong.response.get_source": (Empty, pb.String),
    "kong.response.get_headers": (pb.Int, Struct),
    "kong.log.serialize": (Empty, pb.String),
    "kong.log.notice": (ListValue, Empty),
    "kong.request.get_method": (Empty, pb.String),
    "kong.request.get_path_with_query": (Empty, pb.String),
    "kong.request.get_raw_body": (Empty, pb.RawBodyResult),
    "kong.client.get_forwarded_ip": (Empty, pb.String),
    "kong.client.get_consumer": (Empty, pb.Consumer),
    "kong.nginx.get_var": (pb.String, pb.String),
    "kong.node.get_id": (Empty, pb.String),
    "kong.service.response.get_status": (Empty, pb.Int),
    "kong.service.response.get_raw_body": (Empty, pb.ByteString),
    "kong.router.get_route": (Empty, pb.Route),
    "kong.router.get_service": (Empty, pb.Service),
}


def again(message: Message, frame: bytes) -> None:
    """Hold that writing the message gives as many bytes as it was read from, but for what Kong writes as ``false``."""
    false = [number for number, value in fields(frame) if value == 0 and number < 16]
    assert len(message.SerializeToString()) == len(frame) - 2 * len(false)


def value_of(message: Any) -> Any:
    """Return a result as the recordings have it."""
    if isinstance(message, pb.RawBodyResult):
        return message.content.decode()
    if isinstance(message, pb.ByteString):
        return message.v.decode()
    if isinstance(message, pb.Int | pb.String):
        return message.v
    return MessageToDict(message)


@pytest.mark.parametrize("name", NAMES)
def test_calls(name: str) -> None:
    for recorded in recording(name):
        call = recorded.message()
        again(call, recorded.frames[0].payload)
        assert call.sequence > 0
        assert call.WhichOneof("call") == recorded.call
        body = getattr(call, recorded.call)
        if recorded.call == "cmd_start_instance":
            assert body.name == recorded.name
        else:
            assert body.instance_id == recorded.id
        if recorded.call == "cmd_handle_event":
            assert body.event_name == recorded.phase


@pytest.mark.parametrize("name", NAMES)
def test_returns(name: str) -> None:
    for recorded in recording(name):
        answer = pb.RpcReturn.FromString(recorded.frames[-1].payload)
        again(answer, recorded.frames[-1].payload)
        assert answer.sequence == recorded.message().sequence
        if recorded.call == "cmd_start_instance":
            assert answer.instance_status.instance_id == recorded.id
            assert answer.instance_status.name == recorded.name
            assert answer.instance_status.started_at > 1_600_000_000


@pytest.mark.parametrize("function", FUNCTIONS)
def test_pdk_functions(function: str) -> None:
    asked = [
        (argument, result, recorded.pdk.get(function))
        for recorded in every_call()
        for (name, argument), result in recorded.answers().items()
        if name == function
    ]
    assert asked
    takes, gives = FUNCTIONS[function]
    for argument, result, decoded in asked:
        again(takes.FromString(argument), argument)
        message = gives.FromString(result)
        again(message, result)
        if decoded is not None and function != "kong.log.serialize":
            assert value_of(message) == decoded


def test_every_recorded_function_is_looked_at() -> None:
    assert {name for recorded in every_call() for name, _ in recorded.answers()} == FUNCTIONS.keys()


def test_the_order_of_frames() -> None:
    """A call, its questions with their answers, the empty frame, the return: as the recordings' ends have it."""
    for recorded in every_call():
        senders = [frame.sender for frame in recorded.frames]
        if recorded.call == "cmd_handle_event":
            assert senders == ["kong", *["server", "server", "kong"] * len(recorded.answers()), "server", "server"]
            assert recorded.frames[-2].payload == b""
        else:
            assert senders == ["kong", "server"]


def test_the_generated_code_is_what_proto_gives() -> None:
    root = Path(__file__).resolve().parents[4]
    command = [sys.executable, str(root / "scripts" / "generate_protobuf.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr

"""What Kong's PDK functions answer, as values and as frames.

A function with its argument is written as in the recordings: ``kong.nginx.get_var(upstream_uri)``.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from kong_eventhooks_plugin.cli.demo.recording import RecordedCall, RecordedFrame
from kong_eventhooks_plugin.kong.plugin_server.pdk import FUNCTIONS
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.frames import FrameReader
from kong_eventhooks_plugin.kong.wire.values import encode_request

METHOD = "kong.request.get_method"
ADMIN_STATUS = "kong.service.response.get_status"
ADMIN_PATH = "kong.nginx.get_var(upstream_uri)"
PATH = "kong.request.get_path_with_query"
BODY = "kong.service.response.get_raw_body"
CONSUMER = "kong.client.get_consumer"
CREDENTIAL = "kong.client.get_credential"
IP = "kong.client.get_forwarded_ip"
USER_AGENT = "kong.request.get_header(user-agent)"
REQUEST_ID = "kong.nginx.get_var(kong_request_id)"
STARTED_AT = "kong.nginx.req_start_time"

OF_A_CHANGE = (METHOD, ADMIN_STATUS, ADMIN_PATH, BODY, CONSUMER, CREDENTIAL, IP, USER_AGENT, REQUEST_ID, STARTED_AT)
"""What is asked of a change whose answer is wanted, in this order."""

NOT_RECORDED: Mapping[str, Any] = {
    CREDENTIAL: {"id": "0d7fe2e8-f1a5-4d98-b660-0539a3718d67"},
    USER_AGENT: "curl/7.88.1",
    REQUEST_ID: "c7e44e0716217c2d0c748b453d84bc77",
    STARTED_AT: 1795278811.078,
}
"""What the recorded server did not ask for, as a Kong 3.9.1 answered it in the response phase."""


def change(
    method: str = "POST", path: str = "/consumers", status: int = 201, body: bytes = b"", **others: Any
) -> dict[str, Any]:
    """Return what Kong answers of a request that its Admin API took; ``others`` by the names of ``_OTHERS``."""
    said = {METHOD: method, ADMIN_STATUS: status, ADMIN_PATH: path, BODY: body, IP: "127.0.0.1", CONSUMER: {}}
    return {**NOT_RECORDED, **said, **{_OTHERS[name]: value for name, value in others.items()}}


_OTHERS = {
    "consumer": CONSUMER,
    "credential": CREDENTIAL,
    "ip": IP,
    "user_agent": USER_AGENT,
    "request_id": REQUEST_ID,
    "started_at": STARTED_AT,
}


def split_call(written: str) -> tuple[str, tuple[str, ...]]:
    """Return the name and the arguments of a function as it is written here."""
    name, has_argument, argument = written.partition("(")
    return name, (argument.removesuffix(")"),) if has_argument else ()


def question(written: str) -> list[bytes]:
    """Return the two frames that ask for it."""
    name, args = split_call(written)
    reader = FrameReader()
    reader.keep(encode_request(name, FUNCTIONS[name].argument, args))
    asked, argument = reader.next(), reader.next()
    assert isinstance(asked, bytes)
    assert isinstance(argument, bytes)
    return [asked, argument]


def frame(written: str, value: Any) -> bytes:
    """Return Kong's answer: defaults and nil are left out; a frame that is one already stays as it is."""
    if isinstance(value, Frame):
        return value.payload
    if value is None or value == {}:
        return b""
    return _ENCODERS[FUNCTIONS[split_call(written)[0]].result](value)


class Frame(msgspec.Struct, frozen=True):
    """A frame for a test that says itself what is in it."""

    payload: bytes


def string(value: bytes) -> bytes:
    """Return Kong's ``String`` with any bytes in it: Kong checks no encoding, protobuf's own code does."""
    size = len(value)
    if not size:
        return b""
    length = bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return b"\x0a" + bytes([*length, size]) + value


def _text(value: str | bytes) -> bytes:
    return string(value.encode() if isinstance(value, str) else value)


_ENCODERS: Mapping[str, Any] = {
    "Empty": lambda _: b"",
    "Int": lambda value: pb.Int(v=value).SerializeToString(),
    "Number": lambda value: pb.Number(v=value).SerializeToString(),
    "String": _text,
    "ByteString": _text,
    "Consumer": lambda value: pb.Consumer(**value).SerializeToString(),
    "AuthenticatedCredential": lambda value: pb.AuthenticatedCredential(id=value.get("id")).SerializeToString(),
}


def asked_and_answered(answers: Mapping[str, Any]) -> list[RecordedFrame]:
    """Return questions and Kong's answers as a recording has them."""
    frames = []
    for written, value in answers.items():
        frames += [RecordedFrame("server", payload) for payload in question(written)]
        frames += [RecordedFrame("kong", frame(written, value))]
    return frames


def with_answers(call: RecordedCall, answers: Mapping[str, Any]) -> RecordedCall:
    """Return a recorded call in which Kong was asked for these as well."""
    frames = [*call.frames[:1], *asked_and_answered(answers), *call.frames[1:]]
    return msgspec.structs.replace(call, frames=frames, pdk={**call.pdk, **answers})

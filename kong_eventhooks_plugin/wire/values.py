"""Arguments and results of PDK functions: Python values to messages and back.

Kong's ``nil`` is an empty frame, and its encoder leaves a message's defaults out, so 0, "" and nil look the same here:
all are None. A result of another type than asked for is ``BadMessage``.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import ListValue

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.wire.fields import fields, read_varint, signed
from kong_eventhooks_plugin.wire.frames import EMPTY_FRAME, encode_frame

Argument = Literal["Empty", "ListValue"]
"""Kong's names of the messages that functions take."""

Result = Literal["Empty", "Int", "String", "ByteString", "Consumer"]
"""Kong's names of the messages that functions return."""

_V = 1
_STRING_KEY = 0x0A


def encode_question(function: str, argument: Argument, args: tuple[Any, ...]) -> bytes:
    """Return the two frames that ask Kong for ``function``: its name, and its argument."""
    name = encode_frame(function.encode())
    if argument == "Empty":
        return name + EMPTY_FRAME
    values = ListValue()
    values.extend([_text(arg) if isinstance(arg, str) else arg for arg in args])
    return name + encode_frame(values.SerializeToString())


def _text(value: str) -> str:
    """Return ``value`` without lone surrogates, which no encoding takes."""
    return value.encode("utf-8", "replace").decode()


def decode_int(frame: bytes) -> int | None:
    """Return an ``Int``."""
    if not frame:
        return None
    found = list(fields(frame))
    if len(found) == 1 and found[0][0] == _V and isinstance(found[0][1], int):
        return signed(found[0][1])
    raise BadMessage("not an Int")


def decode_bytes(frame: bytes) -> bytes | None:
    """Return a ``ByteString``, or a ``String`` as it came: Kong checks no encoding, and clients send any byte."""
    if not frame:
        return None
    if frame[0] != _STRING_KEY:
        raise BadMessage("not a String")
    size, at = read_varint(frame, 1)
    if at + size != len(frame):
        raise BadMessage("a String with a wrong length")
    return frame[at:]


def decode_text(frame: bytes) -> str | None:
    """Return a ``String``; bytes that are not UTF-8 become U+FFFD."""
    value = decode_bytes(frame)
    return value.decode("utf-8", "replace") if value is not None else None


def decode_empty(frame: bytes) -> None:
    """Return None for an ``Empty``."""
    if frame:
        raise BadMessage("not an Empty")


def decode_consumer(frame: bytes) -> dict[str, Any] | None:
    """Return a ``Consumer`` as Kong's fields, those that it left out not there."""
    if not frame:
        return None
    try:
        consumer = pb.Consumer.FromString(frame)
    except DecodeError as error:
        raise BadMessage("not a Consumer") from error
    if not consumer.id:
        raise BadMessage("a Consumer without an id")
    found: dict[str, Any] = MessageToDict(consumer, preserving_proto_field_name=True)
    if "created_at" in found:
        found["created_at"] = consumer.created_at  # protobuf's JSON has 64-bit numbers as strings
    return found


DECODERS: Mapping[Result, Callable[[bytes], Any]] = {
    "Empty": decode_empty,
    "Int": decode_int,
    "String": decode_text,
    "ByteString": decode_bytes,
    "Consumer": decode_consumer,
}
"""How each result is read: a frame in, the value out, ``BadMessage`` for anything else."""

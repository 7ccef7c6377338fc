"""Arguments and results of PDK functions: Python values to messages and back.

Kong's ``nil`` is an empty frame, and its encoder leaves a message's defaults out, so 0, "" and nil look the same here:
all are None. A result of another type than asked for is ``BadMessage``, and so is a record of more than
``RECORD_BYTES``.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from struct import Struct
from typing import Any, Literal

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import ListValue

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.fields import fields, read_varint, signed
from kong_eventhooks_plugin.kong.wire.frames import EMPTY_FRAME, encode_frame

Argument = Literal["Empty", "String", "ListValue"]
"""Kong's names of the messages that functions take."""

Result = Literal["Empty", "Int", "Number", "String", "ByteString", "Consumer", "AuthenticatedCredential"]
"""Kong's names of the messages that functions return."""

RECORD_BYTES = 256 << 10
LONGEST_INT = 11

_V = 1
_STRING_KEY = 0x0A
_LOG_HEAD = 3
"""The bytes before a text of 128 to 16,383 bytes: its key, and its length in two."""
_NUMBER = Struct("<Bd")
_NUMBER_KEY = 0x09


def encode_request(function: str, argument: Argument, args: tuple[Any, ...]) -> bytes:
    """Return the two frames that ask Kong for ``function``: its name, and its argument."""
    return encode_frame(function.encode()) + _ARGUMENTS[argument](args)


def _no_argument(_args: tuple[Any, ...]) -> bytes:
    return EMPTY_FRAME


def _one_text(args: tuple[Any, ...]) -> bytes:
    (text,) = args
    return encode_frame(pb.String(v=encodable(text)).SerializeToString())


def _any_values(args: tuple[Any, ...]) -> bytes:
    values = ListValue()
    values.extend([encodable(arg) if isinstance(arg, str) else arg for arg in args])
    return encode_frame(values.SerializeToString())


_ARGUMENTS: Mapping[Argument, Callable[[tuple[Any, ...]], bytes]] = {
    "Empty": _no_argument,
    "String": _one_text,
    "ListValue": _any_values,
}


def encodable(value: str) -> str:
    """Return ``value`` without lone surrogates, which no encoding takes."""
    return value.encode("utf-8", "replace").decode()


def decode_int(frame: bytes) -> int | None:
    if not frame:
        return None
    found = list(fields(frame)) if len(frame) <= LONGEST_INT else []
    if len(found) == 1 and found[0][0] == _V and isinstance(found[0][1], int):
        return signed(found[0][1])
    raise BadMessage("not an Int")


def decode_number(frame: bytes) -> float | None:
    """Return a ``Number``; one that is no finite number is none."""
    if not frame:
        return None
    if len(frame) != _NUMBER.size:
        raise BadMessage("not a Number")
    key, value = _NUMBER.unpack(frame)
    if key != _NUMBER_KEY or not isfinite(value):
        raise BadMessage("not a Number")
    return float(value)


def decode_bytes(frame: bytes) -> bytes | None:
    """Return a ``ByteString``, or a ``String`` as it came: Kong checks no encoding, and clients send any byte."""
    if not frame:
        return None
    if frame[0] != _STRING_KEY:
        raise BadMessage("not a String")
    size = len(frame) - _LOG_HEAD
    if 0x80 <= size < 0x4000 and frame[1] == size & 0x7F | 0x80 and frame[2] == size >> 7:  # as most logs, at half
        return frame[_LOG_HEAD:]
    size, at = read_varint(frame, 1)
    if at + size != len(frame):
        raise BadMessage("a String with a wrong length")
    return frame[at:]


def decode_text(frame: bytes) -> str | None:
    """Return a ``String``; bytes that are not UTF-8 become U+FFFD."""
    value = decode_bytes(frame)
    return value.decode("utf-8", "replace") if value is not None else None


def decode_empty(frame: bytes) -> None:
    if frame:
        raise BadMessage("not an Empty")


def decode_consumer(frame: bytes) -> dict[str, Any] | None:
    """Return a ``LogConsumer`` as Kong's fields, those that it left out not there."""
    if not frame:
        return None
    consumer = pb.Consumer()
    found = _record(consumer, frame)
    if "created_at" in found:
        found["created_at"] = consumer.created_at  # protobuf's JSON has 64-bit numbers as strings
    return found


def decode_credential(frame: bytes) -> dict[str, Any] | None:
    """Return an ``AuthenticatedCredential`` as Kong's fields, those that it left out not there."""
    return _record(pb.AuthenticatedCredential(), frame) if frame else None


def _record(message: pb.Consumer | pb.AuthenticatedCredential, frame: bytes) -> dict[str, Any]:
    """Return a record as a dict; one without an id is none: protobuf reads many other messages as one without."""
    if len(frame) > RECORD_BYTES:
        raise BadMessage(f"a {message.DESCRIPTOR.name} of more than {RECORD_BYTES:,} bytes")
    try:
        message.ParseFromString(frame)
    except DecodeError as error:
        raise BadMessage(f"not a {message.DESCRIPTOR.name}") from error
    if not message.id:
        raise BadMessage(f"a {message.DESCRIPTOR.name} without an id")
    return MessageToDict(message, preserving_proto_field_name=True)


DECODERS: Mapping[Result, Callable[[bytes], Any]] = {
    "Empty": decode_empty,
    "Int": decode_int,
    "Number": decode_number,
    "String": decode_text,
    "ByteString": decode_bytes,
    "Consumer": decode_consumer,
    "AuthenticatedCredential": decode_credential,
}
"""How each result is read: a frame in, the value out, ``BadMessage`` for anything else."""


_TYPES: Mapping[Result, tuple[type, ...]] = {
    "Empty": (object,),
    "Int": (int,),
    "Number": (int, float),
    "String": (str, bytes),
    "ByteString": (str, bytes),
    "Consumer": (dict,),
    "AuthenticatedCredential": (dict,),
}


def checked(result: Result, value: Any) -> Any:
    """Return a result that MsgPack:1 brought as a value already; ``BadMessage`` for one of another type than asked."""
    infinite = isinstance(value, float) and not isfinite(value)
    if value is not None and (infinite or not isinstance(value, _TYPES[result])):
        raise BadMessage(f"not a {result}")
    return value

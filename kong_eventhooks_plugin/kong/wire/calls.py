"""The calls that Kong makes: a frame's bytes to a value.

Every call carries ``echo``: its sequence as an encoded field, ready to be the first field of the answer, so that the
number itself is never needed. It is empty for sequence 0, which Kong's encoder leaves out.
"""

from collections.abc import Callable
from contextlib import suppress
from struct import Struct
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.fields import encode_varint, fields
from kong_eventhooks_plugin.kong.wire.frames import HEAD_BYTES, TAIL_BYTES, Oversized


class Call(msgspec.Struct, frozen=True, gc=False):
    echo: bytes


class HandleEvent(Call, frozen=True, gc=False):
    instance_id: int
    phase: str


class StartInstance(Call, frozen=True, gc=False):
    """``config`` is JSON."""

    name: str
    config: bytes


class CloseInstance(Call, frozen=True, gc=False):
    instance_id: int


class GetInstanceStatus(Call, frozen=True, gc=False):
    instance_id: int


class GetPluginNames(Call, frozen=True, gc=False):
    pass


class GetPluginInfo(Call, frozen=True, gc=False):
    name: str


class UnknownCall(Call, frozen=True, gc=False):
    """A call that this version does not know."""


class MalformedCall(Call, frozen=True, gc=False):
    """What could be read of a call that is too long or damaged.

    ``kind`` is its name (``cmd_handle_event``) where that much was readable; ``name`` the plugin of a start_instance.
    """

    kind: str | None
    name: str


_Readers = dict[str, Callable[[bytes, Any], Call]]

_READERS: _Readers = {
    "cmd_handle_event": lambda echo, body: HandleEvent(echo, body.instance_id, body.event_name),
    "cmd_start_instance": lambda echo, body: StartInstance(echo, body.name, body.config),
    "cmd_close_instance": lambda echo, body: CloseInstance(echo, body.instance_id),
    "cmd_get_instance_status": lambda echo, body: GetInstanceStatus(echo, body.instance_id),
    "cmd_get_plugin_names": lambda echo, body: GetPluginNames(echo),
    "cmd_get_plugin_info": lambda echo, body: GetPluginInfo(echo, body.name),
}

_SEQUENCE = 1
_SEQUENCE_KEY = 0x08
_LONGEST_FIELD = 11
_NAME = 1
_KINDS = {field.number: name for name, field in pb.RpcCall.DESCRIPTOR.fields_by_name.items() if name != "sequence"}


# A handle_event in a frame, in the two orders that Kong writes: the command first, which is usual, or the sequence.
_FRAME_AT = 4
_SHORTEST = 9  # the length, a command's key and length, a sequence's key and number
_COMMAND_KEY = b"\xa2\x02"  # field 36, a message
_COMMAND_SIZE_AT = _FRAME_AT + len(_COMMAND_KEY)

# A sequence's field by its length, as a big-endian number: the key, bytes that go on (high bit set), one that ends.
# Kong counts calls from 1 in each worker: a longer field than these is millennia away, and parse_call reads it.
_ECHO_SIZES = 9
_ECHO_MASKS = (0, 0, *(int.from_bytes(b"\xff" + b"\x80" * (size - 1)) for size in range(2, _ECHO_SIZES)))
_ECHO_BITS = (-1, -1, *(int.from_bytes(b"\x08" + b"\x80" * (size - 2) + b"\x00") for size in range(2, _ECHO_SIZES)))

_unpack = Struct("<I").unpack_from
_number = int.from_bytes


def split_event(data: bytes) -> tuple[bytes, bytes] | None:
    """Return a handle_event's command and its echo where ``data`` is one in a frame, else None.

    An instance's calls of one phase differ in nothing but the sequence, so that the command's bytes are a key for what
    the call means. What is returned is what ``parse_call`` would read; the other way round, not all that it reads is
    split here.
    """
    size = len(data)
    if size < _SHORTEST or _unpack(data)[0] != size - _FRAME_AT:
        return None
    if data[_FRAME_AT] == _SEQUENCE_KEY:
        return _sequence_first(data)
    end = _COMMAND_SIZE_AT + 1 + data[_COMMAND_SIZE_AT]
    echo = data[end:]
    size = len(echo)
    if size >= _ECHO_SIZES or _number(echo) & _ECHO_MASKS[size] != _ECHO_BITS[size]:
        return None
    return data[_FRAME_AT:end], echo


def echo_pattern(size: int) -> tuple[int, int]:
    """Return a mask for an echo of ``size`` bytes, read as ``int.from_bytes``, and what is left under it."""
    return (_ECHO_MASKS[size], _ECHO_BITS[size]) if size < _ECHO_SIZES else (0, -1)


def _sequence_first(data: bytes) -> tuple[bytes, bytes] | None:
    end = _FRAME_AT + 2
    while data[end - 1] > 0x7F:
        end += 1
        if end > _SHORTEST + _ECHO_SIZES or end > len(data):
            return None
    command = data[end:]
    if len(command) < len(_COMMAND_KEY) + 1 or command[2] + 3 != len(command):
        return None
    return command, data[_FRAME_AT:end]


def parse_call(frame: bytes) -> Call:
    """Return the call in ``frame``; ``BadMessage`` where it holds none."""
    try:
        call = pb.RpcCall.FromString(frame)
    except DecodeError as error:
        raise BadMessage("not an RpcCall") from error
    echo = encode_echo(call.sequence)
    kind = call.WhichOneof("call")
    if kind is None:
        return UnknownCall(echo)
    return _READERS[kind](echo, getattr(call, kind))


def encode_echo(sequence: int) -> bytes:
    """Return a sequence as the field that calls and answers carry it in."""
    if not sequence:
        return b""
    return bytes([_SEQUENCE_KEY]) + encode_varint(sequence & 0xFFFF_FFFF_FFFF_FFFF)


def parse_partial(damaged: bytes | Oversized) -> MalformedCall:
    """Return what can still be read of a call that ``parse_call`` refused or that was too long. Never raises.

    Of either the first ``HEAD_BYTES`` and the last ``TAIL_BYTES`` are read: eight million fields fit into a frame.
    """
    if isinstance(damaged, Oversized):
        head, tail = damaged.head, damaged.tail
    else:
        head, tail = damaged[:HEAD_BYTES], damaged[-TAIL_BYTES:]
    sequence, kind, name = 0, None, ""
    for number, value in _readable(head):
        if number == _SEQUENCE and isinstance(value, int):
            sequence = value
        elif number in _KINDS and isinstance(value, bytes):
            kind = _KINDS[number]
            name = _plugin_name(value) if kind == "cmd_start_instance" else ""
    return MalformedCall(encode_echo(sequence) or _last_field(tail), kind, name)


def _readable(data: bytes) -> list[tuple[int, int | bytes]]:
    """Return the fields of ``data`` up to where it breaks."""
    found = []
    with suppress(BadMessage):
        for field in fields(data):
            found.append(field)  # noqa: PERF402 - list(...) would lose the fields before the break
    return found


def _plugin_name(body: bytes) -> str:
    for number, value in _readable(body):
        if number == _NAME and isinstance(value, bytes):
            return value.decode("utf-8", "replace")
    return ""


def _last_field(tail: bytes) -> bytes:
    """Return the sequence's field from a message's last bytes, empty where they do not end with one."""
    start = len(tail) - 2
    while start > 0 and tail[start] >= 0x80:
        start -= 1
    if start < 0 or len(tail) - start > _LONGEST_FIELD or tail[start] != _SEQUENCE_KEY or tail[-1] >= 0x80:
        return b""
    return tail[start:]

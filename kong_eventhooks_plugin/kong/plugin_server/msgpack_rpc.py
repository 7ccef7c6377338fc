"""MessagePack-RPC as Kong speaks it: bytes to requests, answers to bytes; no sockets here.

A request is ``[0, msgid, "plugin.<Method>", [argument]]``, an answer ``[1, msgid, error, result]``.

Kong packs what a client sent (a header in the request's log, say) as text whatever its bytes are. Such bytes are
kept as surrogate escapes and come out the same; kong-pdk's own listener drops the connection on them, and the event
with it.

Limits: ``FRAME_BYTES`` for one message and ``ByteBudget`` for all connections together, as over ProtoBuf:1
(wire.frames); ``MAX_COLLECTIONS`` lists and maps in a message, each of ``MAX_LENGTH`` values. Past any ``BadMessage``,
after which nothing more can be read from the peer.
"""

from collections.abc import Iterator
from typing import Any

import msgpack
import msgspec

from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.wire.frames import FRAME_BYTES, ByteBudget

MAX_COLLECTIONS = 1_024
MAX_LENGTH = 1_024
"""Kong reads no more than 1,000 headers or arguments of a request."""

_REQUEST = 0
_ANSWER = 1
_LONGEST_METHOD = 64
_PARTS = 4
_ESCAPE = "surrogateescape"


class RpcRequest(msgspec.Struct, frozen=True):
    """One call of Kong's: its number, which the answer must bear, the method and the one argument."""

    msgid: int
    method: str
    argument: Any


class _Collections:
    """Counts the lists and maps of a message."""

    number = 0

    def count(self, collection: Any) -> Any:
        self.number += 1
        if self.number > MAX_COLLECTIONS:
            raise ValueError("too many lists and maps")
        return collection


class RequestReader:
    """Collects one connection's bytes into requests."""

    def __init__(self, budget: ByteBudget, limit: int = FRAME_BYTES) -> None:
        self._budget = budget
        self._collections = _Collections()
        self._unpacker = msgpack.Unpacker(
            strict_map_key=False,
            unicode_errors=_ESCAPE,
            max_buffer_size=limit,
            max_array_len=MAX_LENGTH,
            max_map_len=MAX_LENGTH,
            list_hook=self._collections.count,
            object_hook=self._collections.count,
        )
        self._held = 0

    def feed(self, data: bytes) -> None:
        """Take bytes; raises ``BadMessage`` where the budget has no room for them."""
        if not self._budget.acquire(len(data)):
            raise BadMessage("too many unfinished messages of all peers together")
        self._held += len(data)
        try:
            self._unpacker.feed(data)
        except msgpack.BufferFull as error:
            raise BadMessage("a message over the limit") from error

    def requests(self) -> Iterator[RpcRequest]:
        """Yield the requests that are complete; raises ``BadMessage`` for what is none."""
        while True:
            try:
                message = self._unpacker.unpack()
            except msgpack.OutOfData:
                return
            except (msgpack.UnpackException, ValueError, TypeError) as error:  # TypeError: a map's key is a list
                raise BadMessage("not MessagePack") from error
            self.close()
            self._collections.number = 0
            yield _request(message)

    def close(self) -> None:
        """Release what unfinished bytes took of the budget."""
        self._budget.release(self._held)
        self._held = 0


def _request(message: Any) -> RpcRequest:
    if not (isinstance(message, list) and len(message) == _PARTS and message[0] == _REQUEST):
        raise BadMessage("not a request")
    _, msgid, method, arguments = message
    if not (isinstance(msgid, int) and isinstance(method, str) and isinstance(arguments, list)):
        raise BadMessage("not a request")
    return RpcRequest(msgid, method[:_LONGEST_METHOD], arguments[0] if arguments else None)


def result(request: RpcRequest, value: Any) -> bytes:
    return _pack(request.msgid, None, value)


def error(request: RpcRequest, text: str) -> bytes:
    return _pack(request.msgid, text, None)


def _pack(msgid: int, error: str | None, value: Any) -> bytes:
    packed: bytes = msgpack.packb([_ANSWER, msgid, error, value], unicode_errors=_ESCAPE)
    return packed


def exact(value: Any) -> Any:
    """Return text with escaped bytes as those bytes; anything else as it is."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode(errors=_ESCAPE)
    return value

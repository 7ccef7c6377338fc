"""What an attempt keeps of its request and its answer's headers: one value, which every engine stores as it is.

Limits: ``HEADER_BYTES`` of an answer's headers, names and values. A body that is the event's own is not kept: the
event is.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from kong_eventhooks_plugin.model.delivery import Attempt, Headers, SentRequest

HEADER_BYTES: Final = 8_192

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[Headers, SentRequest | None]).decode


def exchange_of(attempt: Attempt) -> bytes | None:
    """Return what is stored of an attempt beside its body; None where there is nothing."""
    request = attempt.request
    if request is None and not attempt.headers:
        return None
    if request is not None and request.of_event:
        request = SentRequest(request.method, request.url, request.headers, b"", request.size, of_event=True)
    stored = _encode((attempt.headers, request))
    if len(stored) <= HEADER_BYTES:  # so are the headers in it
        return stored
    return _encode((tuple(_first(attempt.headers)), request))


def exchange_from(stored: bytes | None) -> tuple[Headers, SentRequest | None]:
    return ((), None) if stored is None else _decode(stored)


def _first(headers: Headers) -> Iterator[tuple[str, str]]:
    room = HEADER_BYTES
    for name, value in headers:
        room -= len(name) + len(value)
        if room < 0:
            return
        yield name, value

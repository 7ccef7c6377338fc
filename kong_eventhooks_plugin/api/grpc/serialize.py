"""Views as messages, field by field: each field of a message is the view's of the same name, but for ``_ATTRIBUTES``.

Limit: a message is reduced to ``PAGE_BYTES`` (a client reads 4 MiB unless it is configured to read more): a page gets
fewer entries, a delivery loses its oldest attempts.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from msgspec import UNSET

from kong_eventhooks_plugin.api.grpc.eventhooks.v1.deliveries_pb2 import GetDeliveryResponse
from kong_eventhooks_plugin.api.grpc.structs import to_struct, to_timestamp
from kong_eventhooks_plugin.api.service import paging, views

PAGE_BYTES: Final = 3 << 20

M = TypeVar("M", bound=Message)

_ATTRIBUTES: Final[Mapping[str, str | None]] = {
    "hook": "event_hook",
    "delivery_id": "delivery",
    "duration": "seconds",
    "PublishResponse.event_id": "id",
    "GetDeliveryResponse.delivery": None,
    "AcceptedEvent.event": None,
    "WatchedEvent.event": None,
}
"""A message's field -> the view's; None: a part of the message that is made of the same view."""


async def fitting(size: int | None, page: Callable[[int], Awaitable[tuple[M, int]]]) -> M:
    """Return the largest page within ``PAGE_BYTES``; one entry alone may be larger.

    ``page`` takes a size and returns the message and its count of entries.
    """
    message, count = await page(size or paging.DEFAULT_SIZE)
    while message.ByteSize() > PAGE_BYTES and count > 1:
        message, count = await page(count // 2)
    return message


def to_message(kind: type[M], view: views.View, **more: Any) -> M:
    """Return a view as a message; ``more`` are fields that the view does not have."""
    for name, attribute, convert in _fields(kind.DESCRIPTOR):
        if name not in more:
            value = view if attribute is None else getattr(view, attribute)
            if value is not None and value is not UNSET:
                more[name] = convert(value)
    return kind(**more)


def delivery_detail_message(view: views.DeliveryDetailView) -> GetDeliveryResponse:
    """Return a delivery with its event's data and its attempts, as many of the latest as fit."""
    message = to_message(GetDeliveryResponse, view)
    excess, oldest = message.ByteSize() - PAGE_BYTES, 0
    for attempt in message.attempts:
        if excess <= 0:
            break
        excess -= attempt.ByteSize()
        oldest += 1
    del message.attempts[:oldest]
    return message


def numbers(enum: EnumDescriptor) -> dict[str, int]:
    """Return the model's words for an enum's values, with their numbers: ``DELIVERY_STATE_DEAD`` is ``dead``."""
    prefix = enum.values[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values[1:]}


@cache
def _fields(message: Descriptor) -> list[tuple[str, str | None, Callable[[Any], Any]]]:
    """Return the message's fields, the view's attribute for each, and what converts it."""
    found = []
    for field in message.fields:
        name = _ATTRIBUTES.get(field.name, field.name)
        found.append((field.name, _ATTRIBUTES.get(f"{message.name}.{field.name}", name), _converter(field)))
    return found


def _converter(field: Any) -> Callable[[Any], Any]:
    kind = field.message_type
    if field.enum_type is not None:
        return numbers(field.enum_type).__getitem__
    if kind is None or kind.GetOptions().map_entry:
        return _unchanged
    one = _CONVERTERS.get(kind.full_name) or partial(to_message, GetMessageClass(kind))
    return (lambda values: [one(value) for value in values]) if field.is_repeated else one


def _unchanged(value: Any) -> Any:
    return value


def _duration(seconds: float) -> Duration:
    nanos = round(seconds * 1e9)
    return Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)


_CONVERTERS: Final[Mapping[str, Callable[[Any], Message]]] = {
    "google.protobuf.Timestamp": to_timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": to_struct,
}

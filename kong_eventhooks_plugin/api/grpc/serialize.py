"""Views as messages.

Limit: a message is reduced to ``PAGE_BYTES`` (a client reads 4 MiB unless it is configured to read more): a page gets
fewer entries, a delivery loses its oldest attempts.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from msgspec import UNSET
from msgspec.structs import asdict

from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import deliveries_pb2, events_pb2, hooks_pb2, sources_pb2
from kong_eventhooks_plugin.api.grpc.structs import to_struct, to_timestamp
from kong_eventhooks_plugin.api.service import paging, views
from kong_eventhooks_plugin.model.delivery import State

PAGE_BYTES: Final = 3 << 20

M = TypeVar("M", bound=Message)

STATES: Final[Mapping[State, deliveries_pb2.DeliveryState]] = {
    "pending": deliveries_pb2.DELIVERY_STATE_PENDING,
    "leased": deliveries_pb2.DELIVERY_STATE_LEASED,
    "delivered": deliveries_pb2.DELIVERY_STATE_DELIVERED,
    "dead": deliveries_pb2.DELIVERY_STATE_DEAD,
}

OUTCOMES: Final[Mapping[str, deliveries_pb2.AttemptOutcome]] = {
    "delivered": deliveries_pb2.ATTEMPT_OUTCOME_DELIVERED,
    "retry": deliveries_pb2.ATTEMPT_OUTCOME_RETRY,
    "discard": deliveries_pb2.ATTEMPT_OUTCOME_DISCARD,
}

REASONS: Final[Mapping[str, events_pb2.HeldBackReason]] = {
    "snoozed": events_pb2.HELD_BACK_REASON_SNOOZED,
    "unchanged": events_pb2.HELD_BACK_REASON_UNCHANGED,
    "disabled": events_pb2.HELD_BACK_REASON_DISABLED,
    "filter": events_pb2.HELD_BACK_REASON_FILTER,
    "filter_error": events_pb2.HELD_BACK_REASON_FILTER_ERROR,
    "queue_full": events_pb2.HELD_BACK_REASON_QUEUE_FULL,
    "queue_bytes": events_pb2.HELD_BACK_REASON_QUEUE_BYTES,
    "hook_queue_full": events_pb2.HELD_BACK_REASON_HOOK_QUEUE_FULL,
}


async def fitting(size: int | None, page: Callable[[int], Awaitable[tuple[M, int]]]) -> M:
    """Return the largest page within ``PAGE_BYTES``; one entry alone may be larger.

    ``page`` takes a size and returns the message and its count of entries.
    """
    message, count = await page(size or paging.DEFAULT_SIZE)
    while message.ByteSize() > PAGE_BYTES and count > 1:
        message, count = await page(count // 2)
    return message


def hook_message(view: views.HookView) -> hooks_pb2.Hook:
    changed = {
        "tags": view.tags or (),
        "config": to_struct(view.config),
        "created_at": to_timestamp(view.created_at),
        "updated_at": to_timestamp(view.updated_at),
        "scope": None if view.scope is None else hooks_pb2.HookScope(**asdict(view.scope)),
    }
    return hooks_pb2.Hook(**asdict(view) | changed)


def source_event_message(name: str, view: views.EventDescriptionView) -> sources_pb2.SourceEvent:
    unique = () if view.unique is UNSET else view.unique
    return sources_pb2.SourceEvent(name=name, description=view.description, fields=view.fields, unique=unique)


def result_message(view: views.ResultView) -> hooks_pb2.HandlerResult:
    return hooks_pb2.HandlerResult(**asdict(view))


def delivery_message(view: views.DeliveryView) -> deliveries_pb2.Delivery:
    return deliveries_pb2.Delivery(
        id=view.id,
        hook=_hook(view.event_hook),
        source=view.source,
        event=view.event,
        event_id=view.event_id,
        state=STATES[view.state],
        reason=view.reason,
        attempt_count=view.attempt_count,
        created_at=to_timestamp(view.created_at),
        due_at=None if view.due_at is None else to_timestamp(view.due_at),
        settled_at=None if view.settled_at is None else to_timestamp(view.settled_at),
    )


def delivery_detail_message(view: views.DeliveryDetailView) -> deliveries_pb2.GetDeliveryResponse:
    """Return a delivery with its event's data and its attempts, as many of the latest as fit."""
    message = deliveries_pb2.GetDeliveryResponse(delivery=delivery_message(view), data=to_struct(view.data))
    free = PAGE_BYTES - message.ByteSize()
    latest = []
    for attempt in map(_attempt, reversed(view.attempts)):
        free -= attempt.ByteSize()
        if free < 0:
            break
        latest.append(attempt)
    message.attempts.extend(reversed(latest))
    return message


def receipt_message(view: views.ReceiptView) -> events_pb2.PublishResponse:
    return events_pb2.PublishResponse(
        event_id=view.id, duplicate=view.duplicate, fired=_fired(view.fired), held_back=_held_back(view.held_back)
    )


def accepted_message(view: views.AcceptedEventView) -> events_pb2.AcceptedEvent:
    return events_pb2.AcceptedEvent(
        event=_event(view),
        accepted_at=to_timestamp(view.accepted_at),
        fired=_fired(view.fired),
        held_back=_held_back(view.held_back),
    )


def live_event_message(view: views.LiveEventView) -> events_pb2.WatchResponse:
    event = events_pb2.WatchedEvent(event=_event(view), fired=_fired(view.fired), held_back=_held_back(view.held_back))
    return events_pb2.WatchResponse(event=event)


def _attempt(view: views.AttemptView) -> deliveries_pb2.Attempt:
    nanos = round(view.seconds * 1e9)
    return deliveries_pb2.Attempt(
        number=view.number,
        started_at=to_timestamp(view.started_at),
        duration=Duration(seconds=nanos // 10**9, nanos=nanos % 10**9),
        outcome=OUTCOMES[view.outcome],
        error=view.error,
        detail=view.detail,
        status=view.status,
        body=view.body,
    )


def _hook(view: views.HookNameView) -> hooks_pb2.HookReference:
    return hooks_pb2.HookReference(id=view.id, name=view.name)


def _event(view: views.AcceptedEventView | views.LiveEventView) -> events_pb2.Event:
    return events_pb2.Event(
        id=view.id, source=view.source, event=view.event, time=to_timestamp(view.time), data=to_struct(view.data)
    )


def _fired(views: Iterable[views.FiredView]) -> list[events_pb2.Fired]:
    return [
        events_pb2.Fired(
            hook=_hook(view.event_hook),
            delivery_id=view.delivery,
            state=None if view.state is UNSET else STATES[view.state],
        )
        for view in views
    ]


def _held_back(views: Iterable[views.HeldBackView]) -> list[events_pb2.HeldBack]:
    return [events_pb2.HeldBack(hook=_hook(view.event_hook), reason=REASONS[view.reason]) for view in views]

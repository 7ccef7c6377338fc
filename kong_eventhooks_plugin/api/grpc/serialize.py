"""The model's values as messages.

Limits: a message of a list is made smaller until it has ``PAGE_BYTES`` (a client reads 4 MiB unless it was told to
read more): a page gets fewer entries, a delivery is told without its oldest attempts.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import deliveries_pb2, events_pb2, hooks_pb2
from kong_eventhooks_plugin.api.grpc.hook_names import HookNames
from kong_eventhooks_plugin.api.grpc.structs import to_struct, to_timestamp
from kong_eventhooks_plugin.api.service import paging
from kong_eventhooks_plugin.api.service.deliveries import DeliveryDetail
from kong_eventhooks_plugin.api.service.entity import entity
from kong_eventhooks_plugin.api.service.feed import LiveEvent, Missed
from kong_eventhooks_plugin.model.delivery import Answer, Attempt, Delivery, State
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.queue.contract import Accepted, HeldBack, Receipt

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

REASONS: Final[Mapping[HeldBack, events_pb2.HeldBackReason]] = {
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
    """Return the largest page that has ``PAGE_BYTES``: ``page`` takes a size, gives the message and its entries' count.

    One entry alone may be larger.
    """
    message, count = await page(size or paging.DEFAULT_SIZE)
    while message.ByteSize() > PAGE_BYTES and count > 1:
        message, count = await page(count // 2)
    return message


def hook_message(hook: Hook, *, trusted: bool) -> hooks_pb2.Hook:
    """Return a hook as the API shows it. ``trusted``: the caller may see secrets."""
    shown = entity(hook, trusted=trusted)
    scope: dict[str, Any] | None = shown["scope"]
    return hooks_pb2.Hook(
        id=shown["id"],
        name=shown["name"],
        source=shown["source"],
        event=shown["event"],
        handler=shown["handler"],
        on_change=shown["on_change"],
        snooze=shown["snooze"],
        enabled=shown["enabled"],
        tags=shown["tags"] or (),
        filter=shown["filter"],
        config=to_struct(shown["config"]),
        created_at=to_timestamp(shown["created_at"]),
        updated_at=to_timestamp(shown["updated_at"]),
        declared_in=shown["declared_in"],
        scope=None if scope is None else hooks_pb2.HookScope(**scope),
    )


def result_message(answer: Answer) -> hooks_pb2.HandlerResult:
    """Return what came back from an endpoint; repeated headers are joined."""
    headers: dict[str, str] = {}
    for name, value in answer.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return hooks_pb2.HandlerResult(status=answer.status, headers=headers, body=answer.body)


def delivery_message(delivery: Delivery, names: HookNames) -> deliveries_pb2.Delivery:
    """Return a delivery without its event's data."""
    settled = delivery.settled_at
    return deliveries_pb2.Delivery(
        id=delivery.id,
        hook=names.reference(delivery.hook_id),
        source=delivery.source,
        event=delivery.event.event,
        event_id=delivery.event.id,
        state=STATES[delivery.state],
        reason=delivery.reason,
        attempt_count=delivery.attempts,
        created_at=to_timestamp(delivery.created_at),
        due_at=to_timestamp(delivery.due_at) if settled is None else None,
        settled_at=None if settled is None else to_timestamp(settled),
    )


def delivery_detail_message(tried: DeliveryDetail, names: HookNames) -> deliveries_pb2.GetDeliveryResponse:
    """Return a delivery with its event's data and its attempts, as many of the latest as there is room for."""
    message = deliveries_pb2.GetDeliveryResponse(
        delivery=delivery_message(tried.delivery, names), data=to_struct(tried.delivery.event.data)
    )
    room = PAGE_BYTES - message.ByteSize()
    latest = []
    for attempt in reversed(tried.attempts):
        told = _attempt(attempt)
        room -= told.ByteSize()
        if room < 0:
            break
        latest.append(told)
    message.attempts.extend(reversed(latest))
    return message


def receipt_message(receipt: Receipt, names: HookNames) -> events_pb2.PublishResponse:
    """Return what came of a published event."""
    return events_pb2.PublishResponse(
        event_id=receipt.event_id,
        duplicate=receipt.duplicate,
        fired=_fired(receipt.event_id, receipt.fired, names),
        held_back=_held_back(receipt.held_back, names),
    )


def accepted_message(accepted: Accepted, names: HookNames) -> events_pb2.AcceptedEvent:
    """Return an accepted event and what it led to."""
    fired = _fired(accepted.event.id, accepted.fired, names)
    for one in fired:
        one.state = STATES[accepted.fired[one.hook.id]]
    return events_pb2.AcceptedEvent(
        event=_event(accepted.event),
        accepted_at=to_timestamp(accepted.accepted_at),
        fired=fired,
        held_back=_held_back(accepted.held_back, names),
    )


def live_event_message(entry: LiveEvent | Missed, names: HookNames) -> events_pb2.WatchResponse:
    """Return what a watcher is told."""
    if isinstance(entry, Missed):
        return events_pb2.WatchResponse(missed=events_pb2.Missed(count=entry.count))
    told = events_pb2.WatchedEvent(
        event=_event(entry.event),
        fired=_fired(entry.event.id, entry.receipt.fired, names),
        held_back=_held_back(entry.receipt.held_back, names),
    )
    return events_pb2.WatchResponse(event=told)


def _attempt(attempt: Attempt) -> deliveries_pb2.Attempt:
    nanos = round(attempt.seconds * 1e9)
    return deliveries_pb2.Attempt(
        number=attempt.number,
        started_at=to_timestamp(attempt.started_at),
        duration=Duration(seconds=nanos // 10**9, nanos=nanos % 10**9),
        outcome=OUTCOMES[attempt.outcome],
        error=attempt.error,
        detail=attempt.detail,
        status=attempt.status,
        body=attempt.body,
    )


def _event(event: Event) -> events_pb2.Event:
    return events_pb2.Event(
        id=event.id,
        source=event.source,
        event=event.event,
        time=to_timestamp(event.time),
        data=to_struct(event.data),
    )


def _fired(event_id: str, hook_ids: Iterable[str], names: HookNames) -> list[events_pb2.Fired]:
    return [
        events_pb2.Fired(hook=names.reference(hook_id), delivery_id=delivery_id(event_id, hook_id))
        for hook_id in hook_ids
    ]


def _held_back(held_back: Mapping[str, HeldBack], names: HookNames) -> list[events_pb2.HeldBack]:
    return [
        events_pb2.HeldBack(hook=names.reference(hook_id), reason=REASONS[reason])
        for hook_id, reason in held_back.items()
    ]

"""What the API answers, as structs: REST encodes them, gRPC copies them into messages, OpenAPI is generated from them.

A component of the OpenAPI document has its struct's name without "View", and the struct's docstring as its description.
Times are Unix seconds with their fraction, as in Kong.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from kong_eventhooks_plugin.model.delivery import State

T = TypeVar("T")

Time = Annotated[float, Meta(description="Unix seconds.")]
OptionalTime = Annotated[float | None, Meta(description="Unix seconds.")]


class BodyBytes(bytes):
    """A body: gRPC carries it as it is, JSON as text with U+FFFD for what is none."""


HookState = Literal["on", "off", "held"]


class View(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Page(View, Generic[T], frozen=True):
    data: list[T]
    next: str | None
    offset: str | UnsetType = UNSET


class HookScopeView(View, frozen=True):
    service: str | None
    route: str | None
    consumer: str | None


class HookView(View, frozen=True):
    id: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    name: str | None
    source: str
    event: str | None
    handler: str
    on_change: bool | None
    snooze: int | None
    filter: str | None
    enabled: bool
    tags: list[str] | None
    config: Annotated[
        dict[str, Any], Meta(description="The handler's fields; secrets are *** without the admin token.")
    ]
    created_at: int
    updated_at: int
    declared_in: Annotated[str | None, Meta(description="Where it is declared; null: the API made it.")]
    scope: HookScopeView | None
    state: Annotated[HookState, Meta(description="off: its definition says enabled: false.")]
    held: Annotated[str | None, Meta(description="Why it is held: deliveries wait, or it cannot fire.")]
    delivered_by: Annotated[str | None, Meta(description="The node that delivers it, where nodes share the store.")]


class HookListView(Page[HookView], frozen=True):
    pass


class EventDescriptionView(View, frozen=True):
    fields: list[str]
    description: str
    unique: list[str] | UnsetType = UNSET


Events = dict[str, EventDescriptionView]


class SourcesView(View, frozen=True):
    data: dict[str, Events]


class EventsView(View, frozen=True):
    data: Events


class EventView(View, frozen=True):
    data: EventDescriptionView


class PingView(View, frozen=True):
    source: Literal["kong:event_hooks"]
    event: Literal["ping"]
    event_hooks: dict[str, Any]


class ResultView(View, frozen=True):
    """What the endpoint answered. status is null where the handler has no endpoint."""

    body: BodyBytes
    headers: dict[str, str]
    status: int | None


class HookNameView(View, frozen=True):
    id: str
    name: str | None


class RequestView(View, frozen=True):
    """A request, its secrets masked. size is its body's in bytes."""

    method: str
    url: str
    headers: dict[str, str]
    body: Annotated[BodyBytes, Meta(description="At most the first 20,000 bytes.")]
    size: int


class FilterPartView(View, frozen=True):
    """A part of a filter; value is JSON, null where it has none: error says why. depth 0 is the whole."""

    depth: int
    text: str
    value: str | None
    error: str | None


class FilterVerdictView(View, frozen=True):
    """verdict is null where the filter has no value."""

    expression: str
    verdict: bool | None
    error: str | None
    parts: list[FilterPartView]


class SuppressionVerdictView(View, frozen=True):
    """What on_change and snooze say now; fired_at is when the hook last fired for such an event."""

    on_change: bool
    snooze: int | None
    verdict: Literal["fires", "snoozed", "unchanged"]
    fired_at: OptionalTime
    silent_until: OptionalTime
    held: Annotated[int, Meta(description="How many events it has held back since.")]


class LineView(View, frozen=True):
    level: str
    text: str


class LimitView(View, frozen=True):
    name: str
    used: float
    limit: float


class TestedView(View, frozen=True):
    """What a test did. filter is what the hook's filter says of data: a test runs whatever it says."""

    data: dict[str, Any]
    result: ResultView
    request: Annotated[RequestView | None, Meta(description="What was sent; null where there is no endpoint.")]
    filter: FilterVerdictView | None
    error: Annotated[str | None, Meta(description="How a lambda failed, whose answer is in result.")]


class _Event(View, frozen=True):
    id: str
    source: str
    event: str
    time: Time
    data: dict[str, Any]


class PreviewEventView(_Event, frozen=True):
    pass


class PreviewView(View, frozen=True):
    """What a hook would do with an event. request, lines and result are there whatever holds the hook back."""

    event_hook: HookNameView
    handler: str
    event: PreviewEventView
    fires: bool
    mismatch: Annotated[str | None, Meta(description="Why the event does not reach the hook at all.")]
    held_back: Annotated[str | None, Meta(description="Why the hook would not fire, as in GET /events.")]
    filter: FilterVerdictView | None
    suppression: SuppressionVerdictView | None
    request: RequestView | None
    lines: Annotated[list[LineView], Meta(description="What would be written to Kong's error log.")]
    result: Annotated[str | None, Meta(description="What a lambda returned, as JSON.")]
    error: Annotated[str | None, Meta(description="Why nothing can be sent, or how the lambda failed.")]
    notes: list[str]
    limits: list[LimitView]


class SuppressedView(View, frozen=True):
    count: int
    since: Annotated[float, Meta(description="When the hook had fired before. Unix seconds.")]
    unread: Annotated[
        int, Meta(description="Requests whose logs were not read: beside count at most so many more were held back.")
    ]


class DeliveryView(View, frozen=True):
    id: Annotated[str, Meta(description="Also the webhook-id of every attempt.")]
    event_hook: HookNameView
    source: str
    event: str
    event_id: str
    state: State
    reason: Annotated[str | None, Meta(description="Why it is dead.")]
    attempt_count: int
    created_at: Time
    due_at: Annotated[float | None, Meta(description="When it is tried next; null once it is settled.")]
    settled_at: OptionalTime
    last_status: Annotated[int | None, Meta(description="The status that the last attempt was answered with.")]
    last_error: Annotated[str | None, Meta(description="The class of the last attempt's error.")]
    suppressed: Annotated[
        SuppressedView | None, Meta(description="How many events on_change and snooze held back before this one.")
    ]


class DeliveryListView(Page[DeliveryView], frozen=True):
    pass


class AttemptView(View, frozen=True):
    number: int
    started_at: Time
    seconds: float
    outcome: Literal["delivered", "retry", "discard"]
    error: str | None
    detail: str | None
    status: int | None
    body: Annotated[BodyBytes, Meta(description="At most the first 20,000 bytes of the answer.")]
    headers: Annotated[dict[str, str], Meta(description="The answer's, at most 8,192 bytes of them.")]
    request: Annotated[RequestView | None, Meta(description="null where nothing was sent, or it was not kept.")]


class DeliveryDetailView(DeliveryView, frozen=True):
    data: dict[str, Any]
    attempts: list[AttemptView]


class ReplayedView(View, frozen=True):
    """refused is the queue's limit that left no room for the rest."""

    replayed: int
    refused: str | None
    more: bool


class FiredView(View, frozen=True):
    event_hook: HookNameView
    delivery: str
    state: State | UnsetType = UNSET


class HeldBackView(View, frozen=True):
    event_hook: HookNameView
    reason: str


class AcceptedEventView(_Event, frozen=True):
    accepted_at: Time
    fired: list[FiredView]
    held_back: list[HeldBackView]


class AcceptedEventListView(Page[AcceptedEventView], frozen=True):
    pass


# Without states, which change by the second.
class LiveEventView(_Event, frozen=True):
    fired: list[FiredView]
    held_back: list[HeldBackView]


class ReceiptView(View, frozen=True):
    id: str
    duplicate: bool
    fired: list[FiredView]
    held_back: list[HeldBackView]
    undecided: Annotated[
        bool,
        Meta(
            description="The event is accepted, and the store that nodes share decides next which hooks it fires and "
            "whether it is a duplicate: GET /events has it then. Only where nodes share a store."
        ),
    ]


class ErrorView(Struct, frozen=True):
    """Kong's shape; code, name and fields where Kong has them, status with 401."""

    message: str
    code: int | UnsetType = UNSET
    name: str | UnsetType = UNSET
    fields: dict[str, Any] | UnsetType = UNSET
    status: int | UnsetType = UNSET

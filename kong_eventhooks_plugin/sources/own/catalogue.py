"""What the catalogue says of the source ``event-hooks``."""

from typing import Final

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, EventState, SourceEntry, state_fields

EVENT_HOOKS: Final = "event-hooks"
ENDPOINT_DISABLED: Final = "endpoint.disabled"
ENDPOINT_RECOVERED: Final = "endpoint.recovered"
DELIVERY_EXHAUSTED: Final = "delivery.exhausted"
HOOK_HELD: Final = "hook.held"
QUEUE_FILLING: Final = "queue.filling"

_HOOK = (
    EventField("hook", "The name of the hook that it is about; its id where it has none.", "limits-to-ops"),
    EventField("hook_id", "Its id.", "b6f8ad1f-2c63-5f0c-8a64-6f7d3c1f2f11"),
)
_LIMIT = "queue_deliveries_per_hook"
_EVENT_ID = "019ac2f0-6c2a-8b1d-9f3a-2f4c5d6e7f80"
_OF: Final = ("hook_id",)
_KEY: Final = "event-hooks-15f9ea9c7285f2ca11c4f149b0f4972c"
_ENDPOINT = (
    *_HOOK,
    EventField(
        "reason", "`gone`: the endpoint answered 410; `failing`: it failed for days without a success.", "failing"
    ),
    EventField("since", "When the failures began, Unix seconds; null where it is not known.", 1795278761.25),
)

ENTRY = SourceEntry(
    EVENT_HOOKS,
    "Something happened to a hook, its deliveries or the queue.",
    "0.1.0",
    (
        EventEntry(
            ENDPOINT_DISABLED,
            "An endpoint switched its hook off: its deliveries wait until somebody fixes it.",
            (*_ENDPOINT, *state_fields("open", _KEY)),
            ("hook_id", "reason"),
            state=EventState(_OF),
        ),
        EventEntry(
            ENDPOINT_RECOVERED,
            "A hook that its endpoint had switched off delivers again.",
            (*_ENDPOINT, *state_fields("resolved", _KEY)),
            ("hook_id", "reason"),
            state=EventState(_OF, resolved=True),
        ),
        EventEntry(
            DELIVERY_EXHAUSTED,
            "A delivery became a dead letter: its attempts are used up, or its error is final.",
            (
                *_HOOK,
                EventField("delivery_id", "The delivery.", f"{_EVENT_ID}_b6f8ad1f-2c63-5f0c-8a64-6f7d3c1f2f11"),
                EventField("of_source", "The source of its event.", "rate-limiting"),
                EventField("of_event", "Its event.", "rate-limit-exceeded"),
                EventField("event_id", "The event's id.", _EVENT_ID),
                EventField("reason", "`exhausted`, or the class of the final error.", "exhausted"),
                EventField("error", "The class of the last attempt's error.", "status"),
                EventField("detail", "The error's text, without data of the event.", "answered 500"),
                EventField("status", "The status of the last answer; null where there was none.", 500),
                EventField("attempts", "How many attempts there were.", 10),
                EventField("count", "How many of the hook's deliveries died since the event before, this one too.", 1),
            ),
            ("hook_id",),
        ),
        EventEntry(
            HOOK_HELD,
            "A hook has been held for half a minute, for a reason that does not end by itself.",
            (
                *_HOOK,
                EventField(
                    "reason",
                    "`unresolved`, `invalid`, `no_admin_api`, `filter_failing` or `no_handler`.",
                    "unresolved",
                ),
                EventField("detail", "What is wrong; null where the reason says it all.", "no value for secret"),
            ),
            ("hook_id", "reason"),
        ),
        EventEntry(
            QUEUE_FILLING,
            "Four fifths of a limit of the queue are used: soon events are lost.",
            (
                EventField("limit", "`queue_deliveries_per_hook`, `queue_deliveries` or `queue_bytes`.", _LIMIT),
                EventField("used", "How much of it is used.", 80_000),
                EventField("maximum", "The limit.", 100_000),
                EventField("hook", "The hook whose limit it is; null where it is everybody's.", _HOOK[0].example),
                EventField("hook_id", "Its id; null as well then.", _HOOK[1].example),
            ),
            ("limit", "hook_id"),
        ),
    ),
    notes=(
        (
            "The sidecar reports on itself. No event is made of the delivery of such an event, so a hook whose own "
            "deliveries fail does not feed itself. `delivery.exhausted` comes at most once a minute for a hook, "
            "`hook.held` once a day for a hook and a reason, `queue.filling` once an hour for a limit, again only "
            "after less than three fifths were used. Of several processes over one store only the one that delivers "
            "looks at states and at the queue. An event's id follows from what happened: reported twice, it is one. "
            "A process that is killed after a delivery has ended and before it reported that, reports it no more."
        ),
        (
            "A hook cannot report its own endpoint through that endpoint: send these events to another one than the "
            "hooks that they are about."
        ),
    ),
)

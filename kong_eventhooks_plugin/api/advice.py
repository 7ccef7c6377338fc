"""What is wrong, in words for whoever is on call: a title, what it means, and what to do about it.

The console shows it, and so do ``hooks list``, ``health --ready`` and ``doctor``. The keys are the words that /readyz,
the log and the metrics use. A test compares them with where they are defined.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Advice(NamedTuple):
    """``title`` follows a hook's name where it is about a hook."""

    title: str
    meaning: str
    action: str


HELD: Final[Mapping[str, Advice]] = {
    "disabled": Advice(
        "is disabled",
        "Its definition says enabled: false. It fires for nothing.",
        "Enable it, where that is not meant.",
    ),
    "endpoint_gone": Advice(
        "is switched off: its endpoint answered 410 Gone",
        "The receiver says that this address is no longer used. Deliveries wait.",
        "Correct the hook's URL, or bring the endpoint back and test the hook: a test that arrives switches it on.",
    ),
    "endpoint_failing": Advice(
        "is switched off: its endpoint has failed for days",
        "No attempt has arrived for five days. Deliveries wait.",
        "Repair the endpoint, then test the hook: a test that arrives switches it on.",
    ),
    "endpoint_held": Advice(
        "waits: its endpoint timed out or asked for a pause",
        "Nothing is lost. Deliveries go on when the pause ends.",
        "Nothing, unless it lasts: then look at the endpoint's load. It may be another hook with the same "
        "host and port that timed out.",
    ),
    "breaker_open": Advice(
        "is paused: most of its last attempts failed",
        "It is spared for a moment, then one attempt shows whether it works. Deliveries wait, nothing is lost.",
        "Look at the last attempt's answer and repair the endpoint. It goes on by itself.",
    ),
    "breaker_probing": Advice(
        "is being probed after many failures",
        "One attempt is under way. If it arrives, deliveries go on.",
        "Wait for its end, then look again.",
    ),
    "unresolved": Advice(
        "is held: a reference in its definition has no value",
        "A secret or URL that it names is not there. It is never sent without it.",
        "A file: put it there, readable for the sidecar. A vault, where Kong declares the hook: send Kong a request "
        "that runs the hook's plugin. Else give the sidecar that environment variable and restart it.",
    ),
    "no_handler": Advice(
        "is held: its handler does not run here",
        "This version of the program lacks the handler.",
        "Run a version that has it.",
    ),
    "invalid": Advice(
        "cannot work: its code does not compile",
        "A template, function or filter of it has an error.",
        "Correct the definition.",
    ),
    "no_admin_api": Advice(
        "cannot fire: its source needs the Admin API",
        "The setting admin_url is not set, so this source has no events.",
        "Set admin_url, or remove the hook.",
    ),
    "filter_failing": Advice(
        "may never fire: its filter has only failed so far",
        "An expression that fails does not match. It may read a field that the events do not have.",
        "Try the filter on a recorded event and correct it.",
    ),
}
"""By the reason for which a hook is held (``api.service.hook_states``), what stands before its colon."""

UNKNOWN_HOLD: Final = Advice("is held", "Its deliveries wait.", "The reason says what it waits for.")

_NOT_STORED: Final = Advice(
    "The store did not take events",
    "It could not commit them, or was closed meanwhile. They are lost.",
    "Look for store_unavailable in the log; free space on the disk of data_dir, or repair it.",
)

_CHANGE_MISSED: Final = Advice(
    "A change through the Admin API's route was not processed",
    "The next reconciliation reports its result, without who made it.",
    "Nothing, unless it happens again: then look for change_deferred in the log.",
)

LOSSES: Final[Mapping[str, Advice]] = {
    "queue_full": Advice(
        "The queue has no room",
        "It holds queue_deliveries deliveries. What is refused is lost.",
        "Find the hook with the most pending deliveries and repair its endpoint, or disable it.",
    ),
    "queue_bytes": Advice(
        "The queue has no room",
        "It holds queue_bytes bytes. What is refused is lost.",
        "Find the hook with the most pending deliveries and repair its endpoint, or disable it.",
    ),
    "hook_queue_full": Advice(
        "A hook has too many pending deliveries",
        "It has queue_deliveries_per_hook of them. What is refused is lost for this hook alone.",
        "Repair its endpoint, or disable the hook.",
    ),
    "starting": Advice(
        "Events came before the store was open",
        "Which hooks are in it was not known yet. An event counts here even if no hook wanted it.",
        "Where the store is not open now, look for store_open_failed in the log; else at the disk of data_dir.",
    ),
    "buffer": Advice(
        "Events came faster than the disk commits them",
        "So many waited for a commit that no more were taken. What is refused is lost.",
        "Look at the latency of the disk of data_dir.",
    ),
    "store_unavailable": _NOT_STORED,
    "abandoned": _NOT_STORED,
    "changes_overflow": _CHANGE_MISSED,
    "change_unreadable": _CHANGE_MISSED,
    "change_failed": _CHANGE_MISSED,
}
"""By the reason of ``kong_event_hooks_events_lost_total``."""

UNKNOWN_LOSS: Final = Advice(
    "Events were lost",
    "They could not be accepted.",
    "Look for event_lost in the log, which says why. Where that names no store and no disk, it is a bug: report it.",
)

STORE: Final = Advice(
    "Events cannot be accepted",
    "The store does not take them. Kong is served; what happens meanwhile is lost.",
    "Do what the error says; mostly, free space on the disk of data_dir. The sidecar goes on by itself.",
)

SHARED_STORE: Final = Advice(
    "The shared store cannot be reached",
    "Events are accepted on this node and wait in its spool. Nothing is lost, and nothing is delivered from here.",
    "Bring PostgreSQL back, or the network to it; see the setting store. The node goes on by itself.",
)

SPOOL_OLD: Final = Advice(
    "Events wait on this node for the shared store",
    "It can be reached, and takes them too slowly or not at all. They are delivered once it has them.",
    "Look at the load of PostgreSQL, and for spool_forwarding_failed in the log.",
)

SPOOL_FULL: Final = Advice(
    "The spool of this node fills up",
    "It holds queue_deliveries events or queue_bytes bytes. At its limit, new events are lost.",
    "Bring the shared store back before it is full.",
)

NOT_DELIVERING: Final = Advice(
    "This process does not deliver",
    "It accepts events. Another process on the same data_dir delivers them, or takes a moment to begin.",
    "Where there is no other, look for delivery_lease_… in the log.",
)

ANOTHER_DELIVERS: Final = Advice(
    "This node does not deliver",
    "It accepts events, and the other nodes deliver its share. It did not reach the shared store for five seconds, "
    "stood still, or has the setting deliver = false.",
    "Nothing, where it begins again by itself. Else look for heartbeat_failed in its log.",
)

ERROR: Final = Advice(
    "Something needs you",
    "/readyz lists it as an error.",
    "Follow what it says; the sidecar notices when it is repaired.",
)

FAILING: Final = Advice(
    "fails: its last attempts did not arrive",
    "They are tried again, less and less often. Nothing is lost yet.",
    "Look at the last attempt's answer and repair the endpoint.",
)

OLD: Final = Advice(
    "Deliveries have waited for long",
    "The oldest one is not delivered yet. Its endpoint fails, is slow, or its hook is held.",
    "Look at the oldest pending deliveries and their last answers.",
)

FULL: Final = Advice(
    "The queue fills up",
    "At its limit, new deliveries are refused, which is loss.",
    "Find the hook with the most pending deliveries and repair its endpoint, or disable it.",
)

DEAD: Final = Advice(
    "Deliveries are dead letters",
    "Their attempts are used up, or they could never arrive. They are kept, and can be replayed.",
    "Look at the last answer, repair what is wrong, then replay them.",
)

DUE: Final = "due"
IN_TURN: Final = "in its turn"
"""Of an ordered hook, where each delivery waits for the end of the one before."""


def waits_for(held: str | None, *, ordered: bool) -> str:
    """Return what a delivery that is due waits for; ``held`` is why its hook is held."""
    if held is not None:
        return f"held: {held.partition(':')[0]}"
    return IN_TURN if ordered else DUE


HELD_BACK: Final[Mapping[str, str]] = {
    "snoozed": "the hook had fired less than its snooze ago",
    "unchanged": "on_change: the event's data is what it was when the hook last fired",
    "disabled": "the hook is disabled",
    "filter": "its filter is false for this event",
    "filter_error": "its filter has no value for this event: it may read a field that is missing",
    "queue_full": "lost: the queue was full",
    "queue_bytes": "lost: the queue was full",
    "hook_queue_full": "lost: the hook had too many pending deliveries",
}
"""Why a hook that matched did not fire (``queue.contract.HeldBack``)."""

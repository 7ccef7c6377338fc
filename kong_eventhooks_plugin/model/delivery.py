"""A delivery (one event for one hook), its attempts and their outcomes."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.suppression import Suppressed

State = Literal["pending", "leased", "delivered", "dead"]
"""pending -> leased -> delivered | dead | pending; a replay turns dead or delivered into pending."""

ErrorClass = Literal[
    "connect", "tls", "timeout", "status", "redirect", "rejected", "address_refused", "protocol", "gone", "config",
    "template", "internal",
]  # fmt: skip


class Delivery(msgspec.Struct, frozen=True):
    """``source`` is the hook's, which may subscribe to an event's source under another name.

    Times are Unix seconds; ``attempts`` counts the past ones; ``reason`` is why it is dead. ``last_status`` and
    ``last_error`` are the last attempt's; not in what ``claim`` returns. ``data`` is the event's, as JSON.
    """

    id: str
    event: Event
    hook_id: str
    source: str
    state: State
    attempts: int
    created_at: float
    due_at: float
    settled_at: float | None = None
    reason: str | None = None
    suppressed: Suppressed | None = None
    last_status: int | None = None
    last_error: str | None = None
    data: bytes = b""


Headers = tuple[tuple[str, str], ...]


class Answer(msgspec.Struct, frozen=True):
    """What the endpoint answered: its status, its headers, and at most the first 20,000 bytes of its body."""

    status: int | None = None
    body: bytes = b""
    headers: Headers = ()


NO_ANSWER = Answer()


class SentRequest(msgspec.Struct, frozen=True, array_like=True):
    """A request as it was sent, with its secrets masked (``handlers.signed_request``).

    ``body`` has its first 20,000 bytes, ``size`` is what it had. ``of_event``: the body is the event's own
    (``handlers.webhook_body.event_body``), and a stored attempt is without it.
    """

    method: str
    url: str
    headers: Headers
    body: bytes
    size: int
    of_event: bool = False


class Delivered(msgspec.Struct, frozen=True, tag="delivered"):
    """``note`` is what a person should know of it all the same; ``raised`` the error with which a lambda ended."""

    answer: Answer = NO_ANSWER
    note: str | None = None
    request: SentRequest | None = None
    raised: str | None = None


class Retry(msgspec.Struct, frozen=True, tag="retry"):
    """It did not arrive and may later. The endpoint asked for ``retry_after`` seconds.

    ``hold`` pauses the whole endpoint (time-out, 429, 502, 504). ``logged`` is what the log says in the place of a
    ``detail`` that quotes an event or user code.
    """

    error: ErrorClass
    detail: str
    answer: Answer = NO_ANSWER
    retry_after: float | None = None
    hold: bool = False
    logged: str | None = None
    request: SentRequest | None = None


class Discard(msgspec.Struct, frozen=True, tag="discard"):
    """It can never arrive: a dead letter at once. ``disable`` disables the hook as well (410). ``logged`` as above."""

    error: ErrorClass
    detail: str
    answer: Answer = NO_ANSWER
    disable: bool = False
    logged: str | None = None
    request: SentRequest | None = None


Outcome = Delivered | Retry | Discard


def log_fields(outcome: Retry | Discard) -> dict[str, str]:
    """Return what the log says of a failure; the attempt's record has all of it."""
    return {"error": outcome.error, "detail": outcome.detail if outcome.logged is None else outcome.logged}


def with_notes(outcome: Outcome, notes: Sequence[str]) -> Outcome:
    """Return the outcome with more notes, which the attempt's record shows in its detail."""
    if not notes:
        return outcome
    if not isinstance(outcome, Delivered):
        return msgspec.structs.replace(outcome, detail="; ".join([outcome.detail, *notes]))
    own = [] if outcome.note is None else [outcome.note]
    return msgspec.structs.replace(outcome, note="; ".join([*own, *notes]))


class Attempt(msgspec.Struct, frozen=True):
    """One attempt of a delivery, as stored. ``number`` counts from 1; ``started_at`` is Unix seconds.

    ``detail`` is an error's text or, where it was delivered, a note. ``headers`` and ``body`` are the answer's, as far
    as they are kept; ``request`` is None where nothing was sent, and where there was no room for it.
    """

    number: int
    started_at: float
    seconds: float
    outcome: Literal["delivered", "retry", "discard"]
    error: str | None
    detail: str | None
    status: int | None
    body: bytes
    headers: Headers = ()
    request: SentRequest | None = None

"""A delivery: one event on its way to one hook; its attempts; what an attempt came to."""

from typing import Literal

import msgspec

from kong_eventhooks_plugin.model.event import Event

State = Literal["pending", "leased", "delivered", "dead"]
"""pending -> leased -> delivered | dead | pending; dead or delivered -> pending by a replay."""

ErrorClass = Literal[
    "connect", "tls", "timeout", "status", "redirect", "address_refused", "protocol", "gone", "config", "template",
    "internal",
]  # fmt: skip


class Delivery(msgspec.Struct, frozen=True):
    """One event for one hook. ``source`` is the one that the hook named: it may hear another under its own name.

    Times are Unix seconds; ``attempts`` counts those already made; ``reason`` says why it is dead.
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


class Answer(msgspec.Struct, frozen=True):
    """What the endpoint answered: its status, and at most the first 20,000 bytes of its body.

    ``headers`` are for who waits for the answer (a hook's test); they are not kept with the attempt.
    """

    status: int | None = None
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


NO_ANSWER = Answer()


class Delivered(msgspec.Struct, frozen=True, tag="delivered"):
    """It arrived."""

    answer: Answer = NO_ANSWER


class Retry(msgspec.Struct, frozen=True, tag="retry"):
    """It did not arrive and may later. ``retry_after`` is the endpoint's own wish in seconds.

    ``hold`` holds the whole endpoint back (time-out, 429, 502, 504).
    """

    error: ErrorClass
    detail: str
    answer: Answer = NO_ANSWER
    retry_after: float | None = None
    hold: bool = False


class Discard(msgspec.Struct, frozen=True, tag="discard"):
    """It can never arrive: a dead letter at once. ``disable`` switches the hook off as well (410)."""

    error: ErrorClass
    detail: str
    answer: Answer = NO_ANSWER
    disable: bool = False


Outcome = Delivered | Retry | Discard


class Attempt(msgspec.Struct, frozen=True):
    """One try of one delivery, as it is kept. ``number`` counts from 1; ``started_at`` is Unix seconds."""

    number: int
    started_at: float
    seconds: float
    outcome: Literal["delivered", "retry", "discard"]
    error: str | None
    detail: str | None
    status: int | None
    body: bytes

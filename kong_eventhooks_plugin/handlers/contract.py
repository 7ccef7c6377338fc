"""A handler: it takes an event to its end and says what came of it.

It never retries, waits for a better time or touches the queue: the delivery worker alone does. It
never raises: what went wrong is an Outcome. tests/contract/handlers runs one suite over every handler.
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import msgspec

from kong_eventhooks_plugin.model.delivery import Outcome
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook

Operation = Literal["create", "update", "delete"]


class DeliveryJob(msgspec.Struct, frozen=True):
    """One attempt of one delivery.

    ``config`` is the hook's, with every reference resolved. ``source`` is what the receiver is told (the
    hook may name another than the event's). ``attempt`` counts from 1. ``now`` is Unix seconds.
    """

    delivery_id: str
    event: Event
    source: str
    hook: Hook
    config: Mapping[str, Any]
    attempt: int
    now: float


class Handler(Protocol):
    """What the delivery worker calls."""

    name: str

    def endpoint(self, config: Mapping[str, Any]) -> str | None:
        """Return what a breaker guards (scheme, host and port of the URL), None where nothing is dialled."""

    async def deliver(self, job: DeliveryJob) -> Outcome:
        """Make one attempt."""

    async def ping(
        self, hook: Hook, config: Mapping[str, Any], operation: Operation | None, now: float
    ) -> Outcome | None:
        """Tell the endpoint that the hook was created, changed or deleted; None where the handler has no ping.

        ``operation`` None: somebody only wants to know whether it arrives.
        """

    async def close(self) -> None:
        """Let connections go."""

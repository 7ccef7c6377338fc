"""Publishes a poller's events and waits until they are committed.

====================================  ===================================================================
publishing an event                   then
====================================  ===================================================================
no hook matches                       done
committed                             done, also where a limit of the queue held a hook back: that is counted
``QueueError``, the store was closed  again, after a pause that grows
the same, and the gate closed         not done: the next leader finds the event in the notes
anything else                         raised: a bug
====================================  ===================================================================

Limit: ``AT_ONCE`` events wait for a commit at one time, so that one commit takes many.
"""

import asyncio
from asyncio import Future
from collections.abc import Sequence
from typing import Final

import structlog

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.contract import Publish, Receipt
from kong_eventhooks_plugin.sources.pollers.leader_gate import Backoff, LeaderGate

AT_ONCE: Final = 200

_log = structlog.get_logger()


class Publisher:
    def __init__(self, publish: Publish, gate: LeaderGate) -> None:
        self._publish = publish
        self._gate = gate
        self._backoff = Backoff(gate)

    async def publish(self, events: Sequence[Event]) -> bool:
        """Return True when each is committed or matches no hook, False when the gate has closed."""
        waiting = list(events)
        while waiting:
            refused = await self._offer(waiting[:AT_ONCE])
            waiting = refused + waiting[AT_ONCE:]
            if not refused:
                self._backoff.reset()
                continue
            await self._backoff.failed()
            if not self._gate.is_open():
                return False
        return True

    async def _offer(self, events: list[Event]) -> list[Event]:
        """Offer all and wait for all; return those that were refused."""
        offered: list[tuple[Event, Future[Receipt]]] = []
        refused: list[Event] = []
        reason = ""
        for event in events:
            try:
                future = self._publish(event)
            except QueueError as error:
                refused.append(event)
                reason = str(error)
            else:
                offered += [(event, future)] if future is not None else []
        if offered:
            # Waited for like this, a cancelled future does not cancel us, and we do not cancel the queue's.
            await asyncio.wait([future for _, future in offered])
        for event, future in offered:
            refusal = _refusal(future)
            if refusal is not None:
                refused.append(event)
                reason = refusal
        if refused:
            # One line for all of them: a store that is full refuses hundreds at every try.
            _log.warning("events_not_accepted", source=refused[0].source, events=len(refused), error=reason)
        return refused


def _refusal(future: "Future[Receipt]") -> str | None:
    """Return why an event was refused, None where it was not; raises what is a bug."""
    if future.cancelled():
        return "the store was closed"
    try:
        future.result()
    except QueueError as error:
        return str(error)
    return None

"""Hands events to the queue and waits until they are committed.

====================================  ===================================================================
publishing an event                   then
====================================  ===================================================================
no hook hears it                      done
committed                             done, also where a limit of the queue held a hook back: that is counted
``QueueError``, the store was closed  again, after a pause that grows
the same, and not our turn any more   not done: whoever leads finds the event in the notes
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
    """Tells events for one loop, while it is that loop's turn."""

    def __init__(self, publish: Publish, turns: LeaderGate) -> None:
        self._publish = publish
        self._gate = turns
        self._backoff = Backoff(turns)

    async def publish(self, events: Sequence[Event]) -> bool:
        """Return True when each is committed or heard by no hook, False when it is not our turn any more."""
        waiting = list(events)
        while waiting:
            left = await self._offer(waiting[:AT_ONCE])
            waiting = left + waiting[AT_ONCE:]
            if not left:
                self._backoff.reset()
                continue
            await self._backoff.failed()
            if not self._gate.is_open():
                return False
        return True

    async def _offer(self, events: list[Event]) -> list[Event]:
        """Offer all and wait for all; return those that were not taken."""
        offered: list[tuple[Event, Future[Receipt]]] = []
        left: list[Event] = []
        why = ""
        for event in events:
            try:
                future = self._publish(event)
            except QueueError as error:
                left.append(event)
                why = str(error)
            else:
                offered += [(event, future)] if future is not None else []
        if offered:
            # Waited for like this, a cancelled future does not cancel us, and we do not cancel the queue's.
            await asyncio.wait([future for _, future in offered])
        for event, future in offered:
            refused = _refused(future)
            if refused is not None:
                left.append(event)
                why = refused
        if left:
            # One line for all of them: a store that is full refuses hundreds at every try.
            _log.warning("events_not_accepted", source=left[0].source, events=len(left), error=why)
        return left


def _refused(future: "Future[Receipt]") -> str | None:
    """Say why an event was not taken, None where it was; raises what is a bug."""
    if future.cancelled():
        return "the store was closed"
    try:
        future.result()
    except QueueError as error:
        return str(error)
    return None

"""What every poller has in common: its gate, its notes, its errors, its state.

======================  ============================================================================
a poll                  then
======================  ============================================================================
done, or only waited    the next one
``AdminApiError``       counted ``unanswered``, logged at the first in a row; a pause that grows
another of our errors   counted ``failed`` (a store that refuses a note), the same
anything else           counted ``bug``, logged; the same: a poller never ends by itself
======================  ============================================================================
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

from kong_eventhooks_plugin.errors import AdminApiError, EventHooksError
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient
from kong_eventhooks_plugin.model.kong_node import NodeIdentity
from kong_eventhooks_plugin.queue.contract import Publish
from kong_eventhooks_plugin.sources.pollers.checkpoint import Notes
from kong_eventhooks_plugin.sources.pollers.leader_gate import CLOSED_POLL_SECONDS, Backoff, LeaderGate
from kong_eventhooks_plugin.sources.pollers.publisher import Publisher
from kong_eventhooks_plugin.telemetry.metrics import Counts
from kong_eventhooks_plugin.telemetry.raised import bug_text

_log = structlog.get_logger()


class PollerContext(NamedTuple):
    """What pollers share. ``clock`` returns Unix seconds, ``monotonic`` those of a stopwatch."""

    client: AdminClient
    notes: Notes
    publish: Publish
    counts: Counts
    node: NodeIdentity
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class Poller(ABC):
    """A subclass defines how to ``load`` its notes and what a ``poll`` is."""

    def __init__(self, name: str, context: PollerContext, gate: LeaderGate) -> None:
        self._name = name
        self._client = context.client
        self._notes = context.notes
        self._publisher = Publisher(context.publish, gate)
        self._counts = context.counts
        self._clock = context.clock
        self._monotonic = context.monotonic
        self._gate = gate
        self._backoff = Backoff(gate)
        self._error: str | None = None
        self._suspended = True
        self._loaded = False
        self._term = 0

    async def run(self) -> None:
        while True:
            term = self._gate.term()
            if term != self._term and not self._suspended:
                self._suspend()
            self._term = term
            if term:
                self._suspended = False
                await self._try()
            else:
                await self._gate.pause(CLOSED_POLL_SECONDS)

    @abstractmethod
    async def load(self) -> bool:
        """Read the notes, before the first poll; False where the gate closed meanwhile."""

    @abstractmethod
    async def poll(self) -> bool:
        """Poll once; False where there was only waiting to do, which says nothing of Kong."""

    def forget(self) -> None:  # noqa: B027 - a poller whose whole state is in its notes has nothing to forget
        """Drop the state; the notes are loaded again when the gate opens."""

    def state(self) -> dict[str, Any]:
        """Return what /readyz shows: ``idle_reason`` why it does not poll, ``error`` why the last poll failed."""
        return {"idle_reason": self._gate.closed_reason(), "error": self._error}

    def errors(self) -> list[str]:
        return [] if self._error is None else [self._error]

    def count(self, outcome: str, times: int = 1) -> None:
        if times:
            self._counts.polls[self._name, outcome] += times

    def _suspend(self) -> None:
        self._loaded = False  # another process may change the notes
        self.forget()
        self._suspended = True
        self._error = None  # nothing would ever clear it
        self._backoff.reset()

    async def _try(self) -> None:
        try:
            self._loaded = self._loaded or await self.load()
            answered = self._loaded and await self.poll()
        except AdminApiError as error:
            await self._failed("unanswered", str(error))
        except EventHooksError as error:
            await self._failed("failed", str(error))
        except Exception as error:  # noqa: BLE001 - a bug in one poll must not end all later ones
            await self._failed("bug", bug_text(error))
        else:
            if answered:
                self._backoff.reset()
                if self._error is not None:
                    _log.info("poll_recovered", poller=self._name)
                self._error = None

    async def _failed(self, outcome: str, error: str) -> None:
        self.count(outcome)
        if self._error is None:
            _log.warning("poll_failed", poller=self._name, outcome=outcome, error=error)
        self._error = error
        await self._backoff.failed()

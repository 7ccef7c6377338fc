"""What every loop that looks at Kong by itself has in common: its turn, its failures, what it says of itself.

======================  ============================================================================
a piece of work         then
======================  ============================================================================
done, or only waited    the next one
``AdminApiError``       counted ``unanswered``, logged at the first in a row; a pause that grows
another of our errors   counted ``failed`` (a store that does not take a note), the same
anything else           counted ``bug``, logged; the same: a loop never ends by itself
======================  ============================================================================
"""

from typing import Any

import structlog

from kong_eventhooks_plugin.errors import AdminApiError, EventHooksError
from kong_eventhooks_plugin.observing.turns import ASLEEP_SECONDS, Backoff, Turns
from kong_eventhooks_plugin.raised import raised_at
from kong_eventhooks_plugin.telemetry import Counts

_log = structlog.get_logger()


class Looking:
    """A loop called ``name``; a kind of it says what ``work`` is and what it is to ``forget``."""

    def __init__(self, name: str, turns: Turns, counts: Counts) -> None:
        self._name = name
        self._turns = turns
        self._counts = counts
        self._backoff = Backoff(turns)
        self._error: str | None = None
        self._asleep = True

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            if self._turns.ours():
                self._asleep = False
                await self._try()
            else:
                if not self._asleep:
                    self._fall_asleep()
                await self._turns.pause(ASLEEP_SECONDS)

    async def work(self) -> bool:
        """Do one piece of work; False where there was only waiting to do, so that nothing is known of Kong."""
        raise NotImplementedError

    def forget(self) -> None:
        """Know nothing any more: it is not our turn, and another process may change the notes."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return what /readyz shows: ``asleep`` why nothing is looked at, ``error`` why the last look failed."""
        return {"asleep": self._turns.why_not(), "error": self._error}

    def troubles(self) -> list[str]:
        """Return what needs a person; nothing while it sleeps."""
        return [] if self._error is None else [self._error]

    def count(self, outcome: str, times: int = 1) -> None:
        """Count looks by what came of them."""
        if times:
            self._counts.looks[self._name, outcome] += times

    def _fall_asleep(self) -> None:
        self.forget()
        self._asleep = True
        self._error = None  # nobody would ever find out that it is over
        self._backoff.worked()

    async def _try(self) -> None:
        try:
            answered = await self.work()
        except AdminApiError as error:
            await self._failed("unanswered", str(error))
        except EventHooksError as error:
            await self._failed("failed", str(error))
        except Exception as error:  # noqa: BLE001 - a bug in one look must not end all later ones
            await self._failed("bug", f"{type(error).__name__} raised in {raised_at(error)}")
        else:
            if answered:
                self._backoff.worked()
                if self._error is not None:
                    _log.info("a look at Kong works again", look=self._name)
                self._error = None

    async def _failed(self, outcome: str, error: str) -> None:
        self.count(outcome)
        if self._error is None:
            _log.warning("a look at Kong failed, trying again", look=self._name, outcome=outcome, error=error)
        self._error = error
        await self._backoff.failed()

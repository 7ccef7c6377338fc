"""Rounds: everything is listed, compared with the mirror, and what differs is told.

=====================================  =========================================================================
a round begins                         every ``interval``; at once when triggered; sooner after one that failed
without a database                     only where ``/status``'s configuration_hash is not that of the last complete
                                       round, or when triggered
it moves during the round              the round starts over: nothing is judged on lists of two configurations
a list is not complete                 its schema is not judged; the others are (``asking`` says what is asked)
all lists are there                    after ``grace`` seconds, in which observations of the route that are on
                                       their way arrive, the difference is judged (``conclusion``)
the process does not lead (any more)   no page is asked for, nothing is judged
=====================================  =========================================================================

Limits: those of ``asking`` and ``conclusion``; ``RESTARTS`` times that a round starts over before it waits for the next
interval. In memory there is one page at a time; what differs is on disk (``findings``).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, NamedTuple

import msgspec
import structlog

from kong_eventhooks_plugin.errors import EventHooksError
from kong_eventhooks_plugin.sources.changes.lister import Client, Lister, Pace, SchemaLookup, is_refusal
from kong_eventhooks_plugin.sources.changes.mirror.applier import Applier
from kong_eventhooks_plugin.sources.changes.mirror.mirror import Mirror
from kong_eventhooks_plugin.sources.changes.mirror.scan import Scan
from kong_eventhooks_plugin.telemetry.metrics import Tally

RESTARTS: Final = 3
LEADER_POLL_SECONDS: Final = 1.0
"""How often a process that does not lead looks whether it does."""
RETRY_SECONDS: Final = 1.0
"""After a round that was not completed, twice as long after each more, ``interval`` at most. The first round ever
should come soon after Kong does: what changes before it is not told."""

Outcome = Literal["done", "same", "moved", "failed", "overtaken"]
"""``same``: the configuration_hash did not move; ``moved``: it did not stop moving; ``overtaken``: no lead any more."""

_COMPLETE: Final[frozenset[Outcome]] = frozenset({"done", "same"})

log = structlog.get_logger()


class ReconcilerSettings(msgspec.Struct, frozen=True):
    """``interval`` and ``grace`` in seconds; the pause after a page is its own time times ``pause_factor``.

    ``admin_url`` and ``workspaces`` (empty: all) say whose mirror it is: with others a new one is begun.
    """

    admin_url: str
    workspaces: tuple[str, ...] = ()
    interval: float = 60.0
    page_size: int = 100
    pause_factor: float = 2.0
    grace: float = 2.0


class ReconcilerState(msgspec.Struct, frozen=True):
    """For /readyz. Times are Unix seconds, None where there was none yet.

    ``ended_at``, ``seconds`` and ``entities`` (by schema) are the last complete round's; ``skipped_lists`` is
    path -> reason, of the last round; ``pending`` differences are not applied yet; ``outbox`` changes are not published
    yet; ``error`` says why the last round failed.
    """

    ended_at: float | None = None
    seconds: float | None = None
    entities: Mapping[str, int] = {}
    skipped_lists: Mapping[str, str] = {}
    pending: int = 0
    outbox: int = 0
    error: str | None = None


DROPPED: Final = "dropped"


class ReconcilerCounts(NamedTuple):
    """Since the start: rounds by outcome, and what became of differences.

    That is ``create``, ``update`` or ``delete`` where they were told, or ``dropped``: not judged, since the route
    touched the entity.
    """

    reconciliations: Tally[tuple[str]]
    differences: Tally[tuple[str]]


class _LostLeadership(Exception):
    """Another process leads."""


class _ConfigurationChanged(Exception):
    """The configuration is another one than at the beginning."""


class Reconciler:
    """``leads`` says whether this process may run rounds; ``news`` is called when a round put something to be told.

    ``clock`` gives Unix seconds, ``timer`` seconds for durations.
    """

    def __init__(
        self,
        mirror: Mirror,
        client: Client,
        knowledge: SchemaLookup,
        settings: ReconcilerSettings,
        *,
        leads: Callable[[], bool] = lambda: True,
        news: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        counts: ReconcilerCounts | None = None,
    ) -> None:
        self._mirror = mirror
        self._client = client
        self._knowledge = knowledge
        self._settings = settings
        self._leads = leads
        self._on_pending = news
        self._clock = clock
        self._timer = timer
        self._sleep = sleep
        self._triggered = asyncio.Event()
        self._pending = 0
        self._state = ReconcilerState()
        self._logged: dict[str, str] = {}
        self.counts = counts or ReconcilerCounts(Tally(), Tally())

    async def run(self) -> None:
        """Run rounds until cancelled: one at once, then every interval, and when triggered."""
        failures, owed = 0, False
        while True:
            if not self._leads():
                await self._sleep(LEADER_POLL_SECONDS)
                continue
            triggered = owed or self._triggered.is_set()
            self._triggered.clear()
            complete = await self.run_once(triggered=triggered) in _COMPLETE
            failures, owed = (0, False) if complete else (failures + 1, triggered)
            await self._wait(self._settings.interval if complete else RETRY_SECONDS * 2 ** min(failures - 1, 16))

    def trigger(self) -> None:
        """Ask for a round at once, without a database too. Never waits."""
        self._triggered.set()

    def state(self) -> ReconcilerState:
        """Return how it stands."""
        return msgspec.structs.replace(self._state, pending=self._pending, outbox=self._mirror.waiting)

    async def run_once(self, *, triggered: bool = True) -> Outcome:
        """Run one round, if there is reason to; what goes wrong is in ``state`` and the log, and not raised."""
        began = self._timer()
        skipped: dict[str, str] = {}
        error: str | None = None
        try:
            outcome = await self._reconcile(skipped, triggered=triggered)
        except EventHooksError as failure:
            outcome, error = "failed", str(failure)
        except _ConfigurationChanged:
            outcome, error = "moved", "the configuration did not stop changing"
        except _LostLeadership:
            outcome = "overtaken"
        seconds = self._timer() - began
        self.counts.reconciliations[outcome,] += 1
        self._report(outcome, seconds, skipped, error)
        return outcome

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(min(seconds, self._settings.interval)):
                await self._triggered.wait()
        except TimeoutError:
            return

    # one round

    async def _reconcile(self, skipped: dict[str, str], *, triggered: bool) -> Outcome:
        configuration = await self._configuration_hash()
        if configuration is not None and not triggered and configuration == await self._mirror.configuration_hash():
            return "same"
        await self._knowledge.refresh()
        for _ in range(RESTARTS + 1):
            skipped.clear()
            began = self._clock()
            listing = await self._mirror.begin(self._origin(), self._settings.grace)
            try:
                schemas = await self._lister(listing, skipped).everything(self._settings.workspaces)
                now = await self._configuration_hash()
                if now == configuration:
                    await self._apply(listing, schemas, began, configuration, skipped)
                    return "done"
                configuration = now
            finally:
                self._pending = 0
                await self._mirror.end(listing)
        raise _ConfigurationChanged

    def _origin(self) -> str:
        return "\n".join((self._settings.admin_url, *sorted(self._settings.workspaces)))

    async def _configuration_hash(self) -> str | None:
        """Return the node's, None where it has a database."""
        status = await self._client.get("/status")
        found = status.get("configuration_hash")
        return found if isinstance(found, str) else None

    async def _apply(
        self,
        listing: Scan,
        schemas: list[str],
        began: float,
        configuration: str | None,
        skipped: dict[str, str],
    ) -> None:
        self._pending = listing.pending
        await self._sleep(self._settings.grace)
        conclusion = await self._mirror.conclude(
            listing, schemas, ids_stable=configuration is None, go_on=self._may_continue
        )
        if conclusion is None:
            raise _LostLeadership
        unfinished = conclusion.dropped > 0 or listing.failed
        await self._mirror.finish(began, None if unfinished else configuration)
        self._count(conclusion)
        self._state = ReconcilerState(
            ended_at=self._clock(), entities=dict(listing.entities), skipped_lists=dict(skipped)
        )

    def _lister(self, listing: Scan, skipped: dict[str, str]) -> Lister:
        pace = Pace(self._settings.page_size, self._settings.pause_factor, self._clock, self._timer, self._sleep)
        return Lister(self._mirror, self._client, self._knowledge, pace, listing, skipped, self._check_lead)

    def _check_lead(self) -> None:
        if not self._leads():
            raise _LostLeadership

    def _may_continue(self) -> bool:
        """Say between two transactions whether there may be another, and that there may be something to tell."""
        if self._mirror.waiting:
            self._on_pending()
        return self._leads()

    def _count(self, conclusion: Applier) -> None:
        for operation, count in conclusion.published.items():
            self.counts.differences[operation] += count
        if conclusion.dropped:
            self.counts.differences[DROPPED,] += conclusion.dropped
        if self._mirror.waiting:
            self._on_pending()

    def _report(self, outcome: Outcome, seconds: float, skipped: dict[str, str], error: str | None) -> None:
        done = {"seconds": seconds} if outcome == "done" else {}
        changes = {"skipped_lists": skipped} if outcome != "same" else {}
        self._state = msgspec.structs.replace(self._state, error=error, **done, **changes)
        now = {**skipped, **({"": error} if error else {})}
        if outcome != "same":
            for path, why in now.items():
                if self._logged.get(path) == why:
                    continue
                if not path:
                    log.warning("reconciliation_failed", error=why)
                else:
                    # A feature that is off, or an entity of another edition, is nothing to look at.
                    (log.info if is_refusal(why) else log.warning)("list_skipped", path=path, error=why)
            if "" in self._logged and "" not in now:
                log.info("reconciliation_recovered")
            self._logged = now
        log.debug(
            "reconciliation_finished",
            outcome=outcome,
            seconds=round(seconds, 3),
            entities=sum(self._state.entities.values()),
        )

"""Lists everything, compares it with the mirror, and reports what differs.

=====================================  =========================================================================
a reconciliation starts                every ``interval``; at once when triggered; sooner after one that failed
without a database                     only where ``/status``'s configuration_hash is not that of the last complete
                                       reconciliation, or when triggered
the hash changes meanwhile             it starts over: nothing is applied from lists of two configurations
a list is not complete                 its schema is skipped; the others are applied (``lister``)
all lists are complete                 the differences are applied (``mirror.applier``) after ``grace`` seconds, in
                                       which observations of the route that are on their way arrive
the process does not lead (any more)   no page is requested, nothing is applied
=====================================  =========================================================================

Limits: those of ``lister`` and ``mirror.applier``; ``RESTARTS`` times that a reconciliation starts over before it waits
for the next interval. Memory holds one page at a time; differences are on disk (``mirror.differences``).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

import msgspec
import structlog

from kong_eventhooks_plugin.background import is_set_within
from kong_eventhooks_plugin.errors import EventHooksError
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient
from kong_eventhooks_plugin.kong.admin_api.schema_cache import SchemaCache
from kong_eventhooks_plugin.settings import DEFAULTS
from kong_eventhooks_plugin.sources.changes.lister import Lister, Pace, is_refusal
from kong_eventhooks_plugin.sources.changes.mirror.applier import Applier
from kong_eventhooks_plugin.sources.changes.mirror.mirror import Mirror
from kong_eventhooks_plugin.sources.changes.mirror.scan import Scan
from kong_eventhooks_plugin.telemetry.metrics import Counts

RESTARTS: Final = 3
LEADER_POLL_SECONDS: Final = 1.0
"""How often a process that does not lead checks whether it does."""
RETRY_SECONDS: Final = 1.0
"""After a failure, twice as long after each more, ``interval`` at most. The first reconciliation ever should come soon
after Kong does: what changes before it is not reported."""

Outcome = Literal["done", "same", "moved", "failed", "lost_leadership"]
"""``same``: the configuration_hash did not change; ``moved``: it did not stop changing; ``lost_leadership``: another
process leads now."""

_COMPLETE: Final[frozenset[Outcome]] = frozenset({"done", "same"})

log = structlog.get_logger()


class ReconcilerSettings(msgspec.Struct, frozen=True):
    """``interval`` and ``grace`` in seconds; the pause after a page is its own time times ``pause_factor``.

    ``admin_url`` and ``workspaces`` (empty: all) say whose mirror it is: others start a new one.
    """

    admin_url: str
    workspaces: tuple[str, ...] = ()
    interval: float = DEFAULTS.crud_reconcile_seconds
    page_size: int = DEFAULTS.admin_page_size
    pause_factor: float = DEFAULTS.admin_pause_factor
    grace: float = DEFAULTS.crud_grace_seconds


class ReconcilerState(msgspec.Struct, frozen=True):
    """For /readyz. Times are Unix seconds, None where there was none yet.

    ``ended_at``, ``seconds`` and ``entities`` (by schema) are the last complete reconciliation's; ``skipped_lists`` is
    path -> reason, of the last one; ``pending`` differences are not applied yet; ``outbox`` changes are not published
    yet; ``error`` says why the last one failed.
    """

    ended_at: float | None = None
    seconds: float | None = None
    entities: Mapping[str, int] = {}
    skipped_lists: Mapping[str, str] = {}
    pending: int = 0
    outbox: int = 0
    error: str | None = None


class _LostLeadership(Exception):
    pass


class _ConfigurationChanged(Exception):
    pass


class Reconciler:
    """``leads`` says whether this process may reconcile; ``on_pending`` is called when the outbox received a change.

    ``clock`` gives Unix seconds, ``timer`` seconds for durations.
    """

    def __init__(
        self,
        mirror: Mirror,
        client: AdminClient,
        schema_cache: SchemaCache,
        settings: ReconcilerSettings,
        *,
        leads: Callable[[], bool] = lambda: True,
        on_pending: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        counts: Counts | None = None,
    ) -> None:
        self._mirror = mirror
        self._client = client
        self._schema_cache = schema_cache
        self._settings = settings
        self._leads = leads
        self._on_pending = on_pending
        self._clock = clock
        self._timer = timer
        self._sleep = sleep
        self._triggered = asyncio.Event()
        self._pending = 0
        self._state = ReconcilerState()
        self._logged: dict[str, str] = {}
        self.counts = counts or Counts()

    async def run(self) -> None:
        """Reconcile until cancelled: at once, then every interval, and when triggered."""
        failures, owed = 0, False
        while True:
            if not self._leads():
                await self._sleep(LEADER_POLL_SECONDS)
                continue
            triggered = owed or self._triggered.is_set()
            self._triggered.clear()
            complete = await self.run_once(triggered=triggered) in _COMPLETE
            failures, owed = (0, False) if complete else (failures + 1, triggered)
            pause = self._settings.interval if complete else RETRY_SECONDS * 2 ** min(failures - 1, 16)
            await is_set_within(self._triggered, min(pause, self._settings.interval))

    def trigger(self) -> None:
        """Have a reconciliation start at once, without a database too. Never waits."""
        self._triggered.set()

    def state(self) -> ReconcilerState:
        return msgspec.structs.replace(self._state, pending=self._pending, outbox=self._mirror.outbox_size)

    async def run_once(self, *, triggered: bool = True) -> Outcome:
        """Reconcile, if there is reason to; what goes wrong is in ``state`` and the log, and not raised."""
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
            outcome = "lost_leadership"
        seconds = self._timer() - began
        self.counts.reconciliations[outcome,] += 1
        self._report(outcome, seconds, skipped, error)
        return outcome

    async def _reconcile(self, skipped: dict[str, str], *, triggered: bool) -> Outcome:
        configuration = await self._configuration_hash()
        if configuration is not None and not triggered and configuration == await self._mirror.configuration_hash():
            return "same"
        await self._schema_cache.refresh()
        for _ in range(RESTARTS + 1):
            skipped.clear()
            began = self._clock()
            scan = await self._mirror.begin(self._origin(), self._settings.grace)
            try:
                schemas = await self._lister(scan, skipped).everything(self._settings.workspaces)
                now = await self._configuration_hash()
                if now == configuration:
                    await self._apply(scan, schemas, began, configuration, skipped)
                    return "done"
                configuration = now
            finally:
                self._pending = 0
                await self._mirror.end(scan)
        raise _ConfigurationChanged

    def _origin(self) -> str:
        return "\n".join((self._settings.admin_url, *sorted(self._settings.workspaces)))

    async def _configuration_hash(self) -> str | None:
        """Return the node's, None where it has a database."""
        status = await self._client.get("/status")
        found = status.get("configuration_hash")
        return found if isinstance(found, str) else None

    async def _apply(
        self, scan: Scan, schemas: list[str], began: float, configuration: str | None, skipped: dict[str, str]
    ) -> None:
        self._pending = scan.pending
        await self._sleep(self._settings.grace)
        applier = await self._mirror.apply_scan(
            scan, schemas, configuration=configuration, may_continue=self._may_continue
        )
        if applier is None:
            raise _LostLeadership
        unfinished = applier.dropped > 0 or scan.failed
        await self._mirror.finish(began, None if unfinished else configuration)
        self._count(applier)
        self._state = ReconcilerState(ended_at=self._clock(), entities=dict(scan.entities), skipped_lists=dict(skipped))

    def _lister(self, scan: Scan, skipped: dict[str, str]) -> Lister:
        pace = Pace(self._settings.page_size, self._settings.pause_factor, self._clock, self._timer, self._sleep)
        return Lister(self._mirror, self._client, self._schema_cache, pace, scan, skipped, self._check_lead)

    def _check_lead(self) -> None:
        if not self._leads():
            raise _LostLeadership

    def _may_continue(self) -> bool:
        """Return whether another transaction may follow, and have what is in the outbox published."""
        if self._mirror.outbox_size:
            self._on_pending()
        return self._leads()

    def _count(self, applier: Applier) -> None:
        for operation, count in applier.published.items():
            self.counts.reconciled_changes[operation] += count
        if applier.dropped:  # the route touched the entity
            self.counts.reconciled_changes["dropped",] += applier.dropped
        if self._mirror.outbox_size:
            self._on_pending()

    def _report(self, outcome: Outcome, seconds: float, skipped: dict[str, str], error: str | None) -> None:
        done = {"seconds": seconds} if outcome == "done" else {}
        changes = {"skipped_lists": skipped} if outcome != "same" else {}
        self._state = msgspec.structs.replace(self._state, error=error, **done, **changes)
        if outcome != "same":
            self._log_changed({**skipped, **({"": error} if error else {})})
        log.debug(
            "reconciliation_finished",
            outcome=outcome,
            seconds=round(seconds, 3),
            entities=sum(self._state.entities.values()),
        )

    def _log_changed(self, errors: dict[str, str]) -> None:
        """Log what was not so the last time; ``""`` is the reconciliation itself, the other keys are skipped lists."""
        for path, why in errors.items():
            if self._logged.get(path) == why:
                continue
            if not path:
                log.warning("reconciliation_failed", error=why)
            else:
                # A feature that is off, or an entity of another edition, needs nobody's attention.
                (log.info if is_refusal(why) else log.warning)("list_skipped", path=path, error=why)
        if "" in self._logged and "" not in errors:
            log.info("reconciliation_recovered")
        self._logged = errors

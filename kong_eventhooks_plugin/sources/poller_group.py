"""All that looks at Kong by itself, put together: one client of the Admin API, one file of what is known, four loops.

It needs the Admin API's address. Without one there is nothing of this, and hooks on its sources stay silent:
``hooks_without_admin_api`` says so in /readyz.

Limits: the file ``gateway.db`` is opened again every ``RETRY_SECONDS`` where it cannot be; until then nothing is looked
at, which is a fault, and what the Admin API's route sees waits within the limits of ``crud_waiting``. Loops that end by
a bug are begun again after ``RETRY_SECONDS``; that is a fault for ``RECENT_SECONDS``.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final

import msgspec
import structlog

from kong_eventhooks_plugin.errors import EventHooksError
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient
from kong_eventhooks_plugin.kong.admin_api.schema_cache import SchemaCache
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sources.catalogue import BY_NAME, SOURCES
from kong_eventhooks_plugin.sources.changes.events import CRUD
from kong_eventhooks_plugin.sources.changes.mirror.key import mirror_key
from kong_eventhooks_plugin.sources.changes.mirror.mirror import Mirror
from kong_eventhooks_plugin.sources.changes.observer import ChangeObserver, subscribes_to_changes
from kong_eventhooks_plugin.sources.changes.problems import change_errors
from kong_eventhooks_plugin.sources.changes.reconciler import Reconciler, ReconcilerCounts, ReconcilerSettings
from kong_eventhooks_plugin.sources.pollers.leader_gate import LeaderGate
from kong_eventhooks_plugin.sources.pollers.poller import Poller, PollerContext
from kong_eventhooks_plugin.sources.pollers.publisher import Publish
from kong_eventhooks_plugin.sources.pollers.subscribers import has_subscribers
from kong_eventhooks_plugin.storage.notes import NoteStore
from kong_eventhooks_plugin.telemetry.metrics import Counts
from kong_eventhooks_plugin.telemetry.raised import raised_at

DATABASE: Final = "gateway.db"
RETRY_SECONDS: Final = 1.0
RECENT_SECONDS: Final = 300.0

Hooks = Callable[[], Iterable[Hook]]

log = structlog.get_logger()


class PollerGroupSettings(msgspec.Struct, frozen=True):
    """``pollers`` are the pollers' settings by source; ``reveal`` names secret fields to show all the same."""

    data_dir: Path
    reconciler: ReconcilerSettings
    pollers: Mapping[str, Any] = {}
    reveal: tuple[str, ...] = ()


class PollerGroup:
    """See the file's head. ``crud`` takes what the Admin API's route sees; ``run`` goes on until cancelled.

    ``hooks`` gives those in force, ``leads`` tells whether this process may poll.
    """

    def __init__(
        self,
        client: AdminClient,
        settings: PollerGroupSettings,
        publish: Publish,
        hooks: Hooks,
        counts: Counts,
        leads: Callable[[], bool],
    ) -> None:
        self._client = client
        self._hooks = hooks
        file = settings.data_dir / DATABASE
        self._notes = NoteStore(file)
        self._knowledge = SchemaCache(client, self._notes, partial(mirror_key, settings.data_dir), settings.reveal)
        self._mirror = Mirror(file, self._knowledge.entities)
        self._open_error: str | None = None
        self._last_crash: tuple[float, str] | None = None
        tallies = ReconcilerCounts(counts.reconciliations, counts.reconciled_changes)
        rounds = Reconciler(
            self._mirror,
            client,
            self._knowledge,
            settings.reconciler,
            leads=leads,
            news=self._on_pending,
            counts=tallies,
        )
        self.crud = ChangeObserver(self._knowledge, self._mirror, rounds, publish, counts, leads=leads)

        context = PollerContext(client, self._notes, publish, counts)
        self._pollers: dict[str, Poller] = {}
        for source in SOURCES:
            if source.poller is not None:
                kind = resolve_name(f"{__package__}.{source.poller}")
                gate = LeaderGate(leads, partial(self._is_wanted, source.name))
                self._pollers[source.name] = kind(context, gate, settings.pollers.get(source.name))

    def hooks_changed(self, _: object = None) -> None:
        """Look anew whether somebody hears of changes."""
        self.crud.set_wanted(subscribes_to_changes(self._hooks()))

    def _is_wanted(self, source: str) -> bool:
        return has_subscribers(self._hooks(), source)

    async def run(self) -> None:
        """Open what is known, then look."""
        await self._open()
        self.hooks_changed()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._supervised(self.crud.run))
            for watch in self._pollers.values():
                tasks.create_task(self._supervised(watch.run))

    async def close(self) -> None:
        """Let the file go; what goes wrong with that is logged, and not raised: others have to be ended as well."""
        for part in (self._mirror, self._notes, self._client):
            try:
                await part.close()
            except Exception as error:  # noqa: BLE001 - as said
                log.warning("part_close_failed", part=type(part).__name__, error=type(error).__name__)

    def state(self) -> dict[str, Any]:
        """Return what /readyz shows."""
        return {CRUD: msgspec.to_builtins(self.crud.state()), **{n: w.state() for n, w in self._pollers.items()}}

    def errors(self) -> list[str]:
        """Return what needs a person."""
        found = [] if self._open_error is None else [f"{DATABASE} cannot be opened: {self._open_error}"]
        if self._last_crash is not None and time.monotonic() - self._last_crash[0] < RECENT_SECONDS:
            found.append(self._last_crash[1])
        found += change_errors(self.crud.state(), self._knowledge.endpoints(), self._hooks())
        return found + [f"{name}: {trouble}" for name, watch in self._pollers.items() for trouble in watch.errors()]

    async def _supervised(self, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a loop until cancelled; one that ends by a bug is begun again, and takes no other along."""
        while True:
            # In a task of its own: a group of tasks that trips swallows the word to end.
            loop = asyncio.create_task(run())
            try:
                await asyncio.wait([loop])
            finally:
                loop.cancel()
                await asyncio.wait([loop])
                if not loop.cancelled() and (error := loop.exception()) is not None:
                    self._record_crash(error)
            await asyncio.sleep(RETRY_SECONDS)

    def _record_crash(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        place, kind = raised_at(error), type(error).__name__
        self._last_crash = (
            time.monotonic(),
            f"a poller crashed ({kind} raised in {place}) and restarts",
        )
        log.error("poller_crashed", error=kind, raised_at=place)

    def _on_pending(self) -> None:
        self.crud.wake()

    async def _open(self) -> None:
        said = False
        while True:
            try:
                await self._notes.open()
                await self._mirror.open()
                await self._knowledge.open()
                break
            except (EventHooksError, OSError) as error:
                self._open_error = str(error)
                if not said:
                    log.error("gateway_store_open_failed", error=self._open_error)
                    said = True
                await asyncio.sleep(RETRY_SECONDS)
        self._open_error = None


def hooks_without_admin_api(hooks: Iterable[Hook]) -> Iterator[str]:
    """Yield what to say of hooks that nothing is heard for where no Admin API is known."""
    for hook in hooks:
        if hook.enabled and (entry := BY_NAME.get(hook.source)) is not None and entry.needs_admin_api:
            yield f"{hook.name}: the source {hook.source} needs the setting admin_url; the hook never fires"

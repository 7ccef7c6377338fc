"""The pollers of Kong's Admin API, with the file that keeps their state.

Where nodes share a store, each node reads its own Kong for changes and for whether it can be reached: a change has the
same id whoever finds it (``changes.mirror.identity``). What must be found once is polled by one of the nodes that have
an Admin API, and its state is in the store (``pollers.poll_leases``, ``pollers.shared_notes``); one of them names the
changes that nodes without an Admin API saw (``changes.forwarded``).

They need the setting ``admin_url``. Without it none of them runs, and hooks on their sources fire only where another
node polls for them: ``hooks_without_admin_api`` reports in /readyz where none does.

Limits: opening the file ``gateway.db`` is retried for ever; until then nothing is polled,
which is an error in /readyz, and what the Admin API's route sees waits within the limits of its queue. A loop that
crashes starts again; /readyz shows that for a while (``background.SupervisedLoop``).
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from kong_eventhooks_plugin.background import SupervisedLoop, retry
from kong_eventhooks_plugin.errors import EventHooksError
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient
from kong_eventhooks_plugin.kong.admin_api.schema_cache import SchemaCache
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.kong_node import NodeIdentity
from kong_eventhooks_plugin.queue.contract import Publish
from kong_eventhooks_plugin.queue.polling import SharedPolling
from kong_eventhooks_plugin.sources.catalogue import BY_NAME, SOURCES, matching_sources
from kong_eventhooks_plugin.sources.changes.catalogue import CRUD, DAO_CRUD
from kong_eventhooks_plugin.sources.changes.errors import change_errors
from kong_eventhooks_plugin.sources.changes.forwarded import ForwardedChanges
from kong_eventhooks_plugin.sources.changes.mirror.key import mirror_key
from kong_eventhooks_plugin.sources.changes.mirror.mirror import REMEMBER_SECONDS, Mirror
from kong_eventhooks_plugin.sources.changes.observer import ChangeObserver
from kong_eventhooks_plugin.sources.changes.reconciler import Reconciler, ReconcilerSettings
from kong_eventhooks_plugin.sources.pollers.leader_gate import LeaderGate
from kong_eventhooks_plugin.sources.pollers.poll_leases import PollLeases
from kong_eventhooks_plugin.sources.pollers.poller import Poller, PollerContext
from kong_eventhooks_plugin.sources.pollers.shared_notes import SharedNotes
from kong_eventhooks_plugin.storage.notes import NoteStore
from kong_eventhooks_plugin.telemetry.metrics import Counts

DATABASE: Final = "gateway.db"

Hooks = Callable[[], Iterable[Hook]]
Polled = Callable[[Hook, str], bool]
"""Says whether another node polls a source, and has the hook."""

log = structlog.get_logger()


class PollerGroupSettings(msgspec.Struct, frozen=True):
    """``pollers`` are the pollers' settings by source; ``reveal`` names secret fields to show all the same.

    ``remember``: see ``changes.mirror``.
    """

    data_dir: Path
    reconciler: ReconcilerSettings
    pollers: Mapping[str, Any] = {}
    reveal: tuple[str, ...] = ()
    remember: float = REMEMBER_SECONDS


class PollingCluster(NamedTuple):
    """The nodes that share a store: what they share, and our ``process`` and ``node`` among them.

    ``on_forwarded`` takes what is to be called when changes have been forwarded; ``is_open`` is set when the store is.
    """

    shared: SharedPolling
    process: str
    node: str
    on_forwarded: Callable[[Callable[[], None]], None]
    is_open: asyncio.Event


class PollerGroup:
    """``crud`` takes what the Admin API's route sees; ``run`` ends when cancelled.

    ``hooks`` returns those in force, ``leads`` whether this process may poll. ``cluster`` is there where nodes share a
    store.
    """

    def __init__(
        self,
        client: AdminClient,
        settings: PollerGroupSettings,
        publish: Publish,
        hooks: Hooks,
        counts: Counts,
        leads: Callable[[], bool],
        node: NodeIdentity | None = None,
        cluster: PollingCluster | None = None,
    ) -> None:
        self._client = client
        self._hooks = hooks
        file = settings.data_dir / DATABASE
        self._notes = NoteStore(file)
        self._schema_cache = SchemaCache(client, self._notes, partial(mirror_key, settings.data_dir), settings.reveal)
        self._mirror = Mirror(file, self._schema_cache.entities, remember=settings.remember)
        self._open_error: str | None = None
        reconciler = Reconciler(
            self._mirror,
            client,
            self._schema_cache,
            settings.reconciler,
            leads=leads,
            on_pending=lambda: self.crud.wake(),
            counts=counts,
        )
        self.crud = ChangeObserver(self._schema_cache, self._mirror, reconciler, publish, counts, leads=leads)
        context = PollerContext(client, self._notes, publish, counts, node or NodeIdentity())
        self._leases: PollLeases | None = None
        if cluster is not None:
            self._leases = PollLeases(cluster.shared, cluster.process, cluster.node, leads, cluster.is_open)
        self._forwarded: ForwardedChanges | None = None
        if cluster is not None and self._leases is not None:
            term = self._leases.add(CRUD, lambda: self.crud.has_change_subscribers)
            self._forwarded = ForwardedChanges(cluster.shared, term, client, self._schema_cache, self.crud)
            cluster.on_forwarded(self._forwarded.wake)
        self._pollers: dict[str, Poller] = {}
        for source in SOURCES:
            if source.poller is not None:
                kind = resolve_name(f"{__package__}.{source.poller}")
                wanted, notes = partial(self._is_wanted, source.name), context.notes
                polls: Callable[[], int] = leads
                if cluster is not None and self._leases is not None and not source.on_each_node:
                    polls = self._leases.add(source.name, wanted)
                    notes = SharedNotes(cluster.shared, source.name, polls, self._notes)
                its, gate = context._replace(notes=notes), LeaderGate(polls, wanted)
                self._pollers[source.name] = kind(its, gate, settings.pollers.get(source.name))
        self._loops = {name: SupervisedLoop(f"{name} poller") for name in (CRUD, *self._pollers)}

    def hooks_changed(self, _: object = None) -> None:
        self.crud.set_active(has_change_subscribers(self._hooks))
        if self._leases is not None:
            self._leases.hurry()

    def _is_wanted(self, *sources: str) -> bool:
        return has_subscribers(self._hooks(), *sources)

    async def run(self) -> None:
        await self._open()
        self.hooks_changed()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._loops[CRUD].run(self.crud.run))
            for name, poller in self._pollers.items():
                tasks.create_task(self._loops[name].run(poller.run))
            if self._leases is not None and self._forwarded is not None:
                tasks.create_task(SupervisedLoop("poll leases").run(self._leases.run))
                tasks.create_task(SupervisedLoop("forwarded changes").run(self._forwarded.run))

    async def close(self) -> None:
        """Close the file and the client; an error is logged, not raised: the other parts have to be closed as well."""
        if self._leases is not None:
            await self._leases.close()
        for part in (self._mirror, self._notes, self._client):
            try:
                await part.close()
            except Exception as error:  # noqa: BLE001 - as said
                log.warning("part_close_failed", part=type(part).__name__, error=type(error).__name__)

    def state(self) -> dict[str, Any]:
        """Return what /readyz shows."""
        pollers = {name: poller.state() for name, poller in self._pollers.items()}
        return {CRUD: msgspec.to_builtins(self.crud.state()), **pollers}

    def errors(self) -> list[str]:
        found = [] if self._open_error is None else [f"{DATABASE} cannot be opened: {self._open_error}"]
        found += [loop.error for loop in self._loops.values() if loop.error is not None]
        if self._forwarded is not None and self._forwarded.error is not None:
            found.append(f"crud: changes of other nodes wait: {self._forwarded.error}")
        found += change_errors(self.crud.state(), self._schema_cache.endpoints(), self._hooks())
        return found + [f"{name}: {error}" for name, poller in self._pollers.items() for error in poller.errors()]

    async def _open(self) -> None:
        for part in (self._notes, self._mirror, self._schema_cache):
            await retry(part.open, (EventHooksError, OSError), self._open_failed)
        self._open_error = None

    def _open_failed(self, error: str) -> None:
        self._open_error = error
        log.error("gateway_store_open_failed", error=error)


def has_subscribers(hooks: Iterable[Hook], *sources: str) -> bool:
    """Return whether an enabled hook receives the events of one of the sources."""
    return any(hook.enabled and not set(sources).isdisjoint(matching_sources(hook.source)) for hook in hooks)


def has_change_subscribers(hooks: Hooks) -> bool:
    return has_subscribers(hooks(), CRUD, DAO_CRUD)


def hooks_without_admin_api(hooks: Iterable[Hook], polled: Polled = lambda *_: False) -> Iterator[str]:
    """Yield what /readyz reports without the setting ``admin_url``."""
    for hook in hooks:
        if hook.enabled and lacks_admin_api(hook, polled):
            yield f"{hook.name}: the source {hook.source} needs the setting admin_url; the hook never fires"


def lacks_admin_api(hook: Hook, polled: Polled) -> bool:
    """Return whether a hook of a node without an Admin API never fires."""
    entry = BY_NAME.get(hook.source)
    if entry is None or not entry.needs_admin_api:
        return False
    return not polled(hook, CRUD if hook.source == DAO_CRUD else hook.source)

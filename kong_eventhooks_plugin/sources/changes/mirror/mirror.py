"""The last known state of every entity of Kong's, and the outbox of changes that are not published yet.

A change and the state that it leads to are one transaction: what ``apply`` returns, or a reconciliation finds, stays in
the outbox until ``mark_published``, over any crash, with the same identities. Statements run in a thread of their own,
one call after another, a few milliseconds each.

Any number of processes may have one file open; one of them at a time may reconcile.

Limits: ``OUTBOX`` pending changes, past which ``apply`` raises ``QueueFull`` and changes nothing: the caller keeps the
observation, or lets a reconciliation find the change later. Those of ``file``, ``store``, ``cascade`` and ``applier``.
What reconciliations reported and tombstones are kept for two reconciliations, at least ``RETENTION_SECONDS``: an
observation that comes later than that may be reported a second time. Request ids are kept for as long as another node
may forward the request (``queue.polling.AGE``), which a restored backup does again. What was counted of a change's
identity (some 60 bytes) is kept for ``remember`` seconds, which have to be more than the queue keeps events.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, TypeVar

from kong_eventhooks_plugin.errors import QueueFull, StoreUnavailable
from kong_eventhooks_plugin.kong.admin_api.entities import EntityRules
from kong_eventhooks_plugin.queue.polling import AGE
from kong_eventhooks_plugin.settings import DEFAULTS
from kong_eventhooks_plugin.sources.changes.mirror import route
from kong_eventhooks_plugin.sources.changes.mirror.applier import Applier
from kong_eventhooks_plugin.sources.changes.mirror.file import PATIENCE, checkpoint_wal, has_grown, prepare
from kong_eventhooks_plugin.sources.changes.mirror.fingerprints import Fingerprints
from kong_eventhooks_plugin.sources.changes.mirror.ordering import TimeWindow, Watermark
from kong_eventhooks_plugin.sources.changes.mirror.scan import ListSource, Scan
from kong_eventhooks_plugin.sources.changes.mirror.store import Store
from kong_eventhooks_plugin.sources.changes.model import EntityChange, RouteChange
from kong_eventhooks_plugin.storage.replaceable import ReplaceableFile

OUTBOX: Final = 200_000
RETENTION_SECONDS: Final = 600.0
REMEMBER_MARGIN: Final = 86_400.0
"""How much longer an identity is remembered than the queue keeps what is settled: nothing is settled at once."""
REMEMBER_SECONDS: Final = DEFAULTS.keep_settled_seconds + REMEMBER_MARGIN

_ORIGIN = "origin"
_HASH = "configuration_hash"
_BEGAN = "round_began"

T = TypeVar("T")


class Mirror:
    """``entities`` gives the rules in force; ``clock`` Unix seconds.

    Every method but ``close`` raises ``StoreUnavailable`` where the file fails, and where it is not open.
    """

    def __init__(
        self,
        path: Path,
        entities: Callable[[], EntityRules],
        clock: Callable[[], float] = time.time,
        remember: float = REMEMBER_SECONDS,
    ) -> None:
        self._path = path
        self._entities = entities
        self._clock = clock
        self._remember = remember
        self._file = ReplaceableFile(path, PATIENCE, lambda connection: prepare(connection, path))
        self._thread: ThreadPoolExecutor | None = None
        self._fingerprints = Fingerprints()
        self._log_has_grown = False
        self.outbox_size = 0
        """Changes in the outbox after the last call."""

    async def open(self) -> None:
        """Create or open the file; a damaged one is moved aside and logged. May be tried again."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "mirror")
        await self._call(self._file.open)

    async def close(self) -> None:
        """Close the file, after the call that is under way."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        await asyncio.get_running_loop().run_in_executor(thread, self._file.close)
        thread.shutdown(wait=False)

    # the route and the outbox

    async def apply(self, seen: RouteChange) -> list[EntityChange]:
        """Apply what the route saw; return the changes, which are in the outbox already.

        [] where nothing changed, or it was reported already; the same request may come twice. Raises
        ``ObservationError`` where Kong's answer to a write is no entity, ``QueueFull`` where the outbox is full.
        """
        rules = self._entities()

        def apply(store: Store, rev: int) -> list[EntityChange]:
            if store.outbox() >= OUTBOX:
                raise QueueFull("mirror_outbox", f"{OUTBOX:,} changes wait in the outbox")
            return route.apply(store, rules, seen, rev)

        return await self._write(apply)

    async def knows(self, schema: str, entity: str) -> bool:
        return await self._with_store(lambda store: store.by_id(schema, entity) is not None)

    async def pending(self, limit: int) -> list[EntityChange]:
        """Return up to ``limit`` changes of the outbox, oldest first."""
        return await self._with_store(lambda store: store.pending(limit))

    async def mark_published(self, identities: Sequence[str]) -> None:
        """Remove changes from the outbox: their events are committed in the queue."""
        await self._write(lambda store, _: store.mark_published(identities))
        await self._checkpoint_wal()

    async def forget(self) -> None:
        """Drop all that is known, not the outbox: the next reconciliation is silent, and a running one fails."""
        await self._write(lambda store, _: store.forget())

    # reconciliations

    async def configuration_hash(self) -> str | None:
        """Return the hash of the last complete reconciliation of a DB-less node; None where nothing is known."""
        return await self._with_store(lambda store: store.fact(_HASH))

    async def begin(self, origin: str, lag: float) -> Scan:
        """Begin a scan. Another ``origin`` than the last one's silently drops all that is known.

        What the route wrote in the last ``lag`` seconds is left to the next one: its lists may be behind.
        """
        rules = self._entities()

        def begin(store: Store, rev: int) -> Scan:
            # With another key every digest would differ.
            keyed = blake2b(origin.encode() + rules.name("", "origin"), digest_size=16).hexdigest()
            before = store.fact(_ORIGIN)
            if before != keyed:
                store.set_fact(_ORIGIN, keyed)
                if before is not None:
                    store.forget()
            mark = Watermark(rev, self._clock() - lag)
            return Scan(self._path.parent, mark, store.fact("epoch"), self._fingerprints)

        return await self._write(begin)

    async def compare(self, scan: Scan, source: ListSource, page: Sequence[dict[str, Any]], window: TimeWindow) -> None:
        """Compare a page with the mirror; differences are kept in the scan."""
        rules = self._entities()
        created = await self._with_store(lambda store: scan.compare(store, rules, source, page, window))
        if created:
            # A call of its own, so that the route's waits for one of them at most.
            await self._with_store(lambda store: scan.adopt(store, source.schema, created, window))
            await self._checkpoint_wal()

    async def listed(self, scan: Scan, source: ListSource, limit: int) -> list[str]:
        """Return the ids of up to ``limit`` entities that the scan has listed."""
        return await self._with_store(lambda store: scan.ids(store, source, limit))

    async def apply_scan(
        self, scan: Scan, schemas: Sequence[str], *, configuration: str | None, may_continue: Callable[[], bool]
    ) -> Applier | None:
        """Apply what the lists differ in; None where ``may_continue`` said no in between. Raises ``QueueFull`` too.

        ``configuration``: the hash of a DB-less node's.
        """
        rules = self._entities()
        applier = await self._with_store(lambda store: Applier(store, rules, scan, schemas, configuration))
        steps = applier.steps()
        while may_continue():
            if not await self._with_store(lambda _: _step(steps)):
                return applier
            await self._checkpoint_wal()
        return None

    async def finish(self, began: float, configuration_hash: str | None) -> None:
        """Keep the hash of a scan that began at ``began``, and forget what no late observation can need."""

        def finish(store: Store, _: int) -> None:
            store.set_fact(_HASH, configuration_hash)
            now = self._clock()
            store.drop_older(min(store.fact(_BEGAN) or 0.0, now - RETENTION_SECONDS))
            store.drop_requests(now - AGE)
            store.drop_identities(now - self._remember)
            store.set_fact(_BEGAN, began)

        await self._write(finish)

    async def end(self, scan: Scan) -> None:
        await self._call(scan.differences.close)

    # in the thread

    async def _call(self, call: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreUnavailable(f"{self._path}: is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _checkpoint_wal(self) -> None:
        """Checkpoint the log where it has grown; calls that wait for the thread go first."""
        if self._log_has_grown:
            with contextlib.suppress(StoreUnavailable):  # what is wrong with the file, the next call says
                await self._call(lambda: self._file.run(checkpoint_wal))

    async def _with_store(self, call: Callable[[Store], T]) -> T:
        return await self._call(lambda: self._run(call))

    async def _write(self, call: Callable[[Store, int], T]) -> T:
        """Make the call in a transaction; it is given the revision that it writes."""

        def write(store: Store) -> T:
            with store.transaction() as rev:
                return call(store, rev)

        return await self._with_store(write)

    def _run(self, call: Callable[[Store], T]) -> T:
        def run(connection: sqlite3.Connection) -> T:
            store = Store(connection)
            result = call(store)
            self.outbox_size = store.outbox()
            self._log_has_grown = has_grown(self._path)
            return result

        return self._file.run(run)


def _step(steps: Iterator[None]) -> bool:
    return next(steps, steps) is not steps

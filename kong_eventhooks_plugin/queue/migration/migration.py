"""``migrate``: moves what an SQLite file holds into the store that nodes share, and counts both sides at the end.

Each batch is a transaction that also says how far it has come: whatever ends the process, another run goes on there.
Nodes may use the shared store meanwhile. Their retention waits until the end: it would delete what is to be counted.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kong_eventhooks_plugin.errors import SettingsError, StoreUnavailable
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import QueueLimits
from kong_eventhooks_plugin.queue.migration import target
from kong_eventhooks_plugin.queue.migration.source import Counts, SourceFile, source_file
from kong_eventhooks_plugin.queue.postgresql import reads
from kong_eventhooks_plugin.queue.postgresql.connection import Address, Connection
from kong_eventhooks_plugin.queue.postgresql.errors import LockNotAvailable, to_queue_error
from kong_eventhooks_plugin.queue.postgresql.lane import Hooks, Lane, StoreClock
from kong_eventhooks_plugin.queue.postgresql.schema import LOCKS, SWEEPING
from kong_eventhooks_plugin.queue.postgresql.schema import migrate as migrate_schema

Progress = Callable[[str, int, int], None]
"""Called with what is done (``moving``, ``counting``), how many events of how many."""


class Migrated(NamedTuple):
    file: Counts
    store: Counts
    known: int
    """Events that the store had already, from a node of its own."""
    resumed: int
    """Events that an earlier run had moved."""


async def migrate(path: Path, url: str, clock: Callable[[], float], progress: Progress) -> Migrated:
    """Move everything. Raises ``StoreUnavailable``, and ``SettingsError`` where both have another hook of one name."""
    address = Address(url)
    with source_file(path) as source:
        held = await _hold_retention(address)
        lane: Lane[Any] = Lane(address, QueueLimits(), StoreClock(clock, database=True))
        try:
            await _refuse_same_names(held, source.api_hooks())
            return await _Migration(source, lane, held, progress).run()
        except Exception as error:
            raise to_queue_error(error, address.name) from error
        finally:
            await lane.close()
            held.terminate()


async def _hold_retention(address: Address) -> Connection:
    """Return a connection which, while it is there, keeps retention from deleting. Makes the schema."""
    connection = await address.connect("kong-event-hooks store migrate")
    try:
        await migrate_schema(connection, address.name)
        await connection.execute(target.SQL.lock_session, LOCKS, SWEEPING)
    except LockNotAvailable as error:
        connection.terminate()
        raise StoreUnavailable(
            f"{address.name}: another `store migrate` is under way, or a node deletes what is old; run this again later"
        ) from error
    except Exception as error:
        connection.terminate()
        raise to_queue_error(error, address.name) from error
    return connection


async def _refuse_same_names(connection: Connection, hooks: Sequence[Hook]) -> None:
    theirs = {hook.name: hook.id for hook in await reads.definitions(connection)}
    for hook in hooks:
        if theirs.get(hook.name, hook.id) != hook.id:
            raise SettingsError(
                f"the store has another hook with the name {hook.name!r} ({theirs[hook.name]}); rename or delete one, "
                "then run this again"
            )


class _Migration:
    def __init__(self, source: SourceFile, lane: Lane[Any], reading: Connection, progress: Progress) -> None:
        self._source = source
        self._lane = lane
        self._reading = reading
        self._progress = progress
        self._hooks = Hooks(made=[hook_id for _, hook_id in source.hooks()])
        self._small = target.Small(source.api_hooks(), source.endpoints())

    async def run(self) -> Migrated:
        source, run = self._source, partial(self._lane.run, hooks=self._hooks)
        file = source.counts()
        name = source.fingerprint()
        # Before any hook is given a number: in an empty store they keep the file's.
        last, hooks = source.last_event(), source.hooks()
        shift, moved = await self._lane.run(
            partial(target.begin, source=name, last=last, hooks=hooks, small=self._small)
        )
        for slots in source.slots():
            await run(partial(target.add_slots, slots=slots))
        resumed = done = source.events_until(moved)
        self._progress("moving", done, file.events)
        for batch in source.batches(moved):
            await run(partial(target.add_batch, source=name, shift=shift, batch=batch))
            done += len(batch.events)
            self._progress("moving", done, file.events)
        store, known = await self._count(shift, file.events)
        return Migrated(file, store, known, resumed)

    async def _count(self, shift: int, events: int) -> tuple[Counts, int]:
        """Return what the store has of everything, and how many of the events it had by itself."""
        counts = [await target.count_small(self._reading, self._small)]
        counts += [await target.count_slots(self._reading, slots) for slots in self._source.slots()]
        known = done = 0
        for batch in self._source.batches():
            found, there = await target.count_batch(self._reading, shift, batch)
            counts.append(found)
            known += there
            done += len(batch.events)
            self._progress("counting", done, events)
        return target.total(counts), known

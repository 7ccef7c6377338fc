"""Accepts offers, a batch of them at once, in as many statements as one takes."""

from collections.abc import Mapping, Sequence

from msgspec.structs import astuple

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.accepting import Key, Offered, Row, decide, slot_of
from kong_eventhooks_plugin.queue.contract import Candidate, Receipt, SpoolPlace
from kong_eventhooks_plugin.queue.hook_counters import HookCounters
from kong_eventhooks_plugin.queue.postgresql.small_tables import move_spool_position
from kong_eventhooks_plugin.queue.postgresql.statements import SQL
from kong_eventhooks_plugin.queue.postgresql.taking import Leases
from kong_eventhooks_plugin.queue.postgresql.transaction import BeginAgain, Transaction, columns


async def accept(
    transaction: Transaction, batch: Sequence[Offered], ours: Mapping[str, Receipt], leases: Leases, *, alone: bool
) -> None:
    """Write a batch of offers; each has its receipt as its answer then.

    ``ours`` are receipts of a transaction of ours of which it became known only later that it was committed: such an
    event is no duplicate. ``leases`` are the delivering side's. Raises ``BeginAgain`` and ``StoreWentBack``.
    """
    connection = transaction.connection
    places = [one.place for one in batch if one.place is not None]
    if places:
        before, last = min(place.before for place in places), max(place.n for place in places)
        await move_spool_position(transaction, SpoolPlace(places[0].spool, before, last))
    await transaction.lock_accepting(alone=alone)
    known = {row[0] for row in await connection.fetch(SQL.known_events, [one.offer.event.id for one in batch])}
    new = [one for one in batch if one.offer.event.id not in known]
    if new:
        await _read(transaction, new)

    def lease(event: Event, data: bytes, candidate: Candidate, hook: HookCounters, row: Row) -> bool:
        is_leased = leases.lease(event, data, candidate, hook, row)
        if is_leased:
            transaction.hold(hook, len(data))
        return is_leased

    events, rows = decide(transaction, batch, known, lease)
    deliveries = [(*row, None) for row in rows]
    deliveries += [(*one.row, transaction.now + one.seconds) for one in leases.leases]
    for one in batch:
        if one.answer is not None and one.answer.duplicate:
            one.answer = ours.get(one.offer.event.id, one.answer)
    if events:
        # Fewer than ours: another node has inserted one since we looked, and what was decided for it does not hold.
        if await connection.execute(SQL.add_events, *columns(events)) != f"INSERT 0 {len(events)}":
            raise BeginAgain
        if deliveries:
            await connection.execute(SQL.add_deliveries, *columns(deliveries), transaction.writer)
        await _write_slots(transaction)


async def _read(transaction: Transaction, new: Sequence[Offered]) -> None:
    hook_ids = {candidate.hook_id for one in new for candidate in one.offer.candidates}
    await transaction.number_events(len(new))
    if not hook_ids:
        return
    await transaction.count(sorted(hook_ids))
    keys: set[Key] = set()
    for one in new:
        for candidate in one.offer.candidates:
            key = slot_of(transaction.of_hook(candidate.hook_id), candidate, one.offer.event.event)
            if key is not None:
                keys.add(key)
    if keys:
        wanted = list(keys)
        arrays = columns(wanted)
        await transaction.connection.execute(SQL.lock_slots, *arrays)
        transaction.suppression.load(wanted, await transaction.connection.fetch(SQL.slots, *arrays))


async def _write_slots(transaction: Transaction) -> None:
    connection, states = transaction.connection, transaction.suppression
    if states.written:
        rows = [(*key, *astuple(state)) for key, state in states.written.items()]
        await connection.execute(SQL.write_slots, *columns(rows))
    unused = states.unused()
    if unused:
        await connection.execute(SQL.delete_unused_slots, *columns(unused))
    for hook, states_before in transaction.hooks_with_new_slots():
        transaction.shift(hook.n, 0, 0, hook.states - states_before)
        excess = hook.states - transaction.limits.suppression_states
        if excess > 0:
            deleted = await connection.execute(SQL.delete_soonest_slots, hook.n, excess)
            transaction.shift(hook.n, 0, 0, -int(deleted.rpartition(" ")[2]))

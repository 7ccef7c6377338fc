"""Replays and releases deliveries inside a transaction; ``write`` claims them and ends their leases.

A lease carries the number of the writer that took it (``Transaction.writer``).
"""

from collections.abc import Sequence
from typing import NamedTuple

from kong_eventhooks_plugin.errors import QueueFull, UnknownDelivery
from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.queue.holders import exited
from kong_eventhooks_plugin.queue.hook_counters import HookCounters
from kong_eventhooks_plugin.queue.postgresql.statements import SQL
from kong_eventhooks_plugin.queue.postgresql.transaction import Transaction, columns
from kong_eventhooks_plugin.queue.rows import delivery_from, splits


class Claim(NamedTuple):
    """``in_order``: the first unsettled delivery alone."""

    hook_id: str
    limit: int
    lease_seconds: float
    in_order: bool = False


async def replay(transaction: Transaction, delivery: str) -> Delivery:
    """Make a settled delivery pending and due; one that is not settled stays as it is."""
    connection = transaction.connection
    for event_id, hook_id in splits(delivery):
        row = await connection.fetchrow(SQL.delivery, event_id, hook_id)
        if row is not None:
            break
    else:
        raise UnknownDelivery(f"there is no delivery {delivery}")
    _, refused = await replay_some(transaction, [(event_id, hook_id)])
    if refused is not None:
        raise QueueFull(refused, f"no room to replay {delivery}: {refused}")
    row = await connection.fetchrow(SQL.delivery, event_id, hook_id)
    if row is None:  # retention was faster
        raise UnknownDelivery(f"there is no delivery {delivery}")
    return delivery_from(tuple(row), transaction.now)


async def replay_some(transaction: Transaction, deliveries: Sequence[tuple[str, str]]) -> tuple[int, str | None]:
    """Replay deliveries, by event's and hook's id, until a limit leaves no room; return how many, and that limit.

    One that is not settled, or that retention has deleted meanwhile, is skipped.
    """
    connection = transaction.connection
    wanted = [(at, *ids) for at, ids in enumerate(deliveries)]
    rows = await connection.fetch(SQL.to_replay, *columns(wanted)) if wanted else []
    rows = sorted((row for row in rows if row[6] is not None), key=lambda row: row[0])
    await transaction.lock_accepting(alone=True)
    await transaction.count(sorted({row[3] for row in rows}))
    revived: list[tuple[int, int]] = []
    refused = None
    for _, event, number, hook_id, state, size, _ in rows:
        hook: HookCounters = transaction.of_hook(hook_id)
        refused = transaction.refusal(hook, size)
        if refused is not None:
            break
        revived.append((event, number))
        transaction.add(hook, size)
        transaction.added.settle(state, -1)
    if revived:
        await connection.execute(SQL.revive, *columns(revived), transaction.now)
    return len(revived), refused


async def release_forgotten(transaction: Transaction, held: Sequence[str]) -> None:
    """Make due what this writer has leased beside these deliveries."""
    rows = await transaction.connection.fetch(SQL.release_forgotten_leases, transaction.writer, held)
    transaction.woken.update(row[0] for row in rows)


async def release(transaction: Transaction, writers: Sequence[int]) -> None:
    """Make due what these writers have leased."""
    rows = await transaction.connection.fetch(SQL.release_leases, writers)
    transaction.woken.update(row[0] for row in rows)


async def release_of_exited(transaction: Transaction) -> None:
    """Make due what processes have leased that have certainly exited."""
    holders = await transaction.connection.fetch(SQL.leasing)
    writers = [number for number, process in holders if exited(process)]
    if writers:
        await release(transaction, writers)

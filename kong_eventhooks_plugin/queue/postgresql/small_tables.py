"""The small tables: who delivers, hook definitions, endpoints' health, how far the store has come with spools."""

from collections.abc import Sequence

from kong_eventhooks_plugin.errors import StoreWentBack
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import EndpointHealth, SpoolPlace
from kong_eventhooks_plugin.queue.holders import exited
from kong_eventhooks_plugin.queue.limits import LONGEST_LEADERSHIP
from kong_eventhooks_plugin.queue.postgresql.nodes import CHANNEL, DEFINITIONS
from kong_eventhooks_plugin.queue.postgresql.statements import SQL
from kong_eventhooks_plugin.queue.postgresql.transaction import Transaction
from kong_eventhooks_plugin.queue.rows import encode


async def leader(transaction: Transaction) -> str | None:
    """Return who delivers now, None where nobody does or that process has exited. Locks the row."""
    holder, until = await transaction.connection.fetchrow(SQL.leader)
    if not transaction.now < until <= transaction.now + LONGEST_LEADERSHIP or exited(holder):
        return None
    return str(holder)


async def lead(transaction: Transaction, holder: str, ttl: float) -> bool:
    if await leader(transaction) not in {None, holder}:
        return False
    await transaction.connection.execute(SQL.acquire_leadership, holder, transaction.now + ttl)
    return True


async def resign(transaction: Transaction, holder: str) -> None:
    await transaction.connection.execute(SQL.release_leadership, holder)


async def store_definitions(transaction: Transaction, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
    written = {hook.id: encode(hook) for hook in hooks}
    gone = [hook_id for hook_id in removed if hook_id not in written]
    await transaction.connection.execute(SQL.delete_definitions, gone)
    await transaction.connection.execute(SQL.write_definitions, list(written), list(written.values()))
    await transaction.connection.execute(SQL.notify, CHANNEL, DEFINITIONS)


async def save_endpoint(transaction: Transaction, health: EndpointHealth) -> None:
    values = (health.hook_id, health.failing_since, health.disabled, health.disabled_at)
    await transaction.connection.execute(SQL.write_endpoint, *values)


async def move_spool_position(transaction: Transaction, place: SpoolPlace) -> None:
    """Remember how far the store has come with a spool. Raises ``StoreWentBack``."""
    if await transaction.connection.fetchval(SQL.move_spool_position, *place) is None:
        raise StoreWentBack(await transaction.connection.fetchval(SQL.spool_position, place.spool) or 0)

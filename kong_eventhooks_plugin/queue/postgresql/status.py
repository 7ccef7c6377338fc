"""What the shared store says of itself and of the nodes that use it; needs no sidecar, and changes nothing."""

from typing import NamedTuple

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import EndpointHealth, Stats, Work
from kong_eventhooks_plugin.queue.nodes import Node, SpoolState
from kong_eventhooks_plugin.queue.postgresql import reads
from kong_eventhooks_plugin.queue.postgresql.connection import Address, Connection
from kong_eventhooks_plugin.queue.postgresql.errors import to_queue_error
from kong_eventhooks_plugin.queue.postgresql.schema import version_of
from kong_eventhooks_plugin.queue.postgresql.statements import SQL, VERSION


class StoreStatus(NamedTuple):
    """``at`` is when, in the store's time, as all of its times are; ``spools`` are by process."""

    at: float
    name: str
    schema: int
    bytes: int
    stats: Stats
    nodes: list[Node]
    spools: dict[str, SpoolState]
    made: list[Hook]
    endpoints: list[EndpointHealth]
    work: list[Work]


async def read_status(url: str) -> StoreStatus:
    """Raise ``StoreUnavailable``."""
    address = Address(url)
    connection = await address.connect("kong-event-hooks store status")
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _status(connection, address.name)
    except Exception as error:
        raise to_queue_error(error, address.name) from error
    finally:
        connection.terminate()


async def _status(connection: Connection, name: str) -> StoreStatus:
    version = await version_of(connection)
    if version == 0:
        raise StoreUnavailable(f"{name}: there is no store yet; the first node that starts makes it")
    if version != VERSION:
        raise StoreUnavailable(
            f"{name}: its schema is {version}, this program's {VERSION}; use the version that the nodes run"
        )
    now = float(await connection.fetchval(SQL.now))
    spools = await connection.fetch(SQL.all_spooled)
    return StoreStatus(
        at=now,
        name=name,
        schema=version,
        bytes=int(await connection.fetchval(SQL.store_size)),
        stats=await reads.stats(connection, now),
        nodes=await reads.all_nodes(connection),
        spools={process: SpoolState(*spooled) for process, *spooled in spools},
        made=await reads.definitions(connection),
        endpoints=await reads.endpoints(connection),
        work=await reads.work(connection, now),
    )

"""Creates and migrates the store's schema: one node does, the others wait for it.

Least privilege: a role that owns the schema ``kong_event_hooks`` needs nothing else. Where there is no such schema, the
role has to be allowed to make one in the database (``CREATE``).
"""

import structlog

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.postgresql.connection import SCHEMA, Connection
from kong_eventhooks_plugin.queue.postgresql.statements import MIGRATIONS, SQL, VERSION

log = structlog.get_logger()

LOCKS = 0x4B_45_68_6B
"""The first half of our advisory locks' keys (``KEhk``); the second says what for."""
MIGRATING, ACCEPTING, SWEEPING = 1, 2, 3


async def migrate(connection: Connection, name: str) -> None:
    """Bring the schema to our version, all or nothing. Raises ``StoreUnavailable`` for a newer one."""
    if await version_of(connection) == VERSION:
        return
    if await connection.fetchval(SQL.read_only):
        raise StoreUnavailable(f"{name}: it is read-only, and its schema has to be made or migrated first")
    async with connection.transaction():
        await connection.fetchval(SQL.lock_alone, LOCKS, MIGRATING)
        version = await version_of(connection)
        if version > VERSION:
            raise StoreUnavailable(
                f"{name}: was written by a newer version of this program (its schema is {version}, ours {VERSION}); "
                "run that version, or choose another database"
            )
        if version == 0:
            await _create(connection)
        for step in range(version + 1, VERSION + 1):
            await connection.execute(MIGRATIONS[step])
        await connection.execute(SQL.write_version, VERSION)
    if version > 0:
        log.info("store_upgraded", file=name, was=version, now=VERSION)


async def version_of(connection: Connection) -> int:
    """Return the schema's version, 0 where there is none."""
    if not await connection.fetchval(SQL.version_exists, SCHEMA):
        return 0
    return int(await connection.fetchval(SQL.version))


async def _create(connection: Connection) -> None:
    if not await connection.fetchval(SQL.schema_exists, SCHEMA):
        await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    await connection.execute(SQL.create_version)

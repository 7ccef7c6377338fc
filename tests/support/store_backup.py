"""A backup of a shared store's rows and sequences, inside its own database: taken and put back in milliseconds."""

from typing import Self

import psycopg

from kong_eventhooks_plugin.queue.postgresql.connection import SCHEMA

COPY = "backup"


class StoreBackup:
    """``with StoreBackup(url) as backup``: has the store as it is now."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        query = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
        self._tables = sorted(row[0] for row in self._connection.execute(query, [SCHEMA]))
        query = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = %s"
        self._sequences = self._connection.execute(query, [SCHEMA]).fetchall()
        copies = (f"CREATE TABLE {COPY}.{table} AS TABLE {SCHEMA}.{table}" for table in self._tables)
        self._connection.execute("; ".join([f"CREATE SCHEMA {COPY}", *copies]))

    def restore(self) -> None:
        """Put it back: what was committed since is lost, and numbers are given away again."""
        statements = [f"SELECT setval('{SCHEMA}.{name}', {at or 1}, {at is not None})" for name, at in self._sequences]
        for table in self._tables:
            statements += [
                f"DELETE FROM {SCHEMA}.{table}",  # noqa: S608
                f"INSERT INTO {SCHEMA}.{table} OVERRIDING SYSTEM VALUE TABLE {COPY}.{table}",
            ]
        self._connection.execute("; ".join(statements))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.execute(f"DROP SCHEMA {COPY} CASCADE")
        self._connection.close()

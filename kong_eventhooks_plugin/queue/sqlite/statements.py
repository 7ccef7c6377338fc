"""The named statements of ``queries.sql`` and the migrations, read once at import; rows, many a statement."""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain

from kong_eventhooks_plugin.storage.named_sql import read_migrations, read_statements

_HERE = "kong_eventhooks_plugin.queue.sqlite"

SQL = read_statements(_HERE)
"""Every statement under its name: ``SQL.add_event``."""

MIGRATIONS: Mapping[int, str] = read_migrations(_HERE)

ROWS_AT_ONCE = (64, 8)
"""How many rows one statement inserts, while there are as many: a tenth of an offer's whole cost is saved by it."""


def insert_rows(cursor: sqlite3.Cursor, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows by ``statement``, an INSERT that ends in the VALUES of one row."""
    at = 0
    for size in ROWS_AT_ONCE if len(rows) >= ROWS_AT_ONCE[-1] else ():
        while len(rows) - at >= size:
            cursor.execute(_with_rows(statement, size), tuple(chain.from_iterable(rows[at : at + size])))
            at += size
    if at < len(rows):
        cursor.executemany(statement, rows[at:])


@cache
def _with_rows(statement: str, count: int) -> str:
    head, values, row = statement.rstrip(";").rpartition("VALUES")
    return f"{head}{values}{','.join([row] * count)}"

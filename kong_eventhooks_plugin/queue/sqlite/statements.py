"""The named statements of ``queries.sql`` and the migrations, read once at import."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import chain
from types import MappingProxyType, SimpleNamespace

_HERE = resources.files("kong_eventhooks_plugin.queue.sqlite")
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"--.*$", re.MULTILINE)


def named_statements(text: str) -> dict[str, str]:
    """Return name -> statement for the ``-- name:`` blocks of ``text``; raises ``ValueError`` for a repeated name."""
    _, *parts = _NAME.split(text)
    names = parts[::2]
    if len(set(names)) != len(names):
        raise ValueError("a statement's name is there twice")
    return {name: _COMMENT.sub("", body).strip() for name, body in zip(names, parts[1::2], strict=True)}


def _migrations() -> dict[int, str]:
    files = (entry for entry in (_HERE / "migrations").iterdir() if entry.name.endswith(".sql"))
    return {int(entry.name.partition("_")[0]): entry.read_text("utf-8") for entry in files}


SQL = SimpleNamespace(**named_statements((_HERE / "queries.sql").read_text("utf-8")))
"""Every statement under its name: ``SQL.add_event``."""

MIGRATIONS: Mapping[int, str] = MappingProxyType(_migrations())
"""By the version that they lead to, from 1, without a gap."""

ROWS_AT_ONCE = (64, 8)
"""How many rows one statement inserts, while there are as many: a tenth of an offer's whole cost is saved by it."""


def insert_rows(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows by ``statement``, an INSERT that ends in the VALUES of one row."""
    at = 0
    for size in ROWS_AT_ONCE:
        while len(rows) - at >= size:
            connection.execute(_with_rows(statement, size), tuple(chain.from_iterable(rows[at : at + size])))
            at += size
    connection.executemany(statement, rows[at:])


@cache
def _with_rows(statement: str, count: int) -> str:
    head, values, row = statement.rstrip(";").rpartition("VALUES")
    return f"{head}{values}{','.join([row] * count)}"

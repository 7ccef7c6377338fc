"""Databases for a real Kong: one is bootstrapped by Kong itself, which takes seconds, and copied for each test."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql


class Postgres:
    """A server, named by ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``; the role may create databases."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._run = secrets.token_hex(4)
        self._made = 0

    def conf(self, database: str) -> dict[str, str]:
        """Return what kong.conf has to say to use a database of it."""
        parts = urlsplit(self.url)
        return {
            "database": "postgres",
            "pg_host": parts.hostname or "127.0.0.1",
            "pg_port": str(parts.port or 5432),
            "pg_user": unquote(parts.username or "kong"),
            "pg_password": unquote(parts.password or ""),
            "pg_database": database,
            # A worker takes what another one changed as soon as it can: tests wait for that.
            "db_update_frequency": "0.2",
            "worker_state_update_frequency": "0.2",
        }

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """Make a database, a copy of another one where that is named, and drop it at the end."""
        self._made += 1
        name = f"event_hooks_{self._run}_{self._made}"
        copied = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + copied)
        try:
            yield name
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def connection(self, database: str) -> "Iterator[psycopg.Connection]":
        """Open a connection to a database of it; what was done is committed at the end."""
        parts = urlsplit(self.url)
        with psycopg.connect(parts._replace(path=f"/{database}").geturl()) as opened:
            yield opened

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

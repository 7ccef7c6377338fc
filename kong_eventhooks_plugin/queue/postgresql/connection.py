"""Where the store is, and connections to it.

``CONNECTING`` seconds is how long a connection may take; of several hosts each has its share, as one that is switched
off may say nothing. ``STATEMENT`` is how long a statement may take: past it the connection is given up. A transaction
of which the server hears nothing for ``IDLE_IN_TRANSACTION`` (its node is stopped, or cut off)
is rolled back by the server, so that nobody waits for it longer; ``LOCK`` is how long a statement waits for a row.
Where nothing is said for ``KEEPALIVE`` seconds, the server asks whether the node is there: what stands between them (a
NAT, a firewall) forgets a connection on which nothing comes, and says nothing.
"""

import os
import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import asyncpg
from asyncpg import Connection as Connection

from kong_eventhooks_plugin.errors import SettingsError, StoreUnavailable
from kong_eventhooks_plugin.queue.postgresql.errors import POOLER, kind_of, message_of, to_queue_error
from kong_eventhooks_plugin.queue.postgresql.statements import SQL

SCHEMA: Final = "kong_event_hooks"

CONNECTING = 10.0
STATEMENT = 30.0
IDLE_IN_TRANSACTION = 10.0
LOCK = 15.0
KEEPALIVE = 60

ENCODINGS = ("UTF8", "SQL_ASCII")
"""Of a database: the second one keeps any bytes."""

_HOST = re.compile(r"(\[[^\]\s]+\]|[^:@\s\[]*)(:[0-9]+)?")
_SCHEMES = ("postgresql", "postgres")
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_SYSTEM = "system"
_WRITABLE = ("read-write", "primary")
_EXAMPLE = "postgresql://event_hooks@db.example.com:5432/kong?sslmode=verify-full"


class Address:
    """A store's address: a URL as libpq takes it. Its texts never have the password."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            options = dict(parse_qsl(parts.query, keep_blank_values=True))
        except ValueError:
            raise SettingsError(f"is not a URL; for example {_EXAMPLE}") from None
        if parts.scheme not in _SCHEMES:
            raise SettingsError(f"is not the URL of a PostgreSQL; for example {_EXAMPLE}")
        hosts = parts.netloc.rpartition("@")[2]
        if parts.fragment or "@" in parts.path or not all(map(_HOST.fullmatch, hosts.split(","))):
            # Most probably a part of the password, which must not get into the store's name.
            raise SettingsError("is not a URL: in a password `/`, `?`, `#`, `@` and `:` have to be percent-encoded")
        user = parts.netloc[: len(parts.netloc) - len(hosts)]
        of_each = [parts._replace(netloc=user + host).geturl() for host in hosts.split(",")]
        # Ports that stand for themselves go with the hosts by their order.
        self._urls = [url] if len(of_each) == 1 or "," in options.get("port", "") else of_each
        self._first = self._urls[0]
        """Which is tried first: the last that was writable, where the URL asks for that."""
        self._asks_writable = options.get("target_session_attrs") in _WRITABLE
        database = parts.path.lstrip("/") or options.get("dbname", "")
        self.name = f"PostgreSQL {hosts or options.get('host') or 'on this host'}/{database}".rstrip("/")
        """What logs and errors call the store."""
        self._files = {option: options[option] for option in _FILES if options.get(option, _SYSTEM) != _SYSTEM}

    def __repr__(self) -> str:
        return f"Address({self.name!r})"

    async def connect(self, application: str = "kong-event-hooks") -> Connection:
        """Raise ``StoreUnavailable``, which says what to do."""
        for option, path in self._files.items():
            if not os.access(path, os.R_OK):
                raise StoreUnavailable(f"{self.name}: `{option}` in `store`: {path} is not there, or may not be read")
        connection: Connection | None = None
        try:
            connection = await self._connected(application)
            search_path, encoding, *_ = await connection.fetchrow(SQL.session, [], [], [], [], [])
            self._check(search_path, encoding)
        except Exception as error:
            if connection is not None:
                connection.terminate()
            elif kind_of(error) == "data":
                raise StoreUnavailable(f"{self.name}: `store` is not right: {message_of(error)}") from error
            raise to_queue_error(error, self.name) from error
        except BaseException:
            if connection is not None:
                connection.terminate()
            raise
        return connection

    async def _connected(self, application: str) -> Connection:
        """Connect to the first host that can be used."""
        *urls, last = sorted(self._urls, key=self._first.__ne__)
        for url in urls:
            try:
                return await self._connected_to(url, application)
            except Exception as error:
                if kind_of(error) != "lost":
                    raise
        return await self._connected_to(last, application)

    async def _connected_to(self, url: str, application: str) -> Connection:
        connection = await asyncpg.connect(
            url,
            timeout=CONNECTING / len(self._urls),
            command_timeout=STATEMENT,
            statement_cache_size=200,
            max_cached_statement_lifetime=0,
            server_settings=_settings(application),
        )
        if self._asks_writable:
            self._first = url
        return connection

    def _check(self, search_path: str, encoding: str) -> None:
        """Raise ``StoreUnavailable`` where a connection is none that can be used."""
        if search_path != SCHEMA:
            raise StoreUnavailable(f"{self.name}: it has not set what the connection asked for: {POOLER}")
        if encoding not in ENCODINGS:
            raise StoreUnavailable(
                f"{self.name}: the encoding of its database is {encoding}, which has not every character: make the "
                "database with ENCODING 'UTF8' TEMPLATE template0"
            )


def _settings(application: str) -> dict[str, str]:
    def milliseconds(seconds: float) -> str:
        return str(int(seconds * 1000))

    return {
        "application_name": application,
        "search_path": SCHEMA,
        "default_transaction_isolation": "read committed",
        "idle_in_transaction_session_timeout": milliseconds(IDLE_IN_TRANSACTION),
        "lock_timeout": milliseconds(LOCK),
        "statement_timeout": milliseconds(STATEMENT),
        "tcp_keepalives_idle": str(KEEPALIVE),
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
        # Each statement has an index for its rows. A table that was small when its plan was made grows by thousands of
        # rows before the plan is made anew.
        "enable_seqscan": "off",
        "jit": "off",
    }

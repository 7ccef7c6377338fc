"""A real PostgreSQL of the tests' own: a cluster in a temporary directory, started once in a process of tests.

It listens on a unix socket alone. Nothing in it outlives the tests, so nothing is flushed to disk. The server runs as
another user where the tests run as root, which it refuses.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import psycopg

from kong_eventhooks_plugin.queue.postgresql.connection import SCHEMA, Address
from kong_eventhooks_plugin.queue.postgresql.schema import migrate

PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt")
NOBODYS = ("postgres", "nobody")
STARTING = 60.0

NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
QUIET = ("autovacuum=off", "shared_buffers=16MB", "max_connections=60", "max_wal_size=64MB", "log_min_messages=fatal")

DURABLE = ("fsync=off", "full_page_writes=off", *QUIET)
"""What is committed outlives the server, and not the machine."""


def binaries() -> Path | None:
    """Return the directory of the newest PostgreSQL's programs, None where there is none."""
    found = [path for place in PLACES for path in Path(place).glob("*/bin/initdb")]
    found.sort(key=lambda path: [int(part) for part in path.parts[-3].split(".") if part.isdecimal()])
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    return Path(on_path).resolve().parent if on_path else None


class Cluster:
    """A server; ``url(database)`` is where it is."""

    def __init__(self, programs: Path, folder: Path, settings: Sequence[str]) -> None:
        self._programs = programs
        self._folder = folder
        self._settings = settings
        self._server: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", role: str = "postgres") -> str:
        return f"postgresql://{role}@/{database}?host={quote(str(self._folder), safe='')}"

    def make(self) -> None:
        self._run(
            "initdb", "--pgdata", str(self._folder / "data"), "--username=postgres", "--auth=trust", "--no-sync",
            "--encoding=UTF8", "--no-locale", "--no-instructions",
        )  # fmt: skip

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        options = [option for setting in self._settings for option in ("-c", setting)]
        data = str(self._folder / "data")
        log = (self._folder / "log").open("ab")
        self._server = subprocess.Popen(
            [*_as_nobody(), str(self._programs / "postgres"), "-D", data, "-k", str(self._folder),
             "-c", "listen_addresses=", *options],
            stdout=log, stderr=log, cwd="/",
        )  # fmt: skip
        log.close()
        give_up = time.monotonic() + STARTING
        ready = [str(self._programs / "pg_isready"), "-q", "-h", str(self._folder)]
        while subprocess.run(ready, check=False).returncode != 0:
            if self._server.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"PostgreSQL does not start: {(self._folder / 'log').read_text()[-2_000:]}")
            time.sleep(0.02)

    @property
    def pid(self) -> int | None:
        """The server's first process, None where it does not run."""
        return None if self._server is None else self._server.pid

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT is its fast shutdown, SIGQUIT its immediate one."""
        server, self._server = self._server, None
        if server is not None:
            server.send_signal(how)
            server.wait(30)

    def follow(self, primary: "Cluster") -> None:
        """Make it a copy of a running server that follows it: an asynchronous standby."""
        self._run(
            "pg_basebackup", "--pgdata", str(self._folder / "data"), "--host", str(primary._folder),
            "--username=postgres", "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
        )  # fmt: skip

    def back_up(self) -> None:
        """Copy the data of a server that is stopped; one copy is kept."""
        shutil.rmtree(self._folder / "backup", ignore_errors=True)
        self._run_as_nobody("cp", "--archive", str(self._folder / "data"), str(self._folder / "backup"))

    def restore(self) -> None:
        """Put the copy in place of the data of a server that is stopped."""
        shutil.rmtree(self._folder / "data")
        (self._folder / "backup").rename(self._folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        self._run_as_nobody(str(self._programs / program), *arguments)

    @staticmethod
    def _run_as_nobody(*command: str) -> None:
        subprocess.run([*_as_nobody(), *command], check=True, cwd="/", stdout=subprocess.DEVNULL)


@contextmanager
def cluster(
    programs: Path, settings: Sequence[str] = (*NOT_DURABLE, *QUIET), primary: Cluster | None = None
) -> Iterator[Cluster]:
    """Make a cluster in a temporary directory, start it, end it and remove it; a standby where there is a primary."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has 107 bytes
    made = Cluster(programs, folder, settings)
    try:
        if os.geteuid() == 0:
            user = _nobody()
            os.chown(folder, user.pw_uid, user.pw_gid)
        if primary is None:
            made.make()
        else:
            made.follow(primary)
        made.start()
        yield made
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            made.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


def _nobody() -> pwd.struct_passwd:
    for name in NOBODYS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError(f"PostgreSQL does not run as root, and there is none of the users {NOBODYS}")


def _as_nobody() -> list[str]:
    if os.geteuid() != 0:
        return []
    user = _nobody()
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@contextmanager
def types_asked_once() -> Iterator[None]:
    """Let asyncpg ask the server for the types of arrays once, and not on every connection: half of its cost."""
    known: dict[frozenset[int], Any] = {}
    ask = asyncpg.Connection._introspect_types

    async def introspect(connection: asyncpg.Connection, oids: Iterable[int], timeout: float) -> Any:  # noqa: ASYNC109
        key = frozenset(oids)
        if key not in known:
            known[key] = await ask(connection, key, timeout)
        return known[key]

    asyncpg.Connection._introspect_types = introspect
    try:
        yield
    finally:
        asyncpg.Connection._introspect_types = ask


class StoreDatabase:
    """A database whose schema is ours. It is emptied for each test: a new one takes ten times as long."""

    def __init__(self, url: str, connection: psycopg.Connection) -> None:
        self.url = url
        self._connection = connection
        self._emptying: str | None = None

    def empty(self) -> None:
        """Delete every row that a test may have written, and make the schema where there is none."""
        if self._emptying is None:
            with ThreadPoolExecutor() as thread:  # this one's loop may be running
                thread.submit(asyncio.run, _migrate(self.url)).result()
            query = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
            tables = {row[0] for row in self._connection.execute(query, [SCHEMA])} - {"schema_version", "leadership"}
            deletes = [f"DELETE FROM {SCHEMA}.{table}" for table in sorted(tables)]  # noqa: S608
            nobody = f"UPDATE {SCHEMA}.leadership SET holder = '', until = 0"  # noqa: S608
            from_one = f"SELECT setval('{SCHEMA}.events_n', 1, false)"
            self._emptying = "; ".join([*deletes, nobody, from_one])
        self._connection.execute(self._emptying)


@contextmanager
def store_database(cluster: Cluster) -> Iterator[StoreDatabase]:
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE store")
    with psycopg.connect(cluster.url("store"), autocommit=True) as connection, types_asked_once():
        yield StoreDatabase(cluster.url("store"), connection)


async def _migrate(url: str) -> None:
    connection = await Address(url).connect()
    await migrate(connection, "test")
    await connection.close()

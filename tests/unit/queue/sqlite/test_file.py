"""The file: who may read it, whose it is, which version it has."""

import asyncio
import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.contract import DeliveryFilter, EndpointHealth
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue, file
from kong_eventhooks_plugin.queue.sqlite.statements import MIGRATIONS
from tests.support.clock import START, FakeClock
from tests.support.queue import NAME, attempt, event, held_back, hook, id_of, offer
from tests.support.queue_processes import locked

VERSION_1 = Path(__file__).with_name("store-v1.sql")
NEXT = file.VERSION + 1


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make(path: Path, script: str, permissions: int = 0o644) -> bytes:
    """Write a database with a script; return the file's bytes, none for no script."""
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    path.chmod(permissions)
    return contents(path)


def contents(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, what: bytes) -> None:
    path.write_bytes(what)


async def refusal(path: Path, *, read_only: bool = False) -> str:
    """The text with which a file is refused."""
    queue = SqliteQueue(path, read_only=read_only)
    with pytest.raises(StoreUnavailable) as refused:
        await queue.open()
    await queue.close()
    return str(refused.value)


async def test_only_its_owner_reads_it(path: Path) -> None:
    before = os.umask(0)
    try:
        queue = SqliteQueue(path)
        await queue.open()
        await queue.offer(offer(1))
        modes = {name: mode(path.with_name(name)) for name in ("queue.db", "queue.db-wal", "queue.db-shm")}
        await queue.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(modes, 0o600)


async def test_a_file_that_is_there_keeps_its_mode(path: Path) -> None:
    make(path, "", 0o640)
    queue = SqliteQueue(path)
    await queue.open()
    await queue.close()
    assert mode(path) == 0o640


async def test_it_says_what_it_is(path: Path) -> None:
    queue = SqliteQueue(path)
    await queue.open()
    await queue.close()
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA application_id").fetchone() == (file.FORMAT.application_id,)
        assert connection.execute("PRAGMA user_version").fetchone() == (file.VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        connection.close()


def test_every_commit_reaches_the_disk(path: Path) -> None:
    connection = file.open_writer(path)
    try:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    finally:
        connection.close()


async def test_its_directory_is_made(tmp_path: Path) -> None:
    queue = SqliteQueue(tmp_path / "new" / "queue.db")
    await queue.open()
    await queue.close()
    assert mode(tmp_path / "new") == 0o700


async def test_its_directorys_parent_is_not(tmp_path: Path) -> None:
    results = await refusal(tmp_path / "not" / "there" / "queue.db")
    assert results == f"{tmp_path}/not/there/queue.db: the directory {tmp_path}/not does not exist; create it first"


@pytest.mark.parametrize("name", ["a b.db", "a?mode=ro.db", "a#b%20c.db", "grüße.db"])
async def test_a_strange_name(tmp_path: Path, name: str) -> None:
    queue = SqliteQueue(tmp_path / name)
    await queue.open()
    await queue.offer(offer(1))
    await queue.close()
    assert (tmp_path / name).stat().st_size > 0


async def test_an_empty_file_is_taken(path: Path) -> None:
    make(path, "")
    queue = SqliteQueue(path)
    await queue.open()
    assert (await queue.offer(offer(1))).fired
    await queue.close()


@pytest.mark.parametrize(
    "script",
    ["CREATE TABLE theirs (a);", "PRAGMA application_id = 7;", "PRAGMA user_version = 1; CREATE TABLE events (id);"],
)
@pytest.mark.parametrize("read_only", [False, True])
async def test_another_programs_file_is_left_alone(path: Path, script: str, read_only: bool) -> None:
    before = make(path, script)
    assert (
        await refusal(path, read_only=read_only)
        == f"{path}: belongs to another program; move it away, or choose another directory"
    )
    assert contents(path) == before


@pytest.mark.parametrize("read_only", [False, True])
async def test_what_is_no_database_is_left_alone(path: Path, read_only: bool) -> None:
    write(path, b"dear diary, " * 100)
    assert await refusal(path, read_only=read_only) == f"{path}: is not an SQLite file; choose another"
    assert contents(path) == b"dear diary, " * 100


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_newer_version_is_left_alone(path: Path, read_only: bool) -> None:
    script = f"PRAGMA application_id = {file.FORMAT.application_id}; PRAGMA user_version = 999; CREATE TABLE x (a);"
    before = make(path, script)
    results = await refusal(path, read_only=read_only)
    assert "newer version" in results
    assert "999" in results
    assert contents(path) == before


async def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert str(tmp_path) in await refusal(tmp_path)


async def test_a_store_that_is_old_is_read_when_it_is_migrated(path: Path) -> None:
    make(path, f"PRAGMA application_id = {file.FORMAT.application_id};")
    assert "`serve` brings it up to date" in await refusal(path, read_only=True)


def test_many_may_create_it_at_once(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for connection in list(pool.map(file.open_writer, [path] * 8)):
            assert connection.execute("PRAGMA user_version").fetchone() == (file.VERSION,)
            connection.close()


def test_a_lock_that_lasts_is_told_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.open_writer(path).close()
    monkeypatch.setattr(file, "OPENING_PATIENCE", 0.05)
    monkeypatch.setattr(file, "FORMAT", file.FORMAT._replace(version=NEXT))
    monkeypatch.setattr(file, "MIGRATIONS", {**MIGRATIONS, NEXT: "CREATE TABLE two (a);"})
    with locked(path) as lock:
        with pytest.raises(StoreUnavailable, match="locked"):
            file.open_writer(path)
        lock.release()
        file.open_writer(path).close()


def test_migrations_have_no_gap() -> None:
    assert sorted(MIGRATIONS) == list(range(1, file.VERSION + 1))


def test_a_migration_is_made_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.open_writer(path).close()
    before = file.VERSION
    monkeypatch.setattr(file, "FORMAT", file.FORMAT._replace(version=NEXT + 1))
    half = {NEXT: "CREATE TABLE two (a);", NEXT + 1: "CREATE TABLE three (a);\nINSERT INTO missing VALUES (1);"}
    monkeypatch.setattr(file, "MIGRATIONS", {**MIGRATIONS, **half})
    with pytest.raises(StoreUnavailable, match="missing"):
        file.open_writer(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (before,)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('two', 'three')").fetchone() == (0,)
    connection.close()

    monkeypatch.setitem(file.MIGRATIONS, NEXT + 1, "CREATE TABLE three (a); -- done")
    connection = file.open_writer(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (NEXT + 1,)
    connection.execute("INSERT INTO three VALUES (1)")
    connection.close()


async def test_a_store_of_version_1_opens(path: Path, clock: FakeClock) -> None:
    """Written by version 1 of the schema, and never to be written anew: a later version has to read it."""
    make(path, VERSION_1.read_text("utf-8"))
    clock.advance(100)
    queue = SqliteQueue(path, clock=clock)
    with structlog.testing.capture_logs() as logs:
        await queue.open()
    assert logs == [{"event": "store_upgraded", "file": str(path), "was": 1, "now": file.VERSION, "log_level": "info"}]
    try:
        page = await queue.page(DeliveryFilter(), 10)
        assert [(one.id, one.state, one.attempts) for one in page.deliveries] == [
            (id_of(3), "pending", 0),
            (id_of(2), "dead", 1),
            (id_of(1, "g"), "pending", 0),
            (id_of(1), "delivered", 2),
        ]
        assert page.deliveries[-1].event == event(1, text="grüße")
        assert await queue.attempts(id_of(1)) == [attempt(1), attempt(2, "delivered")]
        assert await queue.definitions() == [hook("one")]
        assert await queue.endpoints() == [EndpointHealth("h", START, "gone", START + 1)]
        assert await held_back(queue) == {("s", NAME, "snoozed"): 1}
        assert (await queue.stats()).depth == {"pending": 2, "leased": 0, "delivered": 1, "dead": 1}
        assert (await queue.offer(offer(1))).duplicate
        receipts = await asyncio.gather(queue.offer(offer(4)), queue.offer(offer(5)))
        assert [receipt.fired for receipt in receipts] == [("h",), ("h",)]
        assert [one.event for one in await queue.claim("g", 9, 60)] == [event(1, text="grüße")]
    finally:
        await queue.close()

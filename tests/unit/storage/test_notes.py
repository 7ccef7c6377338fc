"""Notes in a real file: durable, shared, bounded; damaged files and kill -9."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.storage.notes import MAX_NAME, MAX_NOTE, NoteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
async def notes(path: Path) -> AsyncIterator[NoteStore]:
    notes = NoteStore(path)
    await notes.open()
    yield notes
    await notes.close()


async def again(path: Path) -> NoteStore:
    notes = NoteStore(path)
    await notes.open()
    return notes


async def test_put_get_drop_and_names(notes: NoteStore, path: Path) -> None:
    assert await notes.get("a/1") is None
    await notes.put("a/1", b"one")
    await notes.put("a/2", b"\x00\xff")
    await notes.put("a%", b"")
    await notes.put("a/1", b"new")
    assert await notes.get("a/1") == b"new"
    assert await notes.get("a/2") == b"\x00\xff"
    assert await notes.get("a%") == b""
    assert await notes.names("a/") == ["a/1", "a/2"]
    assert await notes.names("a%") == ["a%"], "no pattern"
    assert await notes.names() == ["a%", "a/1", "a/2"]
    await notes.drop("a/1")
    await notes.drop("a/1")
    assert await notes.names() == ["a%", "a/2"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600  # noqa: ASYNC240 - a test may block


async def test_notes_outlive_their_process(notes: NoteStore, path: Path) -> None:
    await notes.put("a", b"one")
    await notes.close()
    await notes.close()
    with pytest.raises(StoreUnavailable):
        await notes.get("a")
    other = await again(path)
    assert await other.get("a") == b"one"
    await other.close()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from kong_eventhooks_plugin.storage.notes import NoteStore
async def main():
    notes = NoteStore(Path(sys.argv[1]))
    await notes.open()
    await notes.put("killed", b"one")
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


async def test_a_note_outlives_kill_9(notes: NoteStore, path: Path) -> None:
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", KILLED, str(path)], timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
    assert await notes.get("killed") == b"one"


async def test_two_at_once(notes: NoteStore, path: Path) -> None:
    other = await again(path)
    await asyncio.gather(*(each.put(f"{n}", bytes([n])) for n in range(50) for each in (notes, other)))
    assert len(await other.names()) == 50
    await notes.put("7", b"seven")
    assert await other.get("7") == b"seven"
    await other.close()


async def test_limits(path: Path) -> None:
    notes = NoteStore(path, limit=100)
    await notes.open()
    await notes.put("a", bytes(60))
    with pytest.raises(StoreUnavailable, match="larger than 100 bytes"):
        await notes.put("b", bytes(41))
    await notes.put("b", bytes(40))
    await notes.put("a", bytes(50))
    for name, size in (("n" * (MAX_NAME + 1), 1), ("big", MAX_NOTE + 1)):
        with pytest.raises(StoreUnavailable):
            await notes.put(name, bytes(size))
    assert await notes.names() == ["a", "b"]
    await notes.close()


async def test_a_file_that_is_none_is_moved_aside(path: Path) -> None:
    content = b"no database at all, and long enough to be read as one" * 100
    path.write_bytes(content)  # noqa: ASYNC240 - a test may block
    notes = await again(path)
    await notes.put("a", b"one")
    assert await notes.get("a") == b"one"
    assert path.with_name("gateway.db.damaged").read_bytes() == content
    await notes.close()


async def test_a_file_that_is_damaged_while_running(notes: NoteStore, path: Path) -> None:
    await notes.put("big", os.urandom(2_000_000))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:
        for page in range(1, os.fstat(file.fileno()).st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    await notes.close()
    notes = await again(path)
    assert await notes.get("big") is None
    await notes.put("a", b"one")
    assert await notes.get("a") == b"one"
    assert path.with_name("gateway.db.damaged").exists()
    await notes.close()


async def test_a_file_that_somebody_else_moved_aside(notes: NoteStore, path: Path) -> None:
    await notes.put("a", b"one")
    path.rename(path.with_name("elsewhere"))  # noqa: ASYNC240 - a test may block
    assert await notes.get("a") is None
    await notes.put("a", b"two")
    other = await again(path)
    assert await other.get("a") == b"two"
    await other.close()


async def test_no_directory(tmp_path: Path) -> None:
    notes = NoteStore(tmp_path / "none" / "gateway.db")
    with pytest.raises(StoreUnavailable, match="cannot be created"):
        await notes.open()
    with pytest.raises(StoreUnavailable, match="not open"):
        await notes.get("a")
    await notes.close()


async def test_a_lock_that_does_not_go(notes: NoteStore, path: Path) -> None:
    # The cursor ends in the notes' own thread: one freed here, beside the next call, takes away that call's error text.
    await notes._run(lambda connection: connection.execute("PRAGMA busy_timeout = 50").close())
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await notes.put("a", b"one")
    assert await notes.get("a") is None, "reading goes on"
    blocker.execute("ROLLBACK")
    blocker.close()
    await notes.put("a", b"one")


async def test_opening_leaves_sqlite_s_locks_alone(notes: NoteStore, path: Path) -> None:
    """Closing any descriptor of a file lets go of the process's POSIX locks on it, SQLite's among them."""
    opened = []
    real = os.open

    def watch(name: object, *rest: object, **more: object) -> int:
        handle = real(name, *rest, **more)  # type: ignore[arg-type]
        opened.append(name)
        return handle

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", watch)
        other = await again(path)
    assert path not in opened
    await other.close()

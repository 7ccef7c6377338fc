"""Other processes on the same store: one that holds its lock, ones that accept, one that is killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]

HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
print("free", flush=True)
sys.stdin.readline()
"""

ACCEPT = """
import asyncio, sys
from pathlib import Path
from kong_eventhooks_plugin.queue.contract import QueueLimits
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from tests.support.queue import offer

path, name, count, together, per_hook = sys.argv[1:]

async def one(queue, key):
    receipt = await queue.offer(offer(f"{name} {key}"))
    # One write for one receipt: what the reader got was committed, whenever this process dies.
    sys.stdout.write(f"{receipt.event_id} {'fired' if receipt.fired else receipt.held_back['h']}\\n")
    sys.stdout.flush()

async def main():
    queue = SqliteQueue(Path(path), QueueLimits(deliveries_per_hook=int(per_hook)))
    await queue.open()
    for start in range(0, int(count), int(together)):
        await asyncio.gather(*(one(queue, key) for key in range(start, start + int(together))))
    await queue.close()

asyncio.run(main())
"""


@contextmanager
def started(script: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """A Python process that runs ``script``; killed in the end where it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines_of(process: "subprocess.Popen[str]") -> IO[str]:
    """Its output."""
    assert process.stdout is not None
    return process.stdout


class Lock:
    """A process that holds a store's write lock until told otherwise."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        assert lines_of(process).readline() == "locked\n"

    def release(self) -> None:
        """Let go, and wait until it has."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert lines_of(self._process).readline() == "free\n"


@contextmanager
def locked(path: Path) -> Iterator[Lock]:
    """Another process holds ``BEGIN EXCLUSIVE``."""
    with started(HOLD_THE_LOCK, path) as process:
        yield Lock(process)

"""A receipt outlives a kill -9 of the process that gave it."""

import sqlite3
from pathlib import Path

import pytest

from kong_eventhooks_plugin.errors import UnknownDelivery
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from tests.support.queue_processes import ACCEPT, lines_of, started
from tests.support.waiting import SECONDS


@pytest.mark.parametrize("after", [1, 250, 1_300])
async def test_every_receipt_is_there_after_a_kill(path: Path, after: int) -> None:
    with started(ACCEPT, path, "only", 1_000_000, 20, 1_000_000) as process:
        output = lines_of(process)
        lines = [output.readline() for _ in range(after)]
        process.kill()
        lines += output.readlines()
        process.wait(SECONDS)
    receipts = [line.split()[0] for line in lines if line.endswith("fired\n")]
    assert len(receipts) >= after

    queue = SqliteQueue(path)
    await queue.open()
    try:
        missing = []
        for event_id in receipts:
            try:
                await queue.get(delivery_id(event_id, "h"))
            except UnknownDelivery:
                missing.append(event_id)
        assert missing == []
        assert (await queue.stats()).per_hook["h"] >= len(receipts)
    finally:
        await queue.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert (
        connection.execute("SELECT deliveries FROM hooks").fetchone()
        == connection.execute("SELECT count(*) FROM deliveries WHERE settled_at IS NULL").fetchone()
    )
    connection.close()

"""The role that docs/cluster.md makes: what it is granted is enough, and no more."""

import asyncio
import subprocess
from pathlib import Path

import asyncpg
import pytest

from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from tests.support.doc_blocks import ALL
from tests.support.postgres import Cluster
from tests.support.queue import offer


def run(text: str, programs: Path, cluster: Cluster) -> None:
    psql = [str(programs / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", cluster.url()]
    subprocess.run(psql, input=text.encode(), check=True, capture_output=True)


async def test_a_role_that_owns_one_schema_is_enough(postgres_programs: Path, postgres_cluster: Cluster) -> None:
    (block,) = [block for block in ALL if block.language == "sql"]
    await asyncio.to_thread(run, block.text, postgres_programs, postgres_cluster)
    url = postgres_cluster.url("event_hooks", "event_hooks")
    queue, *others = [PostgresQueue(url) for _ in range(4)]
    await asyncio.gather(*(one.open() for one in (queue, *others)))  # one makes the tables, the others wait
    for one in others:
        await one.close()
    assert (await queue.offer(offer(1, "hook"))).fired == ("hook",)
    assert await queue.lead("a node", 10)
    await queue.sweep()
    await queue.close()
    connection = await asyncpg.connect(url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("CREATE SCHEMA another")
    await connection.close()

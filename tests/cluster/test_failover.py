"""A failover to an asynchronous standby that lost the last commits: what was accepted arrives all the same."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from tests.cluster.arrived import Arrived
from tests.cluster.nodes import Nodes
from tests.support import postgres
from tests.support.http_receiver import HttpReceiver
from tests.support.postgres import Cluster

pytestmark = pytest.mark.long


@pytest.fixture
def primary(postgres_programs: Path) -> Iterator[Cluster]:
    with postgres.cluster(postgres_programs, postgres.DURABLE) as made:
        yield made


@pytest.fixture
def standby(postgres_programs: Path, primary: Cluster) -> Iterator[Cluster]:
    with postgres.cluster(postgres_programs, postgres.DURABLE, primary) as made:
        yield made


def url_of(*servers: Cluster) -> str:
    """Return one URL for all of them: whoever can be written to is the store."""
    parts = urlsplit(servers[0].url())
    hosts = ",".join(parse_qs(urlsplit(server.url()).query)["host"][0] for server in servers)
    return parts._replace(query=f"host={hosts}&target_session_attrs=read-write").geturl()


def execute(server: Cluster, statement: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(statement)


async def test_the_commits_that_a_failover_lost(
    tmp_path: Path, primary: Cluster, standby: Cluster, receiver: HttpReceiver
) -> None:
    arrived = Arrived(receiver)
    async with Nodes(tmp_path, url_of(primary, standby), receiver) as nodes:
        first, second = await asyncio.gather(nodes.start("first"), nodes.start("second"))
        await asyncio.gather(first.publish(range(1, 51)), second.publish(range(51, 101)))
        await arrived.all_of(range(1, 101))
        await asyncio.gather(first.settled(), second.settled())
        execute(standby, "ALTER SYSTEM SET primary_conninfo = ''")
        execute(standby, "SELECT pg_reload_conf()")
        execute(standby, "SELECT pg_wal_replay_pause()")  # no commit from here on is on the standby
        await asyncio.gather(first.publish(range(101, 151)), second.publish(range(151, 201)))
        await arrived.all_of(range(101, 201))
        await asyncio.to_thread(primary.stop, signal.SIGQUIT)
        execute(standby, "SELECT pg_wal_replay_resume()")
        execute(standby, "SELECT pg_promote()")
        await asyncio.gather(first.publish(range(201, 251)), second.publish(range(251, 301)))
        await arrived.all_of(range(201, 301))
        await asyncio.gather(first.settled(), second.settled())
        assert arrived.under_one_id() == list(range(1, 301))
        for node in (first, second):
            lost = await node.logged("shared_store_went_back")
            assert lost["has"] < lost["had"]
            assert (await node.readyz())["events_lost"] == {}

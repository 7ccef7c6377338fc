"""Which nodes live, as each of them sees it."""

import pytest
from msgspec.structs import replace

from kong_eventhooks_plugin.delivery.membership import GONE, Membership
from kong_eventhooks_plugin.queue.holders import this_process
from kong_eventhooks_plugin.queue.nodes import Node
from tests.support.delivery_time import FakeTime
from tests.support.node_table import MemoryNodeTable, NodeRows

OURS, OTHER = Node("us", "1", "our host", "1"), Node("others", "2", "another host", "1")


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def rows(time: FakeTime) -> NodeRows:
    return NodeRows(time)


@pytest.fixture
def table(rows: NodeRows) -> MemoryNodeTable:
    return MemoryNodeTable(rows)


@pytest.fixture
def member(table: MemoryNodeTable, time: FakeTime) -> Membership:
    return Membership(table, lambda: OURS, time, time.wait, time)


async def beat(member: Membership, time: FakeTime, seconds: int) -> None:
    for _ in range(seconds):
        await member.beat()
        time.advance(1)


async def test_who_is_silent_for_too_long_is_gone(member: Membership, table: MemoryNodeTable, time: FakeTime) -> None:
    await table.beat(OTHER)
    await beat(member, time, int(GONE))
    assert table.shared.released == 0
    await member.beat()
    assert (table.shared.rows["others"].state, table.shared.released) == ("gone", 1)


async def test_who_is_heard_is_not(member: Membership, table: MemoryNodeTable, time: FakeTime) -> None:
    for _ in range(4):
        await table.beat(OTHER)
        await beat(member, time, int(GONE))
    assert table.shared.rows["others"].state == "live"


async def test_nobody_is_gone_because_the_store_was_away(
    member: Membership, table: MemoryNodeTable, time: FakeTime
) -> None:
    await table.beat(OTHER)
    await beat(member, time, 2)
    table.away = True
    await beat(member, time, 60)
    table.away = False
    await beat(member, time, 2)
    assert table.shared.released == 0
    await beat(member, time, int(GONE))
    assert table.shared.rows["others"].state == "gone"


async def test_a_process_that_stood_still_takes_nobody_for_gone(
    member: Membership, table: MemoryNodeTable, time: FakeTime
) -> None:
    await table.beat(OTHER)
    await beat(member, time, 2)
    time.advance(600)
    await beat(member, time, 2)
    assert table.shared.rows["others"].state == "live"


async def test_who_has_exited_on_this_machine_is_gone_at_once(member: Membership, table: MemoryNodeTable) -> None:
    exited = f"{this_process().rpartition('/')[0]}/1"
    await table.beat(replace(OTHER, process=exited))
    await member.beat()
    assert table.shared.rows[exited].state == "gone"


async def test_one_that_leaves_says_so(member: Membership, table: MemoryNodeTable, time: FakeTime) -> None:
    await beat(member, time, 1)
    await member.leave("leaving")
    assert table.shared.rows["us"].state == "leaving"
    await beat(member, time, 1)
    await member.leave("gone")
    assert table.shared.rows["us"].state == "gone"

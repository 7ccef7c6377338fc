"""Which nodes live, as each of them sees it."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from kong_eventhooks_plugin.delivery.membership import GONE, Membership
from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.holders import this_process
from kong_eventhooks_plugin.queue.nodes import Beat, Node
from tests.support.delivery_time import FakeTime

OURS, OTHER = Node("us", "1", "our host", "1"), Node("others", "2", "another host", "1")


class Table:
    """The table of nodes in memory; ``away``: it cannot be reached."""

    def __init__(self, time: FakeTime) -> None:
        self._time = time
        self.rows: dict[str, Node] = {}
        self.away = False
        self.released = 0

    async def beat(self, ours: Node) -> Beat:
        self._reach()
        lost = ours.process in self.rows and self.rows[ours.process].state == "gone"
        self.rows[ours.process] = replace(ours, seen_at=self._time())
        return Beat(tuple(self.rows.values()), self._time(), lost)

    async def set_gone(self, node: Node) -> bool:
        self._reach()
        news = self.rows[node.process] == node
        if news:
            self.rows[node.process] = replace(node, state="gone")
        return news

    async def release_leases(self) -> Sequence[str]:
        self._reach()
        self.released += 1
        return []

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def table(time: FakeTime) -> Table:
    return Table(time)


@pytest.fixture
def member(table: Table, time: FakeTime) -> Membership:
    return Membership(table, lambda: OURS, time, time.wait, time)


async def beat(member: Membership, time: FakeTime, seconds: int) -> None:
    for _ in range(seconds):
        await member.beat()
        time.advance(1)


async def test_who_is_silent_for_too_long_is_gone(member: Membership, table: Table, time: FakeTime) -> None:
    await table.beat(OTHER)
    await beat(member, time, int(GONE))
    assert table.released == 0
    await member.beat()
    assert (table.rows["others"].state, table.released) == ("gone", 1)


async def test_who_is_heard_is_not(member: Membership, table: Table, time: FakeTime) -> None:
    for _ in range(4):
        await table.beat(OTHER)
        await beat(member, time, int(GONE))
    assert table.rows["others"].state == "live"


async def test_nobody_is_gone_because_the_store_was_away(member: Membership, table: Table, time: FakeTime) -> None:
    await table.beat(OTHER)
    await beat(member, time, 2)
    table.away = True
    await beat(member, time, 60)
    table.away = False
    await beat(member, time, 2)
    assert table.released == 0
    await beat(member, time, int(GONE))
    assert table.rows["others"].state == "gone"


async def test_a_process_that_stood_still_takes_nobody_for_gone(
    member: Membership, table: Table, time: FakeTime
) -> None:
    await table.beat(OTHER)
    await beat(member, time, 2)
    time.advance(600)
    await beat(member, time, 2)
    assert table.rows["others"].state == "live"


async def test_who_has_exited_on_this_machine_is_gone_at_once(member: Membership, table: Table) -> None:
    exited = f"{this_process().rpartition('/')[0]}/1"
    await table.beat(replace(OTHER, process=exited))
    await member.beat()
    assert table.rows[exited].state == "gone"


async def test_one_that_leaves_says_so(member: Membership, table: Table, time: FakeTime) -> None:
    await beat(member, time, 1)
    await member.leave("leaving")
    assert table.rows["us"].state == "leaving"
    await beat(member, time, 1)
    await member.leave("gone")
    assert (table.rows["us"].state, table.released) == ("gone", 1)

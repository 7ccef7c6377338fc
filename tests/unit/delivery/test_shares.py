"""Two and more nodes over one queue: each hook is delivered by one of them, and moves where a node comes or goes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import islice
from typing import Self

import pytest
from msgspec.structs import replace

from kong_eventhooks_plugin.background import cancel
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.delivery.membership import GONE, HOLD, Membership
from kong_eventhooks_plugin.delivery.rendezvous import owner
from kong_eventhooks_plugin.hooks.contract import HookChange
from kong_eventhooks_plugin.model.delivery import Discard
from kong_eventhooks_plugin.model.hook import Hook, Origin
from kong_eventhooks_plugin.queue.nodes import REMEMBERED, Node
from tests.support.delivery_time import FakeTime
from tests.support.delivery_world import WatchedQueue, World, scripted_hook
from tests.support.node_table import MemoryNodeTable, NodeRows

HOOKS = [scripted_hook(f"hook-{number}") for number in range(12)]
ONE_AT_A_TIME = DeliveryLimits(per_hook=1)


class NodeWorld(World):
    """A worker of a node with heartbeats. ``beats`` runs them."""

    def __init__(self, name: str, cluster: "Cluster", hooks: list[Hook], limits: DeliveryLimits | None = None) -> None:
        self.table = MemoryNodeTable(cluster.rows)
        self.name = name
        self.membership = Membership(self.table, self._row, cluster.time, cluster.time.wait, cluster.time)
        super().__init__(
            *hooks, queue=cluster.queue, time=cluster.time, holder=name, membership=self.membership, limits=limits
        )
        self.registry.on_change(lambda _: self.membership.hurry())

    def _row(self) -> Node:
        return Node(self.name, f"id of {self.name}", self.name, "1", frozenset(self.registry.hooks()))

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.beats = asyncio.create_task(self.membership.keep())
        return self

    async def __aexit__(self, *problem: object) -> None:
        await cancel(self.beats)
        await super().__aexit__(*problem)

    def owned(self) -> set[str]:
        return {hook.name for hook in self.registry.hooks().values() if self.membership.owns(hook.id)}

    def delivered(self) -> set[str]:
        return {job.hook.name for job in self.handler.jobs}


class Cluster:
    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.time = FakeTime()
        self.queue = WatchedQueue(clock=self.time)
        self.rows = NodeRows(self.time)
        self.nodes: list[NodeWorld] = []

    async def start(self, name: str, hooks: list[Hook] = HOOKS, limits: DeliveryLimits | None = None) -> NodeWorld:
        node = await self._stack.enter_async_context(NodeWorld(name, self, hooks, limits))
        self.nodes.append(node)
        await self.turn()
        return node

    async def turn(self) -> None:
        await self.nodes[0].turn(60)

    async def pass_(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.time.advance(1)
            await self.turn()


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        yield Cluster(stack)


def names(hooks: list[Hook]) -> set[str]:
    return {hook.name for hook in hooks}


async def test_each_hook_is_delivered_by_one_of_all(cluster: Cluster) -> None:
    one, two = await cluster.start("one"), await cluster.start("two")
    assert one.owned() | two.owned() == names(HOOKS)
    assert not one.owned() & two.owned()
    await one.offer(*HOOKS, count=2)
    await cluster.queue.settled(2 * len(HOOKS))
    assert (one.delivered(), two.delivered()) == (one.owned(), two.owned())
    assert one.delivered()
    assert two.delivered()


async def test_what_waits_on_a_node_goes_to_one_that_comes(cluster: Cluster) -> None:
    one = await cluster.start("one", limits=ONE_AT_A_TIME)
    one.handler.gates = {hook.name: asyncio.Event() for hook in HOOKS}
    await one.offer(*HOOKS, count=3)
    await one.handler.called(len(HOOKS))
    two = await cluster.start("two")
    moved = two.owned()
    assert moved
    assert one.owned() == names(HOOKS) - moved
    await cluster.queue.settled(2 * len(moved))
    assert two.delivered() == moved
    for gate in one.handler.gates.values():
        gate.set()
    await cluster.queue.settled(3 * len(HOOKS))
    jobs = [job.delivery_id for world in (one, two) for job in world.handler.jobs]
    assert len(jobs) == len(set(jobs)) == 3 * len(HOOKS)


async def test_a_node_that_stops_hands_over_at_once(cluster: Cluster) -> None:
    one, two = await cluster.start("one"), await cluster.start("two")
    one.handler.gates = {hook.name: asyncio.Event() for hook in HOOKS}
    await one.offer(*HOOKS)
    held = len(one.owned())
    await one.handler.called(held)
    draining = asyncio.create_task(one.worker.drain(10))
    await cluster.turn()
    assert two.owned() == names(HOOKS)
    await one.offer(*HOOKS)
    await cluster.queue.settled(2 * len(HOOKS) - held)
    assert two.delivered() == names(HOOKS)
    for gate in one.handler.gates.values():
        gate.set()
    await draining
    assert cluster.rows.rows["one"].state == "gone"
    await cluster.queue.settled(2 * len(HOOKS))


async def test_who_is_silent_loses_its_hooks_and_begins_nothing_before_others_do(cluster: Cluster) -> None:
    one, two = await cluster.start("one"), await cluster.start("two")
    await cluster.pass_(2)
    one.table.away = True
    await cluster.pass_(HOLD)
    assert one.owned() == set()
    assert two.owned() != names(HOOKS), "before the others are sure"
    await cluster.pass_(GONE - HOLD + 2)
    assert two.owned() == names(HOOKS)
    await two.offer(*HOOKS)
    await cluster.queue.settled(len(HOOKS))
    assert two.delivered() == names(HOOKS)
    one.table.away = False
    await cluster.pass_(2)
    assert one.owned() | two.owned() == names(HOOKS)
    assert one.owned()
    assert not one.owned() & two.owned()
    assert one.handler.jobs == []


async def test_a_process_that_stood_still_begins_nothing_that_it_had_claimed(cluster: Cluster) -> None:
    one, two = await cluster.start("one", limits=ONE_AT_A_TIME), await cluster.start("two")
    mine = [hook for hook in HOOKS if hook.name in one.owned()]
    one.handler.gates = {hook.name: asyncio.Event() for hook in mine}
    await one.offer(*mine, count=2)
    await one.handler.called(len(mine))
    for each in (one.beats, one.running):  # it stands still
        await cancel(each)
    cluster.rows.rows["one"] = Node("one", "id of one", "one", "1", cluster.rows.rows["one"].hooks, state="gone")
    cluster.time.advance(HOLD + 1)
    for gate in one.handler.gates.values():
        gate.set()
    await cluster.turn()
    assert len(one.handler.jobs) == len(mine)
    assert two.worker.delivering


async def test_a_hook_belongs_to_a_node_that_declares_it(cluster: Cluster) -> None:
    here, there = HOOKS[:6], HOOKS[6:]
    one, two = await cluster.start("one", here), await cluster.start("two", there)
    assert (one.owned(), two.owned()) == (names(here), names(there))
    await one.offer(*there)
    await two.offer(*here)
    await cluster.queue.settled(len(HOOKS))
    assert (one.delivered(), two.delivered()) == (names(here), names(there))


async def test_deliveries_of_a_hook_wait_for_the_only_node_that_declares_it(cluster: Cluster) -> None:
    (only, *rest) = HOOKS
    one, two = await cluster.start("one", HOOKS), await cluster.start("two", rest)
    await one.worker.drain(1)
    await cluster.turn()
    assert two.owned() == names(rest)
    (delivery,) = await two.offer(only)
    await cluster.pass_(120)
    assert (await cluster.queue.get(delivery)).state == "pending"
    three = await cluster.start("three", HOOKS)
    await cluster.queue.settled(1)
    assert three.delivered() == {only.name}


async def test_deliveries_of_a_hook_end_that_no_node_declares_any_more(cluster: Cluster) -> None:
    (only, *rest) = HOOKS
    one, two = await cluster.start("one", HOOKS), await cluster.start("two", HOOKS)
    (delivery,) = await one.offer(only)
    await cluster.queue.settled(1)
    one.registry.set(*rest)
    await cluster.pass_(60)
    assert two.owned() >= {only.name}
    (delivery,) = await one.offer(only)
    await cluster.queue.settled(2)
    two.registry.set(*rest)
    (delivery,) = await one.offer(only)
    await cluster.pass_(25)
    assert (await cluster.queue.get(delivery)).state == "pending"
    await cluster.pass_(10)
    assert (await cluster.queue.get(delivery)).reason == "hook_removed"


async def test_they_end_an_hour_after_the_node_that_declared_it_has_left(cluster: Cluster) -> None:
    (only, *rest) = HOOKS
    one, two = await cluster.start("one", HOOKS), await cluster.start("two", rest)
    await one.worker.drain(1)
    (delivery,) = await two.offer(only)
    cluster.time.advance(REMEMBERED - 10)
    await cluster.pass_(5)
    assert (await cluster.queue.get(delivery)).state == "pending"
    del cluster.rows.rows["one"]  # as the store does after REMEMBERED seconds
    await cluster.pass_(32)
    assert (await cluster.queue.get(delivery)).reason == "hook_removed"


async def test_a_hook_that_was_switched_off_stays_so_where_it_moves(cluster: Cluster) -> None:
    one = await cluster.start("one")
    one.handler.outcomes = {hook.name: [Discard("gone", "410", disable=True)] for hook in HOOKS}
    await one.offer(*HOOKS)
    await cluster.queue.settled(len(HOOKS))
    two = await cluster.start("two")
    assert two.owned()
    assert {two.worker.held_reason(hook.id) for hook in HOOKS if hook.name in two.owned()} == {"endpoint_gone"}
    await one.offer(*HOOKS)
    await cluster.pass_(5)
    assert two.handler.jobs == []
    (hook, *_) = [hook for hook in HOOKS if hook.name in two.owned()]
    two.handler.outcomes = one.handler.outcomes = {}
    assert await one.worker.enable(hook.id)
    await cluster.pass_(1)
    assert two.delivered() == {hook.name}, "another node enabled it"


async def test_one_of_all_pings(cluster: Cluster) -> None:
    one, two = await cluster.start("one"), await cluster.start("two")
    for node in (one, two):
        node.worker.ping_changes([HookChange(None, hook) for hook in HOOKS])
    await cluster.pass_(5)
    assert sorted(name for node in (one, two) for name, _ in node.handler.pings) == sorted(names(HOOKS))
    three = await cluster.start("three")
    three.worker.ping_changes([HookChange(None, hook) for hook in HOOKS])
    cluster.time.advance(20)
    four = await cluster.start("four")
    four.worker.ping_changes([HookChange(None, hook) for hook in HOOKS])
    await cluster.pass_(5)
    assert four.handler.pings == [], "the others declare them"


async def test_pings_wait_only_where_it_matters_who_declares_a_hook(cluster: Cluster) -> None:
    one, two = await cluster.start("one"), await cluster.start("two")

    async def pinged(*hooks: Hook) -> list[str]:
        """Return what is pinged before any time passes."""
        for node in (one, two):
            node.handler.pings.clear()
            node.worker.ping_changes(node.registry.set(*hooks))
        await cluster.turn()
        return [operation for node in (one, two) for _, operation in node.handler.pings]

    made = scripted_hook("made", origin=Origin("api", "", ""), created_at=cluster.time())
    assert await pinged(*HOOKS, made) == ["create"]
    assert await pinged(*HOOKS, replace(made, snooze=5.0)) == ["update"]
    assert await pinged(*HOOKS) == ["delete"]
    changed = [replace(HOOKS[0], snooze=5.0), *HOOKS[1:]]
    assert await pinged(*changed) == ["update"]
    assert await pinged(*changed[1:]) == []
    await cluster.pass_(5)
    assert [operation for node in (one, two) for _, operation in node.handler.pings] == ["delete"]


async def test_the_last_that_declares_a_hook_says_that_it_is_gone(cluster: Cluster) -> None:
    one, two = await cluster.start("one"), await cluster.start("two")
    for node in (one, two):
        node.worker.ping_changes(node.registry.set(*HOOKS[1:]))
        await cluster.pass_(5)
    assert [ping for node in (one, two) for ping in node.handler.pings] == [(HOOKS[0].name, "delete")]


async def test_in_order_across_moves(cluster: Cluster) -> None:
    config = {"endpoint": "http://in-order:80", "ordered": True}
    both = [Node("p", f"id of {name}", name, "1") for name in ("one", "two")]
    names = (f"in-order-{number}" for number in range(100))
    (hook,) = islice((h for n in names if owner((h := scripted_hook(n, config=config)).id, both) is both[1]), 1)
    one = await cluster.start("one", [hook])
    gate = one.handler.gates[hook.name] = asyncio.Event()
    ids = await one.offer(hook, count=6)
    await one.handler.called(1)
    two = await cluster.start("two", [hook])
    assert two.owned() == {hook.name}
    await cluster.pass_(2)
    assert two.handler.jobs == [], "the one before is under way"
    gate.set()
    await cluster.queue.settled(6)
    assert [job.delivery_id for job in (*one.handler.jobs, *two.handler.jobs)] == ids
    assert len(one.handler.jobs) == 1

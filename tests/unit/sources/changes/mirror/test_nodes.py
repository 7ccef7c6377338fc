"""Two nodes over one database of Kong's, each with a mirror of its own: one change is one event, whoever saw it.

Hypothesis chooses what is written through whose route or behind both, when each reconciles, and when what it found gets
to the store that both share, which keeps the first of each id. In the end:

- no state of an entity is reported more often than the entity came into it, by the events of all operations;
- creates and deletes are not reported more often than there were, by the events that name the operation;
- every state that a request led to is reported, where the entity has an ``updated_at``;
- what an observer found is there under its ids, or was found by the other.
"""

import asyncio
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.changes.events import events_of_change
from kong_eventhooks_plugin.sources.changes.mirror import mirror as mirror_module
from kong_eventhooks_plugin.sources.changes.model import EntityChange, RouteChange
from tests.support.admin_declared import load
from tests.support.mirror_world import RULES, Request, World, observation
from tests.unit.sources.changes.mirror.test_interleavings import GONE, NAMES, TAGS, state_of

EXAMPLES: Final = hypothesis.settings().max_examples // 2
NODES: Final = st.integers(0, 1)
GROUPS: Final = st.sampled_from(["admins", "staff"])

Key = tuple[str, str]


class SharedStore:
    """Keeps the first event of an id."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}

    def names(self, key: Key) -> Counter[str]:
        return Counter(event.event for event in self._of(key) if event.source == "crud")

    def states(self, key: Key) -> Counter[str]:
        """Return the states that the events of all operations report of an entity."""
        found = [event.data for event in self._of(key) if event.event == key[0]]
        return Counter(GONE if data["operation"] == "delete" else state_of(data["entity"]) for data in found)

    def _of(self, key: Key) -> list[Event]:
        events = self.events.values()
        return [event for event in events if (event.data["schema"], event.data["entity"].get("id")) == key]


class Nodes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="mirrors-"))
        self.nodes: list[World] = []
        for name in ("a", "b"):
            (self.folder / name).mkdir()
            self.nodes.append(World(self.folder / name))
        first, second = self.nodes
        second.kong, second.time = first.kong, first.time
        for each in self.nodes:
            self.run(each.open())
        self.store = SharedStore()
        self.history: dict[Key, list[tuple[str, bool]]] = defaultdict(list)
        self.operations: Counter[tuple[str, str, str]] = Counter()
        self.recreated: set[Key] = set()
        self.late: list[list[tuple[Request, int]]] = [[], []]
        self.reconciled = [0, 0]
        self.number = 0

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    @property
    def kong(self) -> Any:
        return self.nodes[0].kong

    def teardown(self) -> None:
        try:
            for node in (0, 1):
                while self.late[node]:
                    self.deliver_late(node)
            for node in (0, 1, 0, 1):
                self.reconcile(node)
            for node in (0, 1):
                self.publish(node)
            self.check()
        finally:
            for each in self.nodes:
                self.run(each.close())
            self.runner.close()
            shutil.rmtree(self.folder)

    # what happens

    @initialize(names=st.sets(NAMES), first=st.sets(NODES))
    def begin(self, names: set[str], first: set[int]) -> None:
        for name in sorted(names):
            self.put("consumers", name, {"username": name}, by_route=False)
        for node in sorted(first):
            self.reconcile(node)

    def put(self, schema: str, name: str, fields: dict[str, Any], *, by_route: bool, within: Any = None) -> Any:
        """Create or change as Kong's PUT does; return what it answers."""
        self.nodes[0].time.advance()
        store = self.kong.store
        row = store.find(schema, name, within)
        operation = "create" if row is None else "update"
        row = store.insert(schema, fields) if row is None else store.update(schema, row, fields)
        if operation == "update" and schema == "consumers" and by_route and self.number % 2:
            row["created_at"] = row["updated_at"]  # as Kong does, by PUT
        return self.entered(schema, row["id"], operation, by_route=by_route)

    def entered(self, schema: str, entity: str, operation: str, *, by_route: bool) -> Any:
        shown = self.kong.shown(schema, entity)
        state = GONE if shown is None else state_of(RULES.mask(schema, shown).shown)
        self.history[schema, entity].append((state, by_route))
        self.operations[schema, entity, operation] += 1
        return shown

    def seen(self, node: int, method: str, path: str, entity: Any, *, late: bool) -> None:
        self.number += 1
        time = self.nodes[0].time
        request = Request(method, path, entity, time() - 0.5, time.advance(), self.number)
        if late:
            self.late[node].append((request, self.reconciled[node]))
        else:
            self.run(self.nodes[node].mirror.apply(observation(request)))

    @rule(node=NODES, name=NAMES, tags=TAGS, put=st.booleans(), late=st.booleans())
    def write_consumer(self, node: int, name: str, tags: Any, put: bool, late: bool) -> None:
        there = self.kong.store.find("consumers", name) is not None
        entity = self.put("consumers", name, {"username": name, "tags": tags}, by_route=True)
        method = "PUT" if put else "PATCH" if there else "POST"
        path = "/consumers" if method == "POST" else f"/consumers/{name}"
        self.seen(node, method, path, entity, late=late)

    @rule(node=NODES, name=NAMES, late=st.booleans())
    def put_consumer_again(self, node: int, name: str, late: bool) -> None:
        """PUT under an id that was there once."""
        store = self.kong.store
        gone = [entity for schema, entity in self.history if schema == "consumers" and not store.find(schema, entity)]
        if gone and store.find("consumers", name) is None:
            self.nodes[0].time.advance()
            store.insert("consumers", {"username": name}, gone[0])
            self.recreated.add(("consumers", gone[0]))
            entity = self.entered("consumers", gone[0], "create", by_route=True)
            self.seen(node, "PUT", f"/consumers/{gone[0]}", entity, late=late)

    @rule(node=NODES, name=NAMES, group=GROUPS, tags=TAGS, late=st.booleans())
    def write_group(self, node: int, name: str, group: str, tags: Any, late: bool) -> None:
        parent = self.kong.store.find("consumers", name)
        if parent is not None:
            fields = {"group": group, "tags": tags, "consumer": {"id": parent["id"]}}
            entity = self.put("acls", group, fields, by_route=True, within=("consumer", parent["id"]))
            self.seen(node, "PUT", f"/consumers/{name}/acls/{group}", entity, late=late)

    @rule(node=NODES, name=NAMES, by_route=st.booleans(), late=st.booleans())
    def delete_consumer(self, node: int, name: str, by_route: bool, late: bool) -> None:
        row = self.kong.store.find("consumers", name)
        if row is not None:
            self.nodes[0].time.advance()
            for schema, gone in self.kong.store.delete("consumers", row):
                self.entered(schema, gone["id"], "delete", by_route=by_route)
            if by_route:
                self.seen(node, "DELETE", f"/consumers/{name}", None, late=late)

    @rule(name=NAMES, tags=TAGS)
    def write_behind(self, name: str, tags: Any) -> None:
        self.put("consumers", name, {"username": name, "tags": tags}, by_route=False)

    @rule(node=NODES)
    @precondition(lambda self: any(self.late))
    def deliver_late(self, node: int) -> None:
        if self.late[node]:
            request, _ = self.late[node].pop(0)
            self.run(self.nodes[node].mirror.apply(observation(request)))

    @rule(node=NODES)
    def reconcile(self, node: int) -> None:
        """Reconcile; what the route saw before the one before is delivered first."""
        while self.late[node] and self.late[node][0][1] < self.reconciled[node]:
            self.deliver_late(node)
        self.nodes[0].time.advance(10)
        assert self.run(self.nodes[node].reconciler.run_once()) == "done"
        self.reconciled[node] += 1

    @rule(node=NODES)
    def publish(self, node: int) -> None:
        for change in self.run(self.nodes[node].publish()):
            for event in events_of_change(change):
                self.store.events.setdefault(event.id, event)

    # what must hold

    def check(self) -> None:
        for key, entries in self.history.items():
            came, told, names = Counter(state for state, _ in entries), self.store.states(key), self.store.names(key)
            assert told <= came, f"{key}: reported {told}, was {came}"
            for operation in ("create", "delete"):
                happened = self.operations[*key, operation]
                assert names[f"{key[0]}:{operation}"] <= happened, f"{key}: {names}, {operation}d {happened} times"
            if key[0] == "consumers":
                wanted = Counter(state for state, by_route in entries if by_route and state != GONE)
                assert wanted <= told, f"{key}: reported {told}, requests led to {wanted}"
            if told and entries[-1][0] == GONE and key not in self.recreated:
                assert told[GONE] == names[f"{key[0]}:delete"] == 1, key
        for schema in ("consumers", "acls"):
            there = {row["id"]: state_of(RULES.mask(schema, row).shown) for row in self.kong.store.all(schema)}
            for world in self.nodes:
                assert {each["id"]: state_of(each) for each in world.known(schema)} == there


@pytest.mark.timeout(600)
def test_one_change_is_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_module, "RETENTION_SECONDS", 0.0)
    run_state_machine_as_test(
        Nodes,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=30, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )  # fmt: skip


@asynccontextmanager
async def pair(folder: Path, **options: Any) -> AsyncIterator[tuple[World, World]]:
    """Two nodes with one Kong's entities, and one time."""
    worlds = []
    for name in ("a", "b"):
        (folder / name).mkdir()
        worlds.append(World(folder / name, **options))
    worlds[1].kong, worlds[1].time = worlds[0].kong, worlds[0].time
    for world in worlds:
        await world.open()
    try:
        yield worlds[0], worlds[1]
    finally:
        for world in worlds:
            await world.close()


def ids(changes: list[EntityChange]) -> Counter[str]:
    return Counter(event.id for change in changes for event in events_of_change(change))


async def test_nodes_that_load_the_same_configuration_find_the_same(tmp_path: Path) -> None:
    """Each of them gives the credentials ids and times of its own; two that look the same are two."""

    def load_into(world: World, minute: int, keys: list[str]) -> None:
        consumer = {"username": "ada", "keyauth_credentials": [{"key": key} for key in keys]}
        limiting = {"name": "rate-limiting", "config": {"minute": minute, "policy": "local"}}
        load(world.kong.store, {"_format_version": "3.0", "consumers": [consumer], "plugins": [limiting]})
        world.kong.configuration_hash = f"{minute} {keys}"

    async with pair(tmp_path, schemas=("consumers", "keyauth_credentials", "plugins")) as (one, two):
        found = []
        for world in (one, two):
            load_into(world, 5, ["k1"])
            await world.reconcile()
            load_into(world, 6, ["k1", "k2", "k3"])
            found.append(await world.reconcile())
            load_into(world, 5, ["k1"])
            found.append(await world.reconcile())
        assert [len(changes) for changes in found] == [3, 3, 3, 3]
        assert ids(found[0]) == ids(found[2])
        assert ids(found[1]) == ids(found[3])
        assert not ids(found[0]) & ids(found[1])
        assert max(ids(found[0] + found[1]).values()) == 1


async def test_what_is_deleted_with_another_is_the_same_to_a_route_and_a_reconciliation(tmp_path: Path) -> None:
    async with pair(tmp_path) as (one, two):
        store = one.kong.store
        grace = store.insert("consumers", {"username": "grace"})
        for key in ("k1", "k2"):
            store.insert("keyauth_credentials", {"key": key, "consumer": {"id": grace["id"]}})
        await one.reconcile()
        await two.reconcile()
        store.delete("consumers", grace)
        by_route, by_list = await one.see("DELETE", "/consumers/grace"), await two.reconcile()
        assert len(by_route) == 3
        assert ids(by_route) == ids(by_list)


async def test_an_entity_that_is_deleted_a_second_time_is_deleted_twice(tmp_path: Path) -> None:
    async with pair(tmp_path) as (one, two):
        store, found = one.kong.store, []
        await one.reconcile()
        await two.reconcile()
        for _ in range(2):
            row = store.insert("consumers", {"username": "grace"}, "84ccf179-b58f-4623-9a59-6bc790cb0b91")
            created = await one.see("PUT", "/consumers/grace", store.shown("consumers", row))
            assert ids(created) == ids(await two.reconcile())
            store.delete("consumers", row)
            deleted = await one.see("DELETE", "/consumers/grace")
            assert ids(deleted) == ids(await two.reconcile())
            found += created + deleted
        assert len(ids(found)) == 12


async def test_a_route_that_does_not_know_an_entity_takes_its_update_for_a_create(tmp_path: Path) -> None:
    """Its event for all operations is the update's; the one for creates is there already, and is one."""
    async with pair(tmp_path) as (one, two):
        store = one.kong.store
        await one.reconcile()
        await two.reconcile()
        row = store.insert("consumers", {"username": "grace"})
        (created,) = await one.see("PUT", "/consumers/grace", store.shown("consumers", row))
        row = store.update("consumers", row, {"tags": ["x"]})
        (mistaken,) = await two.see("PUT", "/consumers/grace", store.shown("consumers", row))
        (updated,) = await one.reconcile()
        assert (mistaken.operation, updated.operation) == ("create", "update")
        once, twice, third = (events_of_change(change) for change in (created, mistaken, updated))
        assert twice[0].id == third[0].id != once[0].id
        assert [event.id for event in twice[1:]] == [event.id for event in once[1:]]


def seen_by(world: World, method: str, path: str, entity: dict[str, Any] | None) -> RouteChange:
    """Return what the node's route saw of a request that takes a second, now: for the mirror when it comes late."""
    world.time.advance()
    world.requests += 1
    return observation(Request(method, path, entity, world.time(), world.time.advance(), world.requests))


async def test_the_same_content_that_is_written_again_is_another_change(tmp_path: Path) -> None:
    """What the route saw of the first write comes when a reconciliation has found what the second one led to."""
    async with pair(tmp_path) as (one, two):
        store = one.kong.store
        await one.reconcile()
        await two.reconcile()
        row = store.insert("consumers", {"username": "grace"})
        first = seen_by(one, "POST", "/consumers", store.shown("consumers", row))
        found_first = await two.reconcile()
        row = store.update("consumers", row, {})
        second = seen_by(one, "PATCH", "/consumers/grace", store.shown("consumers", row))
        by_route = await two.see("PATCH", "/consumers/grace", store.shown("consumers", row))
        found_second = await one.reconcile()
        (late,) = await one.mirror.apply(first)
        assert late.identity == found_first[0].identity
        assert late.identity != found_second[0].identity == by_route[0].identity
        assert await one.mirror.apply(second) == [], "the reconciliation reported it"


async def test_a_create_that_is_seen_after_its_delete_is_the_same_create(tmp_path: Path) -> None:
    """Its number is that of the deletes before it, though the mirror knows of one behind it already."""
    async with pair(tmp_path) as (one, _):
        store = one.kong.store
        await one.reconcile()
        row = store.insert("consumers", {"username": "grace"})
        first = seen_by(one, "POST", "/consumers", store.shown("consumers", row))
        row = store.update("consumers", row, {"tags": ["x"]})
        (mistaken,) = await one.see("PUT", "/consumers/grace", store.shown("consumers", row))
        second = seen_by(one, "PUT", "/consumers/grace", store.shown("consumers", row))
        store.delete("consumers", row)
        await one.reconcile()
        (late,) = await one.mirror.apply(first)
        row = store.insert("consumers", {"username": "grace"}, row["id"])
        *_, again = await one.see("PUT", f"/consumers/{row['id']}", store.shown("consumers", row))
        (later,) = await one.mirror.apply(second)
        assert {change.operation for change in (mistaken, late, again, later)} == {"create"}
        assert late.of_operation == later.of_operation == mistaken.of_operation != again.of_operation


async def test_a_late_delete_of_a_namesake_is_no_second_delete(tmp_path: Path) -> None:
    """The one entity was deleted and made again under its id; in between another one had its name."""
    async with pair(tmp_path) as (one, _):
        store = one.kong.store
        grace = store.insert("consumers", {"username": "grace"})
        await one.reconcile()
        late = []
        for namesake in (grace, {}):
            row = namesake or store.insert("consumers", {"username": "grace"})
            store.delete("consumers", row)
            late.append(seen_by(one, "DELETE", "/consumers/grace", None))
        row = store.insert("consumers", {"username": "grace"}, grace["id"])
        await one.see("PUT", f"/consumers/{grace['id']}", store.shown("consumers", row))
        (deleted,) = await one.mirror.apply(late[0])
        assert (deleted.operation, deleted.id) == ("delete", grace["id"])
        assert await one.mirror.apply(late[1]) == []

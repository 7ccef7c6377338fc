"""Kong without a database: every reload renews all times and some ids, and only what differs is reported."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.admin_declared import digest, load
from tests.support.mirror_world import World, brief

ALL = ("consumers", "keyauth_credentials", "acls", "services", "routes", "plugins")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path, schemas=ALL)
    await world.open()
    yield world
    await world.close()


def reload(world: World, **document: list[dict[str, Any]]) -> None:
    """Replace the configuration, as POST /config does."""
    world.time.advance(10)
    load(world.kong.store, {"_format_version": "3.0", **document})
    world.kong.configuration_hash = digest({"at": world.time(), **document})


def whole() -> dict[str, list[dict[str, Any]]]:
    """Entities of every kind that Kong renews: without a name, by their unnamed parent, with a random id."""
    return {
        "consumers": [
            {"username": "ada", "keyauth_credentials": [{"key": "k1"}, {"key": "k2"}], "acls": [{"group": "g"}]}
        ],
        "services": [
            {
                "url": "http://one.example",
                "routes": [
                    {"paths": ["/a"], "plugins": [{"name": "rate-limiting", "config": {"minute": 5}}]},
                    {"paths": ["/b"], "plugins": [{"name": "rate-limiting", "config": {"minute": 6}}]},
                ],
            },
            {"name": "named", "url": "http://two.example", "routes": [{"paths": ["/c"]}]},
        ],
    }


def ids(world: World) -> set[str]:
    return {row["id"] for schema in ALL for row in world.kong.store.all(schema)}


async def test_a_reload_of_the_same_is_no_difference(world: World) -> None:
    reload(world, **whole())
    assert await world.reconcile() == []
    before = ids(world)
    reload(world, **whole())
    assert len(ids(world) - before) >= 6, "Kong renews them"
    assert await world.reconcile() == []
    known = world.all_known()
    assert {entity for rows in known.values() for entity in rows} == ids(world)
    assert {each["service"]["id"] for each in known["routes"].values()} == set(known["services"])
    reload(world, **whole())
    assert await world.reconcile() == []


async def test_one_tag_is_one_event(world: World) -> None:
    reload(world, **whole())
    await world.reconcile()
    document = whole()
    document["consumers"][0]["keyauth_credentials"][1]["tags"] = ["x"]
    old = world.kong.store.find("keyauth_credentials", "k2")
    reload(world, **document)
    (change,) = await world.reconcile()
    new = world.kong.store.find("keyauth_credentials", "k2")
    assert old is not None
    assert new is not None
    assert (change.schema, change.operation, change.changed) == ("keyauth_credentials", "update", ("tags",))
    assert (change.id, change.old_entity and change.old_entity["id"]) == (new["id"], old["id"])
    assert old["id"] != new["id"]


async def test_a_change_deep_under_renewed_parents(world: World) -> None:
    reload(world, **whole())
    await world.reconcile()
    document = whole()
    document["services"][0]["routes"][1]["plugins"][0]["config"]["minute"] = 7
    reload(world, **document)
    (change,) = await world.reconcile()
    assert (change.schema, change.operation, change.changed) == ("plugins", "update", ("config.minute",))


async def test_what_went_and_what_came(world: World) -> None:
    reload(world, **whole())
    await world.reconcile()
    document = whole()
    document["consumers"][0]["username"] = "grace"
    del document["services"][0]["routes"][0]
    reload(world, **document)
    reported = [brief(change)[:2] for change in await world.reconcile()]
    assert sorted(reported) == sorted([
        ("consumers", "delete"), ("consumers", "create"), ("keyauth_credentials", "update"),
        ("keyauth_credentials", "update"), ("acls", "delete"), ("acls", "create"),
        ("routes", "delete"), ("plugins", "delete"),
    ])  # fmt: skip


TAG = st.sampled_from([None, "x"])
CONSUMERS = st.dictionaries(
    st.sampled_from(["ada", "grace", "joan"]),
    st.tuples(TAG, st.dictionaries(st.sampled_from(["k1", "k2", "k3"]), TAG)),
)
SERVICES = st.lists(st.tuples(st.sampled_from(["one", "two"]), TAG), max_size=5)
DOCUMENTS = st.lists(st.tuples(CONSUMERS, SERVICES), min_size=1, max_size=5)

Document = tuple[dict[str, tuple[str | None, dict[str, str | None]]], list[tuple[str, str | None]]]


def declared(document: Document) -> dict[str, Any]:
    consumers, services = document
    taken: set[str] = set()
    found = []
    for name, (tag, keys) in sorted(consumers.items()):
        own = [{"key": key, "tags": tagged(each)} for key, each in sorted(keys.items()) if key not in taken]
        taken |= keys.keys()
        found.append({"username": name, "tags": tagged(tag), "keyauth_credentials": own})
    return {
        "consumers": found,
        "services": [{"url": f"http://{host}.example", "tags": tagged(tag)} for host, tag in services],
    }


def tagged(tag: str | None) -> list[str] | None:
    return None if tag is None else [tag]


def by_key(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Return what the entities with a natural key are."""
    found: dict[tuple[str, str], Any] = {}
    for consumer in document["consumers"]:
        found["consumers", consumer["username"]] = consumer["tags"]
        for key in consumer["keyauth_credentials"]:
            found["keyauth_credentials", key["key"]] = (key["tags"], consumer["username"])
    return found


def expected(old: dict[str, Any], new: dict[str, Any]) -> Counter[tuple[str, str]]:
    """Return how many changes of which sort lead from one document to the other."""
    before, after = by_key(old), by_key(new)
    changes: Counter[tuple[str, str]] = Counter()
    changes.update((schema, "delete") for schema, _ in before.keys() - after.keys())
    changes.update((schema, "create") for schema, _ in after.keys() - before.keys())
    changes.update((key[0], "update") for key in before.keys() & after.keys() if before[key] != after[key])
    left, right = (Counter(map(str, document["services"])) for document in (old, new))
    changes["services", "delete"] = (left - right).total()
    changes["services", "create"] = (right - left).total()
    return +changes


async def in_turn(folder: Path, documents: list[Document]) -> None:
    world = World(folder, schemas=ALL)
    await world.open()
    last: dict[str, Any] | None = None
    for document in map(declared, documents):
        reload(world, **document)
        reported = Counter((change.schema, change.operation) for change in await world.reconcile())
        assert reported == (Counter() if last is None else expected(last, document))
        last = document
        known = world.all_known()
        assert {entity for rows in known.values() for entity in rows} == ids(world)
        await world.reopen()
    await world.close()


@settings(deadline=None)
@given(DOCUMENTS)
def test_any_documents(documents: list[Document]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(in_turn(Path(folder), documents))

"""What the route saw: creates, updates and deletes, by whatever names the entity; what goes along; reported once."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kong_eventhooks_plugin.errors import ObservationError
from kong_eventhooks_plugin.sources.changes.mirror import cascade
from kong_eventhooks_plugin.sources.changes.model import Actor
from tests.support.mirror_world import Request, World, brief, observation

SCHEMAS = ("consumers", "keyauth_credentials", "acls", "services", "routes", "plugins", "upstreams", "certificates")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path, schemas=SCHEMAS)
    await world.open()
    yield world
    await world.close()


async def post(world: World, path: str, schema: str, **fields: Any) -> dict[str, Any]:
    """Create by the route."""
    store = world.kong.store
    entity = store.shown(schema, store.insert(schema, fields))
    (change,) = await world.see("POST", path, entity)
    assert (change.operation, change.id, change.seen_by) == ("create", entity["id"], "route")
    assert change.old_entity is None
    return entity


async def test_a_create_an_update_and_a_delete(world: World) -> None:
    await world.reconcile()
    grace = await post(world, "/consumers", "consumers", username="grace")
    before = world.time()
    new = {**grace, "custom_id": "g2", "updated_at": grace["updated_at"] + 1}
    (update,) = await world.see("PATCH", "/consumers/grace", new)
    assert (update.operation, update.changed, update.entity) == ("update", ("custom_id",), new)
    assert update.old_entity == grace
    assert update.old_at == before
    assert update.actor == Actor("PATCH", "/consumers/grace", request_id="request-2")
    assert update.at == world.time()
    (delete,) = await world.see("DELETE", "/consumers/grace")
    assert (delete.operation, delete.id, delete.entity, delete.old_entity) == ("delete", grace["id"], new, None)
    assert await world.see("DELETE", "/consumers/grace") == []


async def test_a_write_that_changes_nothing_is_an_update(world: World) -> None:
    grace = await post(world, "/consumers", "consumers", username="grace")
    (update,) = await world.see("PATCH", "/consumers/grace", {**grace, "updated_at": grace["updated_at"] + 5})
    assert (update.operation, update.changed) == ("update", ())


async def test_a_put_creates_what_is_not_known_and_updates_what_is(world: World) -> None:
    await world.reconcile()
    newbie = world.kong.store.shown("consumers", world.kong.store.insert("consumers", {"username": "newbie"}))
    (created,) = await world.see("PUT", "/consumers/newbie", newbie)
    assert (created.operation, created.old_entity) == ("create", None)
    (updated,) = await world.see("PUT", "/consumers/newbie", {**newbie, "tags": ["x"]})
    assert (updated.operation, updated.changed, updated.old_entity) == ("update", ("tags",), newbie)


async def test_an_update_of_what_is_not_known(world: World) -> None:
    grace = world.kong.store.shown("consumers", world.kong.store.insert("consumers", {"username": "grace"}))
    (update,) = await world.see("PATCH", "/consumers/grace", grace)
    assert (update.operation, update.old_entity, update.old_at, update.changed) == ("update", None, None, ())


@pytest.mark.parametrize("by", ["id", "name", "ID"])
async def test_a_secret_names_an_entity(world: World, by: str) -> None:
    grace = await post(world, "/consumers", "consumers", username="grace")
    key = await post(
        world, "/consumers/grace/key-auth", "keyauth_credentials", key="k1/+ secret", consumer={"id": grace["id"]}
    )
    names = {"id": key["id"], "ID": key["id"].upper(), "name": "k1%2F%2B%20secret"}
    (change,) = await world.see("DELETE", f"/consumers/grace/key-auth/{names[by]}")
    assert (change.schema, change.id, change.entity["key"]) == ("keyauth_credentials", key["id"], "***")
    await world.close()
    assert b"k1/" not in world.path.read_bytes()
    await world.open()


async def test_the_same_group_under_two_consumers(world: World) -> None:
    ids = {}
    for name in ("grace", "ada"):
        consumer = await post(world, "/consumers", "consumers", username=name)
        acl = await post(world, f"/consumers/{name}/acls", "acls", group="admins", consumer={"id": consumer["id"]})
        ids[name] = (consumer["id"], acl["id"])
    (change,) = await world.see("DELETE", "/consumers/ada/acls/admins")
    assert change.id == ids["ada"][1]
    (change,) = await world.see("DELETE", f"/consumers/{ids['grace'][0]}/acls/admins")
    assert change.id == ids["grace"][1]


async def test_what_goes_along_with_a_delete(world: World) -> None:
    grace = await post(world, "/consumers", "consumers", username="grace")
    one = {"consumer": {"id": grace["id"]}}
    await post(world, "/consumers/grace/key-auth", "keyauth_credentials", key="k1", **one)
    await post(world, "/consumers/grace/acls", "acls", group="admins", **one)
    await post(world, "/consumers/grace/plugins", "plugins", name="rate-limiting", config={"minute": 5}, **one)
    other = await post(world, "/consumers", "consumers", username="ada")
    await post(world, "/consumers/ada/acls", "acls", group="admins", consumer={"id": other["id"]})
    changes = await world.see("DELETE", "/consumers/grace")
    assert (brief(changes[0]), changes[0].deleted_with) == (("consumers", "delete", "grace"), None)
    assert sorted(change.schema for change in changes[1:]) == ["acls", "keyauth_credentials", "plugins"]
    assert {change.deleted_with for change in changes[1:]} == {f"consumers:{grace['id']}"}
    assert {change.operation for change in changes} == {"delete"}
    assert len({change.identity for change in changes}) == 4
    assert len(world.all_known()["acls"]) == 1


async def test_what_was_made_while_the_delete_was_under_way_is_left_to_the_next_reconciliation(world: World) -> None:
    """Made before it, it went along; made after it under an entity put again, it is there: the lists say which."""
    grace = await post(world, "/consumers", "consumers", username="grace")
    world.time.advance(5)
    began = world.time()
    acl = await post(world, "/consumers/grace/acls", "acls", group="admins", consumer={"id": grace["id"]})
    late = observation(Request("DELETE", "/consumers/grace", None, began, world.time.advance(), 9))
    assert [brief(change)[:2] for change in await world.mirror.apply(late)] == [("consumers", "delete")]
    assert acl["id"] in world.all_known()["acls"]


async def test_what_goes_along_goes_on(world: World) -> None:
    """A certificate's upstreams refuse a delete; a route's plugins go with a route."""
    service = await post(world, "/services", "services", name="svc", url="http://localhost")
    route = await post(world, "/services/svc/routes", "routes", name="rt", paths=["/x"], service={"id": service["id"]})
    await post(world, "/routes/rt/plugins", "plugins", name="rate-limiting", config={"minute": 5},
               route={"id": route["id"]})  # fmt: skip
    changes = await world.see("DELETE", "/services/svc")
    assert [brief(change) for change in changes] == [("services", "delete", "svc")], "a service's routes hold it"
    changes = await world.see("DELETE", "/routes/rt")
    assert [change.schema for change in changes] == ["routes", "plugins"]


async def test_a_large_delete_is_reported_in_two_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade, "MAX_CASCADE", 3)
    store = world.kong.store
    grace = store.insert("consumers", {"username": "grace"})
    for number in range(10):
        store.insert("keyauth_credentials", {"key": f"k{number}", "consumer": {"id": grace["id"]}})
    await world.reconcile()
    store.delete("consumers", grace)
    changes = await world.see("DELETE", "/consumers/grace")
    assert len(changes) == 4
    rest = await world.reconcile()
    assert len(rest) == 7
    assert {change.deleted_with for change in rest} == {f"consumers:{grace['id']}"}
    assert not any(world.all_known().values())


async def test_a_delete_before_the_first_list_says_what_the_path_says(world: World) -> None:
    (change,) = await world.see("DELETE", "/consumers/84ccf179-b58f-4623-9a59-6bc790cb0b91")
    assert (change.id, change.entity) == ("84ccf179-b58f-4623-9a59-6bc790cb0b91", {"id": change.id})
    (change,) = await world.see("DELETE", "/consumers/grace/key-auth/secret")
    assert (change.id, change.entity, change.actor and change.actor.path) == ("", {}, "/consumers/grace/key-auth/***")
    assert await world.see("DELETE", "/consumers/grace/key-auth/secret") == [], "it deletes nothing"
    await world.reconcile()
    assert await world.see("DELETE", "/consumers/other/key-auth/secret") == []


async def test_what_changes_no_entity(world: World) -> None:
    assert await world.see("PUT", "/upstreams/up/targets/127.0.0.1:80/unhealthy", {"message": "x"}) == []
    assert await world.see("DELETE", "/plugins/1/consumer") == []
    assert await world.see("GET", "/consumers") == []
    with pytest.raises(ObservationError):
        await world.see("POST", "/consumers", {"message": "no entity"})
    assert await world.publish() == []


async def test_a_relation_changes_what_it_leads_to(world: World) -> None:
    grace = await post(world, "/consumers", "consumers", username="grace")
    (change,) = await world.see(
        "PATCH", "/plugins/7e7e7e7e-7e7e-4e7e-8e7e-7e7e7e7e7e7e/consumer", {**grace, "tags": ["x"]}
    )
    assert (change.schema, change.operation, change.changed) == ("consumers", "update", ("tags",))


async def test_kong_calls_again(world: World) -> None:
    await world.reconcile()
    grace = world.kong.store.shown("consumers", world.kong.store.insert("consumers", {"username": "grace"}))
    seen = observation(Request("PUT", "/consumers/grace", grace, 1.0, 2.0, 77))
    assert len(await world.mirror.apply(seen)) == 1
    await world.reopen()
    assert await world.mirror.apply(seen) == []
    assert len(await world.publish()) == 1


async def test_the_outbox_is_reported_again_with_the_same_identities(world: World) -> None:
    grace = world.kong.store.shown("consumers", world.kong.store.insert("consumers", {"username": "grace"}))
    reported = await world.mirror.apply(observation(Request("POST", "/consumers", grace, 1.0, 2.0, 5)))
    await world.reopen()
    assert await world.mirror.pending(10) == reported
    await world.reopen()
    await world.mirror.mark_published([reported[0].identity])
    assert await world.mirror.pending(10) == []


async def test_a_reference_that_a_delete_unsets(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kong's own references all refuse or go along; plugins' entities may be unset (``on_delete`` null)."""
    references = type(world.shape.rules).references

    def unset(rules: Any, schema: str, entity: Any) -> Any:
        return tuple(each._replace(on_delete="null") for each in references(rules, schema, entity))

    monkeypatch.setattr(type(world.shape.rules), "references", unset)
    grace = await post(world, "/consumers", "consumers", username="grace")
    acl = await post(world, "/consumers/grace/acls", "acls", group="admins", consumer={"id": grace["id"]})
    deleted, update = await world.see("DELETE", "/consumers/grace")
    assert (deleted.schema, update.schema, update.operation) == ("consumers", "acls", "update")
    assert (update.changed, update.old_entity) == (("consumer",), acl)
    assert update.entity == {**acl, "consumer": None}

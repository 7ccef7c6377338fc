"""What differs is reported once, silently at first, never from half a list; and what a reconciliation leaves alone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kong_eventhooks_plugin.errors import AdminApiError, QueueFull
from kong_eventhooks_plugin.kong.admin_api.client import AdminPage
from kong_eventhooks_plugin.sources.changes import reconciler as reconciler_module
from kong_eventhooks_plugin.sources.changes.mirror import applier as applier_module
from kong_eventhooks_plugin.sources.changes.mirror import mirror as mirror_module
from kong_eventhooks_plugin.sources.changes.mirror.mirror import Mirror
from kong_eventhooks_plugin.sources.changes.mirror.ordering import TimeWindow
from kong_eventhooks_plugin.sources.changes.mirror.scan import ListSource
from kong_eventhooks_plugin.sources.changes.reconciler import RESTARTS, Reconciler, ReconcilerSettings
from tests.support import kong_shape
from tests.support.mirror_world import LISTED, Request, World, brief, observation
from tests.support.waiting import SECONDS

ALL = (*LISTED, "services", "routes", "plugins", "upstreams", "targets", "certificates", "snis")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path, schemas=ALL)
    await world.open()
    yield world
    await world.close()


def insert(world: World, schema: str, **fields: Any) -> dict[str, Any]:
    return world.kong.store.insert(schema, fields)


def update(world: World, schema: str, key: str, **fields: Any) -> dict[str, Any]:
    row = world.kong.store.find(schema, key)
    assert row is not None
    return world.kong.store.update(schema, row, fields)


def delete(world: World, schema: str, key: str) -> None:
    row = world.kong.store.find(schema, key)
    assert row is not None
    world.kong.store.delete(schema, row)


async def until_listed(world: World, task: "asyncio.Task[str]", path: str = "/consumers") -> None:
    """Let a reconciliation go on until it waits behind a page of that list."""
    while path not in world.kong.asked[-1:]:
        assert await world.gate.next(task)


async def test_the_first_reconciliation_is_silent_and_the_next_reports_what_differs(world: World) -> None:
    for name in ("ada", "grace", "joan"):
        insert(world, "consumers", username=name)
    assert await world.reconcile() == []
    before = world.time()
    delete(world, "consumers", "joan")
    update(world, "consumers", "grace", tags=["navy"])
    insert(world, "consumers", username="new")
    changes = await world.reconcile()
    assert [brief(change)[1:] for change in changes] == [("delete", "joan"), ("update", "grace"), ("create", "new")]
    changed = changes[1]
    assert (changed.changed, changed.entity["tags"], changed.old_entity and changed.old_entity["tags"]) == (
        ("tags",), ["navy"], None,
    )  # fmt: skip
    assert changed.old_at is not None
    assert before - 20 < changed.old_at <= before
    assert {change.seen_by for change in changes} == {"reconciliation"}
    assert world.wakes > 0
    assert await world.reconcile() == []
    assert world.reconciler.counts.reconciled_changes == {("delete",): 1, ("update",): 1, ("create",): 1}


async def test_what_only_moved_in_time_is_no_difference(world: World) -> None:
    insert(world, "consumers", username="ada")
    await world.reconcile()
    world.time.advance(100)
    update(world, "consumers", "ada")
    assert await world.reconcile() == []


async def test_a_kept_mirror_reports_what_changed_meanwhile(world: World) -> None:
    insert(world, "consumers", username="ada")
    await world.reconcile()
    await world.close()
    update(world, "consumers", "ada", tags=["x"])
    await world.open()
    assert [brief(change) for change in await world.reconcile()] == [("consumers", "update", "ada")]


async def test_another_admin_url_begins_anew_in_silence(world: World) -> None:
    insert(world, "consumers", username="ada")
    await world.reconcile()
    delete(world, "consumers", "ada")
    insert(world, "consumers", username="grace")
    settings = ReconcilerSettings("http://other:8001", grace=0.5)
    other = Reconciler(world.mirror, world.kong, world.shape, settings, clock=world.time, timer=world.time,
                   sleep=world._sleep)  # fmt: skip
    assert await other.run_once() == "done"
    assert await world.publish() == []
    assert [each["username"] for each in world.known("consumers")] == ["grace"]


async def test_forgetting_begins_anew_and_keeps_the_outbox(world: World) -> None:
    insert(world, "consumers", username="ada")
    await world.reconcile()
    insert(world, "consumers", username="grace")
    await world.reconciler.run_once()
    await world.mirror.forget()
    assert world.known("consumers") == []
    assert len(await world.publish()) == 1
    assert await world.reconcile() == []
    assert len(world.known("consumers")) == 2


async def test_a_reconciliation_that_is_under_way_when_all_is_forgotten_fails(world: World) -> None:
    insert(world, "consumers", username="ada")
    world.held = True
    task = asyncio.create_task(world.reconciler.run_once())
    assert await world.gate.next(task)
    await world.mirror.forget()
    while await world.gate.next(task):
        pass
    assert task.result() == "failed"
    assert await world.publish() == []


async def test_a_first_reconciliation_that_is_cut_short_stays_silent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the route reported of one consumer has the others wait for the end of their list."""
    monkeypatch.setattr(applier_module, "BATCH", 2)
    row = insert(world, "consumers", username="route")
    assert len(await world.see("POST", "/consumers", world.kong.store.shown("consumers", row))) == 1
    await world.publish()
    for number in range(7):
        insert(world, "consumers", username=f"c{number}")
    steps = 0

    def die() -> bool:
        nonlocal steps
        steps += 1
        return steps < 4

    monkeypatch.setattr(world.reconciler, "_may_continue", die)
    assert await world.reconciler.run_once() == "lost_leadership"
    assert 1 < len(world.known("consumers")) < 8
    await world.reopen()
    assert await world.reconcile() == []
    assert len(world.known("consumers")) == 8
    insert(world, "consumers", username="new")
    assert len(await world.reconcile()) == 1


async def test_a_first_reconciliation_that_is_killed_between_two_pages_stays_silent(world: World) -> None:
    for number in range(7):
        insert(world, "consumers", username=f"c{number}")
    world.held = True
    task = asyncio.create_task(world.reconciler.run_once())
    while not world.known("consumers"):
        assert await world.gate.next(task)
    task.cancel()
    await asyncio.wait([task])
    assert 0 < len(world.known("consumers")) < 7
    world.held = False
    await world.reopen()
    update(world, "consumers", "c0", tags=["x"])
    reported = await world.reconcile()
    assert {change.operation for change in reported} <= {"update"}, "new is none, but a state that is known may differ"
    assert len(world.known("consumers")) == 7
    insert(world, "consumers", username="new")
    assert len(await world.reconcile()) == 1


async def test_what_is_listed_twice_by_a_first_reconciliation_is_one_row(world: World) -> None:
    """Two workspaces can list one entity, and a page can begin with what the one before it ended with."""
    row = insert(world, "consumers", username="ada")
    shown = world.kong.store.shown("consumers", row)
    scan = await world.mirror.begin("origin", 0.0)
    for workspace in (None, None, "other"):
        await world.mirror.compare(scan, ListSource("consumers", workspace), [shown], TimeWindow(1.0, 2.0))
    assert scan.entities == {"consumers": 1}
    assert len(world.known("consumers")) == 1
    await world.mirror.end(scan)


async def listed_while(world: World, shown: dict[str, Any], request: Request) -> int:
    """Compare a first list of one entity, and have the route see a request before the entity is taken over."""
    scan = await world.mirror.begin("origin", 0.0)
    window = TimeWindow(world.time.advance(), world.time.advance())
    # Both calls wait for the mirror's thread before the first has come back.
    await asyncio.gather(
        world.mirror.compare(scan, ListSource("consumers", None), [shown], window),
        world.mirror.apply(observation(request)),
    )
    applier = await world.mirror.apply_scan(scan, ["consumers"], configuration=None, may_continue=lambda: True)
    await world.mirror.end(scan)
    assert applier is not None
    return applier.dropped


async def test_what_the_route_made_while_a_first_reconciliation_took_it_over_is_one_row(world: World) -> None:
    shown = world.kong.store.shown("consumers", insert(world, "consumers", username="ada"))
    request = Request("POST", "/consumers", shown, world.time.advance(), world.time.advance(), 900)
    assert await listed_while(world, shown, request) == 1
    assert [change.seen_by for change in await world.publish()] == ["route"]
    assert [each["username"] for each in world.known("consumers")] == ["ada"]


async def test_what_the_route_deleted_while_a_first_reconciliation_took_it_over_stays_gone(world: World) -> None:
    shown = world.kong.store.shown("consumers", insert(world, "consumers", username="ada"))
    request = Request("DELETE", f"/consumers/{shown['id']}", None, world.time.advance(), world.time.advance(), 900)
    assert await listed_while(world, shown, request) == 1
    assert [change.operation for change in await world.publish()] == ["delete"]
    assert world.known("consumers") == []


async def test_what_the_route_touched_during_a_reconciliation_is_not_applied_by_it(world: World) -> None:
    insert(world, "consumers", username="ada")
    await world.reconcile()
    world.held = True
    update(world, "consumers", "ada", tags=["behind"])
    task = asyncio.create_task(world.reconciler.run_once())
    await until_listed(world, task)
    row = update(world, "consumers", "ada", tags=["route"])
    assert len(await world.see("PATCH", "/consumers/ada", world.kong.store.shown("consumers", row))) == 1
    while await world.gate.next(task):
        pass
    assert await world.publish() == []
    assert world.reconciler.counts.reconciled_changes["dropped",] == 1
    world.held = False
    assert await world.reconcile() == []


async def test_what_was_made_and_deleted_while_a_reconciliation_listed_is_not_made_again(world: World) -> None:
    await world.reconcile()
    world.held = True
    ada = insert(world, "consumers", username="ada")
    shown = world.kong.store.shown("consumers", ada)
    started = world.time.advance(), world.time.advance()
    task = asyncio.create_task(world.reconciler.run_once())
    await until_listed(world, task)
    assert len(await world.mirror.apply(observation(Request("POST", "/consumers", shown, *started, 900)))) == 1
    world.kong.store.delete("consumers", ada)
    assert len(await world.see("DELETE", "/consumers/ada")) == 2, "with the create, which had not been reported"
    while await world.gate.next(task):
        pass
    assert await world.publish() == []
    assert world.known("consumers") == []


async def test_two_late_writes_to_one_state_that_a_reconciliation_reported(world: World) -> None:
    """The reconciliation reported the first; the second, which changed nothing, is an update of its own."""
    grace = insert(world, "consumers", username="grace")
    acl = insert(world, "acls", group="admins", consumer={"id": grace["id"]})
    await world.reconcile()
    acl = world.kong.store.update("acls", acl, {"tags": ["x"]})
    times = [(world.time.advance(), world.time.advance()) for _ in range(2)]
    (reported,) = await world.reconcile()
    assert reported.changed == ("tags",)
    path = f"/consumers/grace/acls/{acl['id']}"
    counts = [
        len(await world.mirror.apply(observation(Request("PATCH", path, acl, *window, 800 + number))))
        for number, window in enumerate(times)
    ]
    assert counts == [0, 1]
    assert (await world.publish())[0].changed == ()
    assert await world.reconcile() == []


async def test_a_change_back_to_what_a_reconciliation_saw_before_the_route(world: World) -> None:
    """The very same bytes as last time are a difference, when the route reported another state meanwhile."""
    grace = insert(world, "consumers", username="grace")
    acl = insert(world, "acls", group="admins", consumer={"id": grace["id"]})
    await world.reconcile()
    await world.reconcile()
    changed = world.kong.store.update("acls", acl, {"tags": ["x"]})
    await world.see("PATCH", f"/consumers/grace/acls/{acl['id']}", changed)
    world.kong.store.update("acls", changed, {"tags": None})
    (back,) = await world.reconcile()
    assert (back.entity["tags"], back.changed) == (None, ("tags",))


async def test_two_leaders_for_a_moment(world: World, tmp_path: Path) -> None:
    """What another process wrote since a page was compared is left to the next reconciliation."""
    insert(world, "consumers", username="ada")
    await world.reconcile()
    update(world, "consumers", "ada", tags=["x"])
    world.held = True
    task = asyncio.create_task(world.reconciler.run_once())
    await until_listed(world, task)
    update(world, "consumers", "ada", tags=["y"])
    other = World(tmp_path, schemas=ALL)
    other.kong, other.time = world.kong, world.time
    await other.open()
    (reported,) = await other.reconcile()
    assert reported.entity["tags"] == ["y"]
    await other.close()
    while await world.gate.next(task):
        pass
    assert await world.publish() == []


async def test_the_forms_of_an_answer_and_of_a_list_are_no_difference(world: World) -> None:
    """A field at the top that only one of both has says nothing; the list's form is adopted."""
    await world.reconcile()
    ada = insert(world, "consumers", username="ada")
    shown = world.kong.store.shown("consumers", ada)
    await world.see("POST", "/consumers", {**shown, "type": 0})
    assert await world.reconcile() == []
    (known,) = world.known("consumers")
    assert "type" not in known
    update(world, "consumers", "ada", tags=["x"])
    assert len(await world.reconcile()) == 1


async def test_other_rules_are_no_difference(world: World) -> None:
    """A field that is let through from now on, as a secret whose schema was not known."""
    grace = insert(world, "consumers", username="grace")
    insert(world, "keyauth_credentials", key="k1", consumer={"id": grace["id"]})
    insert(world, "plugins", name="rate-limiting", config={"minute": 5})
    await world.reconcile()
    closed = world.shape.rules
    world.shape.rules = kong_shape.rules(["keyauth_credentials.key"])
    assert await world.reconcile() == []
    world.shape.rules = type(closed)({}, {}, kong_shape.KEY)
    assert await world.reconcile() == []
    world.shape.rules = closed
    world.kong.store.update("plugins", world.kong.store.all("plugins")[0], {"enabled": False})
    (change,) = await world.reconcile()
    assert change.changed == ("enabled",)


async def test_targets_are_listed_under_their_upstreams(world: World) -> None:
    """Kong answers 404 to /targets."""
    paths = dict(world.kong._paths)
    del paths["/targets"]
    world.kong._paths = paths
    up = insert(world, "upstreams", name="up")
    nested = f"/upstreams/{up['id']}/targets"
    page = world.kong.page

    async def with_nested(path: str, size: int, offset: str | None = None) -> AdminPage:
        if path.startswith("/upstreams/"):
            rows = [
                row for row in world.kong.store.all("targets") if f"/upstreams/{row['upstream']['id']}/targets" == path
            ]
            if not rows and path != nested:
                raise AdminApiError("gone", 404)
            return AdminPage(rows, None)
        return await page(path, size, offset)

    world.kong.page = with_nested  # type: ignore[method-assign]
    assert await world.reconcile() == []
    insert(world, "targets", target="127.0.0.1:80", upstream={"id": up["id"]})
    assert [brief(change)[:2] for change in await world.reconcile()] == [("targets", "create")]
    delete(world, "upstreams", "up")
    changes = await world.reconcile()
    assert [brief(change)[:2] for change in changes] == [("upstreams", "delete"), ("targets", "delete")]
    assert changes[1].deleted_with == f"upstreams:{up['id']}"
    assert world.reconciler.state().skipped_lists == {}


async def test_what_went_along_behind_our_back_says_with_whom(world: World) -> None:
    grace = insert(world, "consumers", username="grace")
    insert(world, "keyauth_credentials", key="k1", consumer={"id": grace["id"]})
    await world.reconcile()
    delete(world, "consumers", "grace")
    changes = await world.reconcile()
    assert [change.schema for change in changes] == ["consumers", "keyauth_credentials"], "the parent comes first"
    assert changes[1].deleted_with == f"consumers:{grace['id']}"


async def test_children_are_reported_after_their_parent(world: World) -> None:
    await world.reconcile()
    grace = insert(world, "consumers", username="grace")
    insert(world, "keyauth_credentials", key="k1", consumer={"id": grace["id"]})
    assert [change.schema for change in await world.reconcile()] == ["consumers", "keyauth_credentials"]


# lists that fail


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_list_that_is_refused_is_skipped(world: World, status: int) -> None:
    insert(world, "consumers", username="ada")
    insert(world, "services", name="svc", url="http://localhost")
    await world.reconcile()

    async def refuse(path: str) -> None:
        if path == "/consumers":
            raise AdminApiError(f"{path}: answered {status}", status)

    world.kong.at_page = refuse
    delete(world, "consumers", "ada")
    delete(world, "services", "svc")
    assert [brief(change) for change in await world.reconcile()] == [("services", "delete", "svc")]
    assert dict(world.reconciler.state().skipped_lists) == {"/consumers": f"/consumers: answered {status}"}
    world.kong.at_page = None
    assert [brief(change) for change in await world.reconcile()] == [("consumers", "delete", "ada")]
    assert world.reconciler.state().skipped_lists == {}


async def test_half_a_list_says_nothing(world: World) -> None:
    for number in range(6):
        insert(world, "consumers", username=f"c{number}")
    await world.reconcile()
    pages = 0

    async def fail(path: str) -> None:
        nonlocal pages
        pages += path == "/consumers"
        if pages == 2:
            raise AdminApiError(f"{path}: answered 500", 500)

    update(world, "consumers", "c0", tags=["x"])
    insert(world, "consumers", username="new")
    world.kong.at_page = fail
    assert await world.reconcile() == []
    world.kong.at_page = None
    assert len(await world.reconcile()) == 2


async def test_a_kong_that_is_away_ends_the_reconciliation(world: World) -> None:
    await world.reconcile()
    asked = len(world.kong.asked)

    async def away(path: str) -> None:
        raise AdminApiError(f"{path}: no connection: refused")

    world.kong.at_page = away
    assert await world.reconciler.run_once() == "failed"
    assert len(world.kong.asked) - asked <= 4
    assert world.reconciler.state().error == "/workspaces: no connection: refused"
    world.kong.at_page = None
    assert await world.reconciler.run_once() == "done"
    assert world.reconciler.state().error is None


async def test_a_process_that_stops_leading_asks_and_applies_no_more(world: World) -> None:
    insert(world, "consumers", username="ada")
    await world.reconcile()
    insert(world, "consumers", username="grace")
    leads = True
    world.reconciler._leads = lambda: leads
    world.held = True
    task = asyncio.create_task(world.reconciler.run_once())
    await until_listed(world, task)
    asked, leads = len(world.kong.asked), False
    while await world.gate.next(task):
        pass
    assert task.result() == "lost_leadership"
    assert len(world.kong.asked) == asked
    leads, world.held = True, False
    assert len(await world.reconcile()) == 1


async def test_a_full_outbox_ends_a_reconciliation_and_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applier_module, "BATCH", 2)
    monkeypatch.setattr(applier_module, "OUTBOX", 4)
    await world.reconcile()
    for number in range(9):
        insert(world, "consumers", username=f"c{number}")
    assert await world.reconciler.run_once() == "failed"
    assert "wait in the outbox" in str(world.reconciler.state().error)
    reported = len(await world.publish())
    assert 4 <= reported < 9
    while await world.reconciler.run_once() != "done":
        reported += len(await world.publish())
    assert reported + len(await world.publish()) == 9


async def test_a_full_outbox_takes_nothing_from_the_route(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_module, "OUTBOX", 1)
    ada = world.kong.store.shown("consumers", insert(world, "consumers", username="ada"))
    seen = observation(Request("POST", "/consumers", ada, 1.0, 2.0, 1))
    assert len(await world.mirror.apply(seen)) == 1
    again = observation(Request("PATCH", "/consumers/ada", ada, 3.0, 4.0, 2))
    with pytest.raises(QueueFull):
        await world.mirror.apply(again)
    await world.publish()
    assert len(await world.mirror.apply(again)) == 1


# without a database


async def test_without_a_database_a_reconciliation_waits_for_the_hash_to_move(world: World) -> None:
    world.kong.configuration_hash = "one"
    insert(world, "consumers", username="ada")
    assert await world.reconciler.run_once(triggered=False) == "done"
    assert await world.reconciler.run_once(triggered=False) == "same"
    await world.reopen()
    assert await world.reconciler.run_once(triggered=False) == "same", "it is kept"
    world.kong.configuration_hash = "two"
    insert(world, "consumers", username="grace")
    assert await world.reconciler.run_once(triggered=False) == "done"
    assert len(await world.publish()) == 1
    assert await world.reconciler.run_once(triggered=True) == "done"


async def test_a_hash_that_moves_during_the_reconciliation_starts_it_over(world: World) -> None:
    world.kong.configuration_hash = "0"
    insert(world, "consumers", username="ada")
    await world.reconciler.run_once()
    moves = 2

    async def move(path: str) -> None:
        nonlocal moves
        if path == "/consumers" and moves:
            moves -= 1
            world.kong.configuration_hash = f"moved {moves}"
            insert(world, "consumers", username=f"c{moves}")

    world.kong.at_page = move
    world.kong.configuration_hash = "1"
    assert await world.reconciler.run_once(triggered=False) == "done"
    assert len(await world.publish()) == 2
    moves, world.kong.asked[:] = 1_000, []
    assert await world.reconciler.run_once() == "moved"
    assert world.kong.asked.count("/workspaces") == RESTARTS + 1
    assert await world.publish() == []
    made, moves = 1_000 - moves, 0
    assert await world.reconciler.run_once(triggered=False) == "done"
    assert len(await world.publish()) == made


async def test_a_list_that_failed_is_asked_for_again_though_the_hash_stays(world: World) -> None:
    world.kong.configuration_hash = "1"

    async def fail(path: str) -> None:
        if path == "/consumers":
            raise AdminApiError("busy", 503)

    world.kong.at_page = fail
    assert await world.reconciler.run_once(triggered=False) == "done"
    world.kong.at_page = None
    assert await world.reconciler.run_once(triggered=False) == "done"
    assert await world.reconciler.run_once(triggered=False) == "same"


@pytest.mark.parametrize(("refused", "page", "then"), [(400, 1, "same"), (400, 2, "done"), (503, 1, "done")])
async def test_a_list_that_kong_never_gives_does_not_keep_it_reconciling(
    world: World, refused: int, page: int, then: str
) -> None:
    """Kong answers 400 on /filter-chains while its wasm is off: a DB-less node is not listed again for that."""
    for number in range(5):
        insert(world, "consumers", username=f"c{number}")
    world.kong.configuration_hash = "1"
    pages = 0

    async def refuse(path: str) -> None:
        nonlocal pages
        pages += path == "/consumers"
        if path == "/consumers" and pages == page:
            raise AdminApiError(f"{path}: answered {refused}", refused)

    world.kong.at_page = refuse
    assert await world.reconciler.run_once(triggered=False) == "done"
    assert await world.reconciler.run_once(triggered=False) == then


# pace, and being asked


async def test_a_reconciliation_that_failed_is_tried_again_soon(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    over = asyncio.Event()

    async def wait(_: asyncio.Event, seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            world.kong.at_page = None
        if len(waits) == 6:
            over.set()
            await asyncio.Event().wait()

    async def away(path: str) -> None:
        raise AdminApiError(f"{path}: no connection: refused")

    world.kong.at_page = away
    world.kong.configuration_hash = "1"
    monkeypatch.setattr(reconciler_module, "is_set_within", wait)
    world.reconciler.trigger()  # which holds until a reconciliation was completed
    task = asyncio.create_task(world.reconciler.run())
    await asyncio.wait_for(over.wait(), SECONDS)
    task.cancel()
    await asyncio.wait([task])
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[4] == waits[5] > 8.0
    assert world.reconciler.counts.reconciliations == {("failed",): 4, ("done",): 1, ("same",): 1}


async def test_pages_are_paced_by_their_own_time(world: World) -> None:
    for number in range(5):
        insert(world, "consumers", username=f"c{number}")
    slept = []

    async def take(path: str) -> None:
        world.time.advance(0.5 if path == "/consumers" else 4.0)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    world.kong.at_page = take
    world.reconciler._sleep = sleep
    await world.reconciler.run_once()
    assert slept.count(1.0) == 3, "three pages of two, each followed by twice its time"
    assert max(slept) == 5.0


async def test_run_goes_on_and_obeys_triggers(world: World) -> None:
    asked = asyncio.Event()

    async def hear(path: str) -> None:
        asked.set()

    world.kong.at_page = hear
    task = asyncio.create_task(world.reconciler.run())
    for _ in range(3):
        await asyncio.wait_for(asked.wait(), SECONDS)
        asked.clear()
        world.reconciler.trigger()
    task.cancel()
    await asyncio.wait([task])


async def test_a_mirror_that_is_closed_says_so(tmp_path: Path, world: World) -> None:
    await world.mirror.close()
    assert await world.reconciler.run_once() == "failed"
    assert "not open" in str(world.reconciler.state().error)
    await world.mirror.open()
    assert isinstance(world.mirror, Mirror)

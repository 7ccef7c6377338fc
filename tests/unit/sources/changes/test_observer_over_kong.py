"""What the route saw is processed in order, without waiting and within limits; a reconciliation finds the rest."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from kong_eventhooks_plugin.errors import AdminApiError, StoreUnavailable
from kong_eventhooks_plugin.kong.admin_api.endpoints import AdminEndpoints
from kong_eventhooks_plugin.model.observation import ChangeObservation
from kong_eventhooks_plugin.sources.changes import observer as observer_module
from kong_eventhooks_plugin.sources.changes.observer import ChangeLimits, ChangeObserver
from kong_eventhooks_plugin.sources.poller_group import has_subscribers
from kong_eventhooks_plugin.telemetry.metrics import Counts
from tests.support.crud import (
    AT,
    Publisher,
    StandInMirror,
    StandInReconciler,
    StandInSchemaCache,
    make_change,
    saw,
    settled,
)
from tests.support.events import make_hook
from tests.support.waiting import SECONDS

CONSUMER = {"id": "84cc", "username": "grace"}
KEY = {"id": "33bc", "key": "k1", "consumer": {"id": "84cc"}}


class World:
    """An observer that is wanted, and all that stands around it."""

    def __init__(self, limits: ChangeLimits | None = None, *, known: bool = True) -> None:
        self.schema_cache = StandInSchemaCache(known=known)
        self.mirror = StandInMirror()
        self.reconciler = StandInReconciler()
        self.publisher = Publisher()
        self.counts = Counts()
        limits = limits or ChangeLimits(pause=0.001)
        self.observer = ChangeObserver(
            self.schema_cache, self.mirror, self.reconciler, self.publisher, self.counts, limits
        )
        self.observer.set_active(True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        task = asyncio.create_task(self.observer.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    async def worked(self, applied: int) -> None:
        """Wait until so many observations reached the mirror and all is reported."""
        await self.mirror.until(lambda mirror: len(mirror.applied) == applied and not mirror.outbox)


# method, path -> may have changed something, its answer is wanted
QUESTIONS = [
    ("GET", "/consumers", False, False),
    ("HEAD", "/consumers", False, False),
    ("OPTIONS", "/consumers", False, False),
    ("POST", "/consumers", True, True),
    ("POST", "/consumers?x=1", True, True),
    ("PUT", "/consumers/grace", True, True),
    ("PATCH", "/consumers/grace/key-auth/k1", True, True),
    ("DELETE", "/consumers/grace", True, False),
    ("POST", "/config", True, False),
    ("POST", "/config?check_hash=1", True, False),
    ("PUT", "/consumers/config", True, True),
    ("DELETE", "/consumers/config", True, False),
    ("PUT", "/upstreams/u/targets/t/healthy", False, False),
    ("POST", "/schemas/plugins/validate", False, False),
    ("DELETE", "/cache/some-key", False, False),
    ("POST", "/event-hooks", False, False),
    ("POST", "", False, False),
]


@pytest.mark.parametrize(("method", "path", "may_change", "wants_answer"), QUESTIONS)
def test_what_is_asked_of_kong(method: str, path: str, may_change: bool, wants_answer: bool) -> None:
    target = World().observer.change_target(method, path)
    assert (target is not None, target is not None and target.wants_answer) == (may_change, wants_answer)


@pytest.mark.parametrize(
    ("method", "path", "may_change", "wants_answer"),
    [("GET", "/x", False, False), ("POST", "/x", True, True), ("DELETE", "/x", True, False),
     ("POST", "/config?a=b", True, False)],
)  # fmt: skip
def test_before_kongs_paths_are_known_any_of_them_may(
    method: str, path: str, may_change: bool, wants_answer: bool
) -> None:
    target = World(known=False).observer.change_target(method, path)
    assert (target is not None, target is not None and target.wants_answer) == (may_change, wants_answer)


async def test_a_change_is_applied_and_reported() -> None:
    async with World().running() as world:
        world.observer.observe_change(
            saw(
                "POST",
                "/consumers/grace/key-auth?x=secret",
                KEY,
                consumer={},
                credential="c7",
                ip="192.0.2.7",
                user_agent="curl",
                request_id="7d05",
            )
        )
        await world.worked(1)
    (applied,) = world.mirror.applied
    assert (applied.place.schema, applied.place.parents) == ("keyauth_credentials", (("consumers", "grace"),))
    assert (applied.entity, applied.method) == (KEY, "POST")
    assert (applied.started_at, applied.seen_at) == (AT - 0.01, AT)
    assert applied.actor.consumer is None, "an anonymous client is nobody"
    assert (applied.actor.path, applied.actor.ip, applied.actor.credential) == (
        "/consumers/grace/key-auth", "192.0.2.7", "c7",
    )  # fmt: skip
    assert len(world.publisher.events) == 3
    assert world.reconciler.triggered == 0


async def test_a_key_in_the_path_is_masked() -> None:
    async with World().running() as world:
        world.observer.observe_change(saw("DELETE", "/key-auths/the-key", status=204))
        await world.worked(1)
    assert world.mirror.applied[0].actor.path == "/key-auths/***"
    assert world.mirror.applied[0].place.key == "the-key"


async def test_a_path_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    target = world.observer.change_target("DELETE", "/consumers/grace")
    monkeypatch.setattr(AdminEndpoints, "resolve", lambda *_: pytest.fail("it is resolved already"))
    async with world.running():
        world.observer.observe_change(saw("DELETE", "/consumers/grace", status=204, target=target))
        await world.worked(1)
    assert target is not None
    assert world.mirror.applied[0].place is target.place


async def test_in_the_order_of_arrival() -> None:
    async with World().running() as world:
        for number in range(50):
            world.observer.observe_change(saw("PUT", f"/consumers/{number}", CONSUMER))
        await world.worked(50)
    assert [each.place.key for each in world.mirror.applied] == [str(number) for number in range(50)]


async def test_the_whole_configuration_is_not_read_but_searched_for() -> None:
    world = World()
    target = world.observer.change_target("POST", "/config")
    world.observer.observe_change(saw("POST", "/config", None, target=target))
    assert world.reconciler.triggered == 1
    assert world.observer.state().pending_observations == 0


async def test_a_compressed_answer_is_read() -> None:
    async with World().running() as world:
        world.observer.observe_change(saw(answer=gzip.compress(json.dumps(CONSUMER).encode())))
        await world.worked(1)
    assert world.mirror.applied[0].entity == CONSUMER


async def test_an_entity_in_an_object_of_its_own_is_read() -> None:
    """Enterprise's answer to an invitation, by its public Admin API reference."""
    async with World().running() as world:
        world.observer.observe_change(saw(answer={"consumer": CONSUMER}))
        await world.worked(1)
    assert world.mirror.applied[0].entity == CONSUMER
    assert not world.counts.events_lost


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"{", [], {"consumer": {}}, {"consumer": "grace"}, {"message": "?"}, {"id": 7}, {"data": []}],
    ids=lambda answer: repr(answer),
)
async def test_an_answer_that_is_no_entity_is_counted_and_searched_for(answer: object) -> None:
    async with World().running() as world:
        world.observer.observe_change(saw(answer=answer))
        world.observer.observe_change(saw(answer=CONSUMER))
        await world.worked(1)
    assert world.counts.events_lost == {("change_unreadable",): 1}
    assert world.observer.state().lost == {"change_unreadable": 1}
    assert world.reconciler.triggered == 1


async def test_what_leads_to_no_entity_is_nothing() -> None:
    async with World().running() as world:
        for path in ("/upstreams/u/targets/t/healthy", "/event-hooks", "/schemas/plugins/validate"):
            world.observer.observe_change(saw("POST", path, None))
        world.observer.observe_change(saw(answer=CONSUMER))
        await world.worked(1)
    assert not world.counts.events_lost
    assert world.reconciler.triggered == 0


@pytest.mark.parametrize("limits", [ChangeLimits(observations=2), ChangeLimits(bytes=70)], ids=["count", "bytes"])
async def test_past_the_limit_it_is_counted_and_searched_for(limits: ChangeLimits) -> None:
    world = World(limits)
    for _ in range(3):
        world.observer.observe_change(saw(answer=CONSUMER))
    state = world.observer.state()
    assert (state.pending_observations, state.lost) == (2, {"changes_overflow": 1})
    assert world.reconciler.triggered == 1
    async with world.running():
        await world.worked(2)


async def test_observations_wait_until_kongs_paths_are_known() -> None:
    async with World(known=False).running() as world:
        world.observer.observe_change(saw(answer=CONSUMER))
        await settled()
        assert (world.observer.state().pending_observations, world.observer.state().endpoints_known) == (1, False)
        world.schema_cache.known = True
        await world.worked(1)
    assert world.observer.state().endpoints_known


async def test_kong_is_asked_for_its_paths_while_observations_wait_whoever_runs_reconciliations() -> None:
    async with World(known=False).running() as world:
        world.observer.observe_change(saw(answer=CONSUMER))
        errors = [AdminApiError("away"), RuntimeError("a bug")]

        def refresh() -> None:
            if errors:
                raise errors.pop(0)
            world.schema_cache.known = True

        world.schema_cache.refreshing = refresh
        await world.worked(1)
    assert world.schema_cache.refreshed == 3
    assert world.reconciler.triggered == 0
    assert not world.counts.events_lost


async def test_what_keeps_observations_waiting_is_a_trouble_until_it_is_over() -> None:
    world = World()
    async with world.running():
        await settled()
        world.mirror.errors = [StoreUnavailable("disk full")] * 1_000_000
        world.observer.observe_change(saw(answer=CONSUMER))
        await settled(lambda: world.observer.state().error is not None)
        assert world.observer.state().error == "changes wait for the mirror's store: disk full"
        world.mirror.errors.clear()
        await world.worked(1)
        await settled(lambda: world.observer.state().error is None)


async def test_the_mirrors_store_with_errors_loses_nothing() -> None:
    world = World()
    world.mirror.errors = [StoreUnavailable("x"), StoreUnavailable("x"), StoreUnavailable("x")]
    async with world.running():
        world.observer.observe_change(saw(answer=CONSUMER))
        await world.worked(1)
    assert not world.counts.events_lost


async def test_an_observation_that_trips_our_code_holds_up_nothing() -> None:
    world = World()
    async with world.running():
        await settled()  # the outbox is found empty before the trouble begins
        world.mirror.errors = [RuntimeError("a bug")]
        world.observer.observe_change(saw(answer=CONSUMER))
        world.observer.observe_change(saw(answer=CONSUMER))
        await world.worked(1)
    assert world.counts.events_lost == {("change_failed",): 1}
    assert world.reconciler.triggered == 1


async def test_a_schema_that_is_missing_is_asked_for_once_before() -> None:
    async with World().running() as world:
        world.schema_cache.rules.unknown.add("consumers")
        world.observer.observe_change(saw(answer=CONSUMER))
        world.observer.observe_change(saw("DELETE", "/consumers/grace", status=204))
        await world.worked(2)
    assert world.schema_cache.asked == ["consumers"], "a delete has nothing that could be hidden"


async def test_drain_empties_what_waits() -> None:
    async with World().running() as world:
        await settled()
        for number in range(50):
            world.observer.observe_change(saw("PUT", f"/consumers/{number}", CONSUMER))
        await world.observer.drain(SECONDS)
        assert len(world.mirror.applied) == 50
        assert len(world.publisher.events) == 150
        assert not world.mirror.outbox
        await world.observer.drain(SECONDS)


async def test_drain_waits_no_longer_than_it_may() -> None:
    world = World()  # which does not run, as where its file cannot be opened
    with capture_logs() as logs:
        await asyncio.wait_for(world.observer.drain(3_600), SECONDS)
        world.observer.observe_change(saw(answer=CONSUMER))
        await asyncio.wait_for(world.observer.drain(3_600), SECONDS)
        world.mirror.errors = [StoreUnavailable("disk full")] * 1_000_000
        async with world.running():
            await settled()
            await world.observer.drain(0.01)
    lines = [line["observations"] for line in logs if line["event"] == "changes_not_drained"]
    assert lines == [1, 1]


@pytest.mark.parametrize("away", ["refuses", "hangs"])
async def test_a_schema_that_kong_does_not_have_holds_up_nothing(away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer_module, "LEARN_SECONDS", 0.01)

    async def refuse() -> None:
        raise AdminApiError("away")

    async def hang() -> None:
        await asyncio.Event().wait()

    async with World().running() as world:
        world.schema_cache.rules.unknown.add("consumers")
        world.schema_cache.learning = refuse if away == "refuses" else hang
        world.observer.observe_change(saw(answer=CONSUMER))
        await world.worked(1)
    assert not world.counts.events_lost


async def test_what_a_reconciliation_found_is_published_when_it_says_so() -> None:
    async with World().running() as world:
        world.observer.observe_change(saw(answer=CONSUMER))
        await world.worked(1)
        world.mirror.outbox["round"] = make_change("round")
        world.observer.wake()
        await world.worked(1)
    assert len(world.publisher.events) == 6


async def test_only_while_wanted() -> None:
    world = World(ChangeLimits(grace=0.01))
    world.observer.set_active(False)
    assert not world.observer.has_change_subscribers
    world.mirror.outbox["old"] = make_change("old")
    async with world.running():
        await world.mirror.until(lambda mirror: mirror.forgotten == 1 and not mirror.outbox)
        assert world.reconciler.running == 0
        world.observer.set_active(True)
        await asyncio.wait_for(world.reconciler.began.wait(), SECONDS)
        assert world.observer.has_change_subscribers
        assert world.observer.state().active


def test_who_subscribes_to_changes() -> None:
    one = make_hook("a")
    crud_hook, dao_hook = make_hook("b", source="crud", event="consumers"), make_hook("c", source="dao:crud")
    off = make_hook("d", source="crud", enabled=False)
    assert [has_subscribers([one, *more], "crud", "dao:crud") for more in ([], [off], [crud_hook], [dao_hook])] == [
        False,
        False,
        True,
        True,
    ]


def test_never_waits_and_never_raises_before_it_runs() -> None:
    observer = World().observer
    observer.observe_change(ChangeObservation("POST", "/" * 100_000, 201, b"\xff", 0, 0))
    assert observer.state().pending_observations == 1

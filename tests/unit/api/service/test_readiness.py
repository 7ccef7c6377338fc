"""What /readyz reports: what stops the daemon, what needs a person, what was lost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kong_eventhooks_plugin.api.service.hook_states import HookStates
from kong_eventhooks_plugin.api.service.readiness import RECENT_SECONDS, PollerStatus, Readiness, ReadinessCheck
from kong_eventhooks_plugin.errors import StoreUnavailable, UnresolvedReference
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import Stats
from kong_eventhooks_plugin.queue.forwarding.acceptor import SpoolAcceptor
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.clock import FakeClock
from tests.support.events import StandInBook, make_hook
from tests.support.memory_queue import MemoryQueue
from tests.support.shared_queue import SharedSqliteQueue


class Delivery:
    delivering = leading = True

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def held_reason(self, hook_id: str) -> str | None:
        return self.reasons.get(hook_id)


class Book(StandInBook):
    missing: UnresolvedReference | None = None

    def resolved(self, hook: Hook) -> Mapping[str, Any]:
        if self.missing is not None:
            raise self.missing
        return super().resolved(hook)


class World:
    def __init__(self, *hooks: Hook, spool: SpoolAcceptor | None = None) -> None:
        self.now = 1000.0
        self.queue = MemoryQueue()
        self.registry = Book(*hooks)
        self.metrics = Metrics()
        self.delivery = Delivery()
        self.poller_status = PollerStatus()
        self.checked: dict[str, str] = {}
        self.look = ReadinessCheck(
            self.queue, self.registry, self.metrics, self.delivery,
            HookStates(self.registry, self.delivery, (lambda hook: self.checked.get(hook.id),)),
            lambda: self.now, lambda: self.now, lambda: self.poller_status, spool=spool,
        )  # fmt: skip

    async def check(self) -> Readiness:
        await self.queue.open()
        return await self.look.check()


async def test_all_is_well() -> None:
    ready = await World(make_hook("a", source="rate-limiting")).check()
    assert (ready.status, ready.store, ready.delivering, ready.hooks) == ("ready", "ok", True, 1)
    assert ready.queue == {
        "deliveries": {"pending": 0, "leased": 0, "delivered": 0, "dead": 0},
        "unsettled_bytes": 0,
        "oldest_unsettled_at": None,
        "per_hook": {},
    }


async def test_a_store_that_fails_makes_it_unready(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    async def fails() -> Stats:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(world.queue, "stats", fails)
    ready = await world.check()
    assert (ready.status, ready.store) == ("unready", "the disk is full")


async def test_a_disk_that_cannot_be_written_makes_it_unready(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(world.queue, "error", lambda: "disk I/O error")
    ready = await world.check()
    assert (ready.status, ready.store) == ("unready", "disk I/O error"), "though it can still be read"


async def test_a_held_hook_names_what_is_missing() -> None:
    hook = make_hook("a", source="rate-limiting")
    world = World(hook)
    world.delivery.reasons = {hook.id: "unresolved"}
    world.registry.missing = UnresolvedReference({"secret": "{vault://env/x}"})
    ready = await world.check()
    assert ready.status == "degraded"
    assert ready.held[hook.name] == "unresolved: no value for secret={vault://env/x}"


async def test_a_disabled_hook_is_no_trouble() -> None:
    world = World(make_hook("a", source="rate-limiting", enabled=False))
    world.registry.missing = UnresolvedReference({"secret": "{vault://env/x}"})
    ready = await world.check()
    assert (ready.status, ready.held) == ("ready", {"a": "disabled"})


async def test_what_does_not_end_by_itself_goes_before_an_endpoint_s_pause() -> None:
    a, b = make_hook("a", source="rate-limiting"), make_hook("b", source="rate-limiting")
    world = World(a, b)
    world.delivery.reasons = {a.id: "endpoint_held", b.id: "breaker_open"}
    world.checked = {a.id: "filter_failing: no such key"}
    ready = await world.check()
    assert (ready.status, ready.held) == ("degraded", {"a": "filter_failing: no such key", "b": "breaker_open"})


async def test_the_gauge_has_the_same_hooks_and_reasons() -> None:
    hooks = [make_hook(name, source="rate-limiting") for name in "abcd"]
    world = World(*hooks, make_hook("off", source="rate-limiting", enabled=False))
    world.checked = {hooks[0].id: "filter_failing: no such key", hooks[1].id: "no_admin_api: it needs the setting"}
    world.delivery.reasons = {hooks[0].id: "breaker_open", hooks[2].id: "breaker_open"}

    async def gauge() -> dict[str, str]:
        await world.look.refresh()
        (family,) = (each for each in world.metrics.registry.collect() if each.name == "kong_event_hooks_hook_held")
        return {sample.labels["hook"]: sample.labels["reason"] for sample in family.samples if sample.value == 1}

    assert await gauge() == {"a": "filter_failing", "b": "no_admin_api", "c": "breaker_open", "off": "disabled"}
    assert await gauge() == {name: reason.split(":")[0] for name, reason in (await world.check()).held.items()}
    world.checked = world.delivery.reasons = {}
    assert await gauge() == {"off": "disabled"}


async def test_the_pollers_errors_and_state_are_shown() -> None:
    world = World()
    assert (await world.check()).pollers == {}
    world.poller_status = PollerStatus(("crud: no admin_url",), {"crud": {"outbox": 0}})
    ready = await world.check()
    assert (ready.status, ready.errors) == ("degraded", ("crud: no admin_url",))
    assert ready.pollers == {"crud": {"outbox": 0}}
    await world.look.refresh()
    assert world.metrics.registry.get_sample_value("kong_event_hooks_errors") == 1


async def test_a_shared_store_that_is_away_is_an_error_that_the_gauge_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = SpoolAcceptor(tmp_path, SharedSqliteQueue(tmp_path / "shared.db", FakeClock()), lambda _: None)
    await spool.spool.open()
    world = World(spool=spool)

    async def away() -> Stats:
        raise StoreUnavailable("no route to db")

    monkeypatch.setattr(world.queue, "stats", away)
    ready = await world.check()
    assert (ready.status, ready.store) == ("degraded", "ok")
    assert ready.errors == ("the shared store: no route to db",)
    await world.look.refresh()
    assert world.metrics.registry.get_sample_value("kong_event_hooks_errors") == 1
    await spool.close()


async def test_a_loss_is_news_for_a_while_and_stays_counted() -> None:
    world = World()
    world.metrics.counts.events_lost["buffer",] += 2
    assert (await world.check()).status == "degraded"
    world.now += RECENT_SECONDS
    ready = await world.check()
    assert (ready.status, ready.events_lost) == ("ready", {"buffer": 2})


async def test_the_gauges_follow_the_store() -> None:
    world = World()
    await world.queue.open()
    await world.look.refresh()
    assert world.metrics.registry.get_sample_value("kong_event_hooks_queue_deliveries", {"state": "pending"}) == 0

import asyncio

import pytest
import structlog

from kong_eventhooks_plugin.delivery.pings import AT_ONCE, WAITING, pings_for
from kong_eventhooks_plugin.hooks.contract import HookChange
from kong_eventhooks_plugin.model.delivery import Delivered, Discard, Outcome, Retry
from kong_eventhooks_plugin.model.hook import Hook
from tests.support.delivery_world import World, scripted_hook, world
from tests.support.events import make_hook

A = scripted_hook("a")
CHANGED = scripted_hook("a", config={"endpoint": "http://elsewhere:80"})
OFF = scripted_hook("a", enabled=False)
LOG = make_hook("a", handler="log")


@pytest.mark.parametrize(
    ("before", "after", "results"),
    [
        (None, A, [(A, "create")]),
        (A, CHANGED, [(CHANGED, "update")]),
        (A, None, [(A, "delete")]),
        (A, scripted_hook("a", updated_at=99), []),
        (None, OFF, []),
        (OFF, None, []),
        (A, OFF, []),
        (OFF, A, [(A, "update")]),
        (A, LOG, [(A, "delete"), (LOG, "create")]),
        (None, None, []),
    ],
)
def test_the_pings_of_a_change(before: Hook | None, after: Hook | None, results: list[tuple[Hook, str]]) -> None:
    assert list(pings_for(HookChange(before, after))) == results


async def pinged(w: World, count: int) -> None:
    await w.handler.news.until(lambda: len(w.handler.pings) >= count)


async def test_pings_go_out_and_their_end_is_logged() -> None:
    b = scripted_hook("b")
    async with world(A, b) as w:
        w.handler.outcomes["ping b"] = [Discard("gone", "answered 410", disable=True)]
        with structlog.testing.capture_logs() as logs:
            w.worker.ping_changes([HookChange(None, A), HookChange(None, b)])
            await pinged(w, 2)
            await w.turn()
        said = {
            each["hook"]: each["event"] == "ping_sent" for each in logs if each["event"] in {"ping_sent", "ping_failed"}
        }
        assert said == {"a": True, "b": False}
        assert w.held() == {}, "a ping switches nothing off"


@pytest.mark.parametrize(("answer", "held"), [(Delivered(), {}), (Discard("gone", "still"), {A.id: "endpoint_gone"})])
async def test_a_hook_that_was_switched_off_and_made_anew_goes_on_where_its_ping_arrives(
    answer: Outcome, held: dict[str, str]
) -> None:
    async with world(A) as w:
        w.handler.outcomes["a"] = [Discard("gone", "answered 410", disable=True), Delivered()]
        w.handler.outcomes["ping a"] = [answer]
        await w.offer(A)
        await w.queue.settled(1)
        [waits] = await w.offer(A)
        for hooks in ((), (A,)):
            w.worker.ping_changes(w.registry.set(*hooks))
        await pinged(w, 2)
        await w.turn()
        assert w.held() == held
        assert (await w.queue.get(waits)).state == ("pending" if held else "delivered")


async def test_a_failed_ping_is_tried_three_times() -> None:
    async with world(A) as w:
        w.handler.outcomes["ping a"] = [Retry("status", "answered 500")]
        w.worker.ping_changes([HookChange(None, A)])
        await pinged(w, 1)
        await w.turn()
        for number, seconds in ((2, 5), (3, 30)):
            w.time.advance(seconds)
            await pinged(w, number)
            await w.turn()
        w.time.advance(1_000)
        await w.turn()
        assert len(w.handler.pings) == 3


async def test_only_the_delivering_process_pings() -> None:
    async with world(A) as one, world(A, time=one.time, queue=one.queue, holder="two") as two:
        for each in (one, two):
            each.worker.ping_changes([HookChange(None, A)])
        await pinged(one, 1)
        one.time.advance(3)
        await two.turn()
        for _ in range(62):
            one.time.advance(1)
            await two.turn()
        await one.worker.drain(1)
        for _ in range(15):
            one.time.advance(1)
            await two.turn()
        assert two.worker.leading
        assert (len(one.handler.pings), two.handler.pings) == (1, [])


async def test_a_ping_waits_for_the_lease_at_the_start() -> None:
    async with World(A) as w:
        w.worker.ping_changes([HookChange(None, A)])
        await pinged(w, 1)


async def test_a_change_before_the_first_ping_is_pinged_once_as_a_creation() -> None:
    async with World(A) as w:
        w.worker.ping_changes([HookChange(None, A)])
        w.worker.ping_changes(w.registry.set(CHANGED))
        await pinged(w, 1)
        await w.turn()
        assert w.handler.pings == [("a", "create")]


@pytest.mark.parametrize(("later", "pings"), [(CHANGED, [("a", "update")]), (OFF, []), (None, [("a", "delete")])])
async def test_a_ping_is_not_retried_once_its_definition_is_replaced(
    later: Hook | None, pings: list[tuple[str, str]]
) -> None:
    async with world(A) as w:
        w.handler.outcomes["ping a"] = [Retry("status", "answered 500"), Delivered()]
        w.worker.ping_changes([HookChange(None, A)])
        await pinged(w, 1)
        await w.turn()
        w.worker.ping_changes(w.registry.set(*([] if later is None else [later])))
        for _ in range(40):
            w.time.advance(1)
            await w.turn()
        assert w.handler.pings == [("a", "create"), *pings]


async def test_a_deletion_is_not_reported_again_once_the_hook_is_back() -> None:
    async with world(A) as w:
        w.handler.outcomes["ping a"] = [Retry("status", "answered 500"), Delivered()]
        w.worker.ping_changes(w.registry.set())
        await pinged(w, 1)
        await w.turn()
        w.worker.ping_changes(w.registry.set(A))
        for _ in range(40):
            w.time.advance(1)
            await w.turn()
        assert w.handler.pings == [("a", "delete"), ("a", "create")]


async def test_a_deleted_hooks_ping_has_the_config_it_had() -> None:
    async with world(A) as w:
        w.worker.ping_changes([HookChange(A, None)])
        w.registry.unresolved.add("a")
        await pinged(w, 1)
        assert w.handler.pings == [("a", "delete")]


async def test_no_ping_without_its_secret_or_its_handler() -> None:
    async with world(A) as w:
        w.registry.unresolved.add("a")
        w.worker.ping_changes([HookChange(None, A), HookChange(None, LOG)])
        await w.turn()
        assert w.handler.pings == []


async def test_a_ping_waits_for_its_secret() -> None:
    async with world(A) as w:
        w.registry.unresolved.add("a")
        w.worker.ping_changes([HookChange(None, A)])
        for _ in range(200):
            await w.turn()
            w.time.advance(1)
        assert w.handler.pings == []
        w.registry.unresolved.clear()
        await w.turn()
        w.time.advance(1)
        await pinged(w, 1)
        for _ in range(3):
            w.time.advance(1)
            await w.turn()
        assert w.handler.pings == [("a", "create")]


@pytest.mark.parametrize(("later", "results"), [(CHANGED, [("a", "create")]), (OFF, []), (None, [])])
async def test_what_becomes_of_a_hook_meanwhile_counts(later: Hook | None, results: list[tuple[str, str]]) -> None:
    async with world(A) as w:
        w.registry.unresolved.add("a")
        w.worker.ping_changes([HookChange(None, A)])
        await w.turn()
        w.worker.ping_changes(w.registry.set(*([] if later is None else [later])))
        await w.turn()
        w.registry.unresolved.clear()
        for _ in range(3):
            w.time.advance(1)
            await w.turn()
        assert w.handler.pings == results


async def test_a_ping_that_raises_is_a_failed_ping() -> None:
    async with world(A) as w:
        w.handler.outcomes["ping a"] = [ValueError("x"), Delivered()]
        w.worker.ping_changes([HookChange(None, A)])
        await pinged(w, 1)
        await w.turn()
        w.time.advance(5)
        await pinged(w, 2)


async def test_too_many_are_dropped_and_said() -> None:
    async with World(A) as w:
        with structlog.testing.capture_logs() as logs:
            w.worker.ping_changes([HookChange(None, A)] * (WAITING + 3))
        assert [each["event"] for each in logs] == ["ping_dropped"] * 3
        await pinged(w, WAITING)


async def test_a_few_at_once_and_drain_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(A) as w:
        running, never = [], asyncio.Event()

        async def slow(*_: object) -> None:
            running.append(1)
            w.handler.news.tell()
            await never.wait()

        monkeypatch.setattr(w.handler, "ping", slow)
        w.worker.ping_changes([HookChange(None, A)] * 20)
        await w.handler.news.until(lambda: len(running) >= AT_ONCE)
        await w.turn()
        assert len(running) == AT_ONCE
        await w.worker.drain(1)

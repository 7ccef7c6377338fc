"""The worker over the queue in memory, a scripted handler and a clock that the test moves."""

import asyncio
from typing import Any

import pytest
import structlog

from kong_eventhooks_plugin.delivery import leadership
from kong_eventhooks_plugin.delivery.activity import PastAttempt
from kong_eventhooks_plugin.delivery.hook_readiness import EndpointStanding
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Delivery, Discard, Retry
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import EndpointHealth, Settlement
from tests.support.delivery_time import FakeTime
from tests.support.delivery_world import World, scripted_hook, world
from tests.support.events import make_hook
from tests.support.waiting import SECONDS

A, B = scripted_hook("a"), scripted_hook("b")
ORDERED = scripted_hook("ordered", config={"ordered": True, "retry": {"attempts": 2, "schedule": [10]}})
FAILED = Retry("status", "answered 500", Answer(500, b"why"))
TIMED_OUT = Retry("timeout", "no answer in time", hold=True)


async def test_an_event_is_delivered_and_the_attempt_recorded() -> None:
    async with world(A) as w:
        [delivery] = await w.offer(A, time=w.time() - 2)
        await w.queue.settled(1)
        stored = await w.queue.get(delivery)
        [attempt] = await w.queue.attempts(delivery)
        assert (stored.state, stored.attempts) == ("delivered", 1)
        assert (attempt.number, attempt.outcome, attempt.error) == (1, "delivered", None)
        job = w.handler.jobs[0]
        assert (job.delivery_id, job.source, job.attempt, job.now) == (delivery, "rate-limiting", 1, w.time())
        assert job.config == {"endpoint": "http://a:80"}
        assert w.metric("delivery_attempts_total", hook="a", outcome="delivered", error="") == 1
        assert w.metric("delivery_latency_seconds_sum", hook="a") == 2
        assert w.worker.activity.last(A.id) == (PastAttempt(w.time(), "delivered", None, None, delivery),)
        assert w.worker.standing(A.id) == EndpointStanding()


async def test_since_when_an_endpoint_fails_and_until_when_it_is_spared() -> None:
    async with world(A) as w:
        w.handler.outcomes["a"] = [TIMED_OUT]
        await w.offer(A)
        await w.queue.settled(1)
        standing = w.worker.standing(A.id)
        assert (standing.failing_since, standing.disabled_at) == (w.time(), None)
        assert standing.held_until is not None
        assert standing.held_until > w.time()
        assert w.worker.activity.last(A.id)[0].error == "timeout"


async def test_a_failure_is_tried_again_on_schedule_until_the_delivery_is_dead() -> None:
    async with world(A) as w:
        w.handler.outcomes["a"] = [FAILED]
        [delivery] = await w.offer(A)
        started = w.time()
        for number, wait in enumerate([5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400], start=1):
            await w.queue.settled(number)
            assert (await w.queue.get(delivery)).due_at == w.time() + wait
            w.time.advance(wait - 1)
            await w.turn()
            assert len(w.handler.jobs) == number, "not before its time"
            w.time.advance(1)
        await w.queue.settled(10)
        stored = await w.queue.get(delivery)
        assert (stored.state, stored.reason, w.time() - started) == ("dead", "exhausted", 272_105)
        attempts = await w.queue.attempts(delivery)
        assert [attempt.number for attempt in attempts] == list(range(1, 11))
        assert {(attempt.status, attempt.body, attempt.error) for attempt in attempts} == {(500, b"why", "status")}
        assert w.metric("delivery_attempts_total", hook="a", outcome="retry", error="status") == 10
        await w.queue.replay(delivery)
        await w.queue.settled(11)
        assert (await w.queue.get(delivery)).state == "dead", "a replay is one more attempt"


async def test_a_connection_that_failed_at_once_is_tried_again_at_once_and_once() -> None:
    async with world(A) as w:
        w.handler.outcomes["a"] = [Retry("connect", "refused")]
        [delivery] = await w.offer(A)
        await w.queue.settled(2)
        await w.turn()
        assert (await w.queue.get(delivery)).due_at == w.time() + 5
        assert len(w.handler.jobs) == 2


async def test_a_discarded_delivery_is_dead_at_once() -> None:
    async with world(A) as w:
        w.handler.outcomes["a"] = [Discard("address_refused", "link-local")]
        [delivery] = await w.offer(A)
        await w.queue.settled(1)
        stored = await w.queue.get(delivery)
        assert (stored.state, stored.reason) == ("dead", "address_refused")
        assert w.held() == {}


async def test_an_ordered_hook_delivers_one_after_the_other() -> None:
    async with world(ORDERED) as w:
        ids = await w.offer(ORDERED, count=5)
        await w.queue.settled(5)
        ids += await w.offer(ORDERED, count=3)
        await w.queue.settled(8)
        assert [job.delivery_id for job in w.handler.jobs] == ids
        assert w.handler.most["ordered"] == 1
        assert not w.queue.claims, "never as many as there is room for"


async def test_the_next_is_sent_after_the_outcome_of_the_one_before_is_stored() -> None:
    async with world(ORDERED) as w:
        w.handler.gates["ordered"] = asyncio.Event()
        await w.offer(ORDERED, count=2)
        await w.handler.called(1)
        w.queue.failing = StoreUnavailable("the disk is full")
        w.handler.gates["ordered"].set()
        await w.turn(50)
        assert len(w.handler.jobs) == 1
        w.queue.failing = None
        w.time.advance(1)
        await w.queue.settled(2)


async def test_a_failing_head_holds_those_behind_it_until_it_is_dead_and_a_replay_goes_first() -> None:
    async with world(ORDERED) as w:
        w.handler.outcomes["ordered"] = [FAILED, FAILED, Delivered()]
        first, second = await w.offer(ORDERED, count=2)
        await w.queue.settled(1)
        for _ in range(9):
            w.time.advance(1)
            await w.turn()
        assert [job.delivery_id for job in w.handler.jobs] == [first]
        w.time.advance(1)
        await w.queue.settled(3)
        assert [job.delivery_id for job in w.handler.jobs] == [first, first, second]
        assert (await w.queue.get(first)).state == "dead"

        w.handler.outcomes["ordered"] = [FAILED, Delivered()]
        third, _ = await w.offer(ORDERED, count=2)
        await w.queue.settled(4)
        await w.queue.replay(first)
        w.time.advance(10)
        await w.queue.settled(7)
        assert [job.delivery_id for job in w.handler.jobs[3:6]] == [third, first, third]


async def test_another_process_goes_on_in_order() -> None:
    clock = FakeTime()
    async with world(ORDERED, time=clock) as w:
        w.handler.outcomes["ordered"] = [Delivered(), FAILED]
        _, second, third = await w.offer(ORDERED, count=3)
        await w.queue.settled(2)
        queue = w.queue
    async with world(ORDERED, time=clock, queue=queue, holder="two") as w:
        clock.advance(10)
        await w.queue.settled(4)
        assert [job.delivery_id for job in w.handler.jobs] == [second, third]


async def test_a_hook_s_own_schedule_is_kept() -> None:
    hook = scripted_hook("a", config={"retry": {"attempts": 3, "schedule": [10], "final_statuses": [422]}})
    async with world(hook) as w:
        w.handler.outcomes["a"] = [FAILED]
        [delivery] = await w.offer(hook)
        for number in (1, 2):
            await w.queue.settled(number)
            assert (await w.queue.get(delivery)).due_at == w.time() + 10
            w.time.advance(10)
        await w.queue.settled(3)
        assert (await w.queue.get(delivery)).reason == "exhausted"
        w.handler.outcomes["a"] = [Retry("status", "answered 422", Answer(422))]
        [delivery] = await w.offer(hook)
        await w.queue.settled(4)
        stored = await w.queue.get(delivery)
        assert (stored.state, stored.reason) == ("dead", "final_status")


async def test_a_time_out_holds_the_endpoint_and_every_hook_that_shares_it() -> None:
    shared = scripted_hook("shared", config=A.config)
    async with world(A, shared, B) as w:
        w.handler.outcomes["a"] = [TIMED_OUT, Delivered()]
        await w.offer(A)
        await w.queue.settled(1)
        assert w.held() == {A.id: "endpoint_held", shared.id: "endpoint_held"}
        await w.offer(shared, B)
        await w.queue.settled(2)
        w.time.advance(59)
        await w.turn()
        assert len(w.queue.attempted) == 2
        w.time.advance(1)
        await w.queue.settled(4)
        assert w.held() == {}


async def test_a_time_out_holds_the_endpoint_however_long_the_attempt_took() -> None:
    async with world(A) as w:
        w.handler.outcomes["a"] = [TIMED_OUT]
        w.handler.gates["a"] = asyncio.Event()
        await w.offer(A)
        await w.handler.called(1)
        for _ in range(15):
            w.time.advance(1)
            await w.turn()
        w.handler.gates["a"].set()
        await w.queue.settled(1)
        assert w.held() == {A.id: "endpoint_held"}


async def test_a_failing_endpoint_gets_a_rest_then_one_probe() -> None:
    async with world(A) as w:
        w.handler.outcomes["a"] = [FAILED]
        await w.offer(A, count=10)
        await w.queue.settled(10)
        assert w.held() == {A.id: "breaker_open"}
        w.time.advance(1)
        await w.turn()
        w.time.advance(29)
        await w.queue.settled(11)
        await w.turn()
        assert len(w.handler.jobs) == 11
        assert w.queue.claims[-1] == (A.id, 1)
        assert w.held() == {A.id: "breaker_open"}
        w.handler.outcomes["a"] = [Delivered()]
        w.time.advance(30)
        await w.queue.settled(20)
        assert w.held() == {}


async def test_a_hook_that_its_endpoint_refuses_closes_no_other_out() -> None:
    shared = scripted_hook("shared", config=A.config)
    async with world(A, shared) as w:
        w.handler.outcomes["a"] = [Retry("status", "answered 404", Answer(404))]
        await w.offer(A, count=20)
        await w.queue.settled(8)
        for _ in range(120):
            await w.offer(A, shared)
            w.time.advance(1)
            await w.turn()
        assert w.held() == {A.id: "breaker_open"}
        assert len(w.handler.jobs_of("shared")) == 120


async def test_a_clock_set_back_puts_off_neither_deliveries_nor_what_another_process_says() -> None:
    async with world(A, B) as w:
        w.handler.outcomes = {"a": [Discard("gone", "answered 410", disable=True), Delivered()], "b": [TIMED_OUT]}
        await w.offer(A, B)
        await w.queue.settled(2)
        w.time.advance(1)
        await w.turn()
        w.time.advance(-86_400)
        w.handler.outcomes["b"] = [Delivered()]
        await w.offer(A, B)
        await w.queue.settled(3)
        await w.queue.save_endpoint(EndpointHealth(A.id))
        w.registry.set(A, B)  # has it look: a sleeper of the real clock wakes after its seconds, this one's at its time
        for _ in range(20):
            await w.turn()
            w.time.advance(1)
        await w.turn()
        assert len(w.queue.attempted) == 4


async def test_a_hook_whose_secret_has_no_value_is_held_and_sends_nothing() -> None:
    async with world(A) as w:
        w.registry.unresolved.add("a")
        await w.offer(A)
        w.time.advance(3600)
        await w.turn()
        assert (w.handler.jobs, w.held()) == ([], {A.id: "unresolved"})
        w.registry.unresolved.clear()
        w.time.advance(1)
        await w.queue.settled(1)


async def test_a_disabled_hook_and_one_without_a_handler_are_held() -> None:
    other = make_hook("other", handler="lambda")
    async with world(A, other) as w:
        w.registry.set(scripted_hook("a", enabled=False), other)
        await w.offer(A, other)
        await w.turn()
        assert (w.handler.jobs, w.held()) == ([], {A.id: "disabled", other.id: "no_handler"})
        w.registry.set(A, other)
        await w.queue.settled(1)


async def test_a_handler_that_raises_costs_an_attempt_and_its_text_is_not_told() -> None:
    async with world(A) as w:
        w.handler.outcomes["a"] = [ValueError("https://user:pw@host"), Delivered()]
        with structlog.testing.capture_logs() as logs:
            [delivery] = await w.offer(A)
            await w.queue.settled(1)
        [attempt] = await w.queue.attempts(delivery)
        assert (attempt.error, attempt.detail) == ("internal", "the handler raised ValueError")
        assert "pw@host" not in repr(logs)
        assert w.held() == {}, "our bug is not the endpoint's"


async def test_a_handler_that_never_ends_is_ended() -> None:
    async with world(A, limits=DeliveryLimits(attempt=0.05, margin=0.05)) as w:
        w.handler.gates["a"] = asyncio.Event()
        [delivery] = await w.offer(A)
        await w.queue.settled(1)
        [attempt] = await w.queue.attempts(delivery)
        assert (attempt.error, attempt.outcome) == ("timeout", "retry")
        assert w.held() == {A.id: "endpoint_held"}


async def test_work_of_another_process_is_found_by_the_poll() -> None:
    async with world(A) as w:
        listeners, w.queue._listeners, w.queue._taker = w.queue._listeners, [], None
        await w.offer(A)
        await w.turn()
        assert w.handler.jobs == []
        w.time.advance(1)
        await w.queue.settled(1)
        w.queue._listeners = listeners


async def test_a_store_that_fails_is_asked_again_and_nothing_is_lost() -> None:
    async with world(A) as w:
        w.handler.gates["a"] = asyncio.Event()
        ids = await w.offer(A, count=5)
        await w.handler.called(5)
        with structlog.testing.capture_logs() as logs:
            w.queue.failing = StoreUnavailable("disk full")
            w.handler.gates["a"].set()
            await w.turn()
            assert w.queue.attempted == []
            w.queue.failing = None
            w.time.advance(1)
            await w.queue.settled(5)
        assert [(await w.queue.get(delivery)).state for delivery in ids] == ["delivered"] * 5
        assert any(each["event"] == "outcomes_write_failed" for each in logs)


async def test_a_crash_between_sending_and_settling_delivers_again_with_the_same_id() -> None:
    time = FakeTime()
    async with world(A, time=time) as w:
        queue = w.queue
        w.handler.gates["a"] = asyncio.Event()
        [delivery] = await w.offer(A)
        await w.handler.called(1)
        w.queue.failing = StoreUnavailable("killed")
    # The process is gone; its lease and the delivery's run out.
    queue.failing = None
    queue._listeners.clear()
    time.advance(91)
    async with world(A, time=time, queue=queue, holder="two") as w:
        await queue.settled(1)
        assert [job.delivery_id for job in w.handler.jobs] == [delivery]
        assert (await queue.get(delivery)).state == "delivered"


async def test_one_of_two_processes_delivers_and_the_other_takes_over() -> None:
    time = FakeTime()
    async with world(A, time=time) as one, world(A, time=time, queue=one.queue, holder="two") as two:
        await one.offer(A, count=3)
        await one.queue.settled(3)
        assert (one.worker.leading, two.worker.leading) == (True, False)
        assert (len(one.handler.jobs), len(two.handler.jobs)) == (3, 0)
        time.advance(1)
        await one.turn()
        assert (one.metric("delivery_leader"), two.metric("delivery_leader")) == (1, 0)
        await one.worker.drain(1)
        assert not one.worker.leading
        time.advance(4)
        await two.turn()
        await one.offer(A)
        await one.queue.settled(4)
        assert (len(one.handler.jobs), len(two.handler.jobs)) == (3, 1)


async def test_a_process_that_cannot_renew_its_lease_stops_in_time() -> None:
    async with world(A) as w:
        w.queue.failing = StoreUnavailable("away")
        with structlog.testing.capture_logs():
            for _ in range(11):
                w.time.advance(1)
                await w.turn()
            assert not w.worker.leading
            w.queue.failing = None
            w.time.advance(4)
            await w.turn()
            assert w.worker.leading
            await w.offer(A)
            await w.queue.settled(1)


async def test_drain_lets_attempts_end_gives_back_the_rest_and_the_lease() -> None:
    async with world(A, B, limits=DeliveryLimits(per_hook=2)) as w:
        w.handler.gates = {"a": asyncio.Event(), "b": asyncio.Event()}
        ids = await w.offer(A, B, count=5)
        await w.handler.called(4)
        draining = asyncio.create_task(w.worker.drain(10))
        await w.turn()
        assert (await w.queue.stats()).depth["pending"] == 6, "given back at once, not after the attempts in flight"
        w.handler.gates["a"].set()
        await w.queue.settled(2)
        assert not draining.done()
        w.time.advance(10)
        await draining
        await w.running
        states = [(await w.queue.get(delivery)).state for delivery in ids]
        assert sorted(states) == ["delivered"] * 2 + ["pending"] * 8
        assert await w.queue.lead("another", 10)
        jobs = len(w.handler.jobs)
        await w.offer(A)
        w.time.advance(100)
        await w.turn()
        assert len(w.handler.jobs) == jobs == 4


async def test_a_store_that_never_answers_does_not_keep_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leadership, "RESIGNING", 0.05)
    async with world(A) as w:
        never = asyncio.Event()

        async def stalled(_holder: str) -> None:
            await never.wait()

        monkeypatch.setattr(w.queue, "resign", stalled)
        async with asyncio.timeout(SECONDS):
            await w.worker.drain(1)
        assert not w.worker.leading


async def test_draining_twice_or_before_it_ran_is_fine() -> None:
    made = World(A)
    await made.worker.drain(1)
    async with world(A) as w:
        await w.worker.drain(1)
        await w.worker.drain(1)


async def test_a_worker_whose_store_opened_after_the_drain_keeps_no_other_from_delivering() -> None:
    time = FakeTime()
    one = World(A, time=time)
    await one.worker.drain(1)
    async with one, world(A, time=time, queue=one.queue, holder="two") as two:
        await one.turn()
        assert (one.running.done(), one.worker.leading, two.worker.leading) == (True, False, True)
        await two.offer(A)
        await two.queue.settled(1)


async def test_a_bug_in_a_loop_is_logged_and_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(A) as w:
        real = w.queue.work

        async def broken() -> None:
            monkeypatch.setattr(w.queue, "work", real)
            raise ZeroDivisionError

        monkeypatch.setattr(w.queue, "work", broken)
        with structlog.testing.capture_logs() as logs:
            w.time.advance(1)
            await w.turn()
        assert [each["event"] for each in logs] == ["loop_crashed"]
        w.time.advance(2)
        await w.turn()
        await w.offer(A)
        await w.queue.settled(1)


async def test_the_fourth_failure_and_the_recovery_are_said() -> None:
    async with world(A) as w:
        w.handler.outcomes["a"] = [FAILED, FAILED, FAILED, FAILED, Delivered()]
        with structlog.testing.capture_logs() as logs:
            await w.offer(A)
            for number, wait in enumerate([5, 300, 1800, 7200], start=1):
                await w.queue.settled(number)
                w.time.advance(wait)
            await w.queue.settled(5)
            await w.turn()
        said = [
            each["event"] for each in logs if each["log_level"] in ("warning", "info") and "deliver" in each["event"]
        ]
        assert said.count("delivery_failing") == 1
        assert "delivery_recovered" in said


async def test_cancelling_ends_everything() -> None:
    made = World(A)
    async with made as w:
        w.handler.gates["a"] = asyncio.Event()
        await w.turn()
        await w.offer(A)
        await w.handler.called(1)
    assert made.running.cancelled()
    assert made.handler.in_flight == {"a": 0}


class Heard:
    """Takes what hooks can hear of."""

    def __init__(self) -> None:
        self.incidents: list[tuple[str, str, Any]] = []

    def endpoint_disabled(self, hook: Hook, health: EndpointHealth) -> None:
        self.incidents.append(("disabled", hook.name, health.disabled))

    def endpoint_recovered(self, health: EndpointHealth) -> None:
        self.incidents.append(("recovered", health.hook_id, health.disabled))

    def delivery_dead(self, hook: Hook, delivery: Delivery, _: Any, settlement: Settlement, __: float) -> None:
        self.incidents.append(("dead", delivery.id, settlement.reason))


async def test_what_hooks_can_hear_of_is_reported() -> None:
    heard = Heard()
    async with world(A, incidents=heard) as w:
        w.handler.outcomes["a"] = [Discard("gone", "answered 410", disable=True)]
        [delivery] = await w.offer(A)
        await w.queue.settled(1)
        await w.turn()
        assert await w.worker.enable(A.id)
        assert not await w.worker.enable(A.id)
    assert heard.incidents == [("disabled", "a", "gone"), ("dead", delivery, "gone"), ("recovered", A.id, "gone")]

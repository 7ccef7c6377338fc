"""Hooks' filters, from an event to what the queue is offered: a real sandbox, and one that has no answer."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace
from structlog.testing import capture_logs

from kong_eventhooks_plugin.dispatch import filters
from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
from kong_eventhooks_plugin.errors import QueueFull, StoreUnavailable
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import Candidate, Receipt
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Decide, Decided, Failed, Result, Task
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.custom_webhooks import UNHURRIED
from tests.support.events import SEEN_AT, StandInBook, StandInQueue, make_event, make_hook, seen, serialized
from tests.support.queue import held_back
from tests.support.waiting import SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITED = seen(serialized())


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the hooks wait for a real sandbox however slow the machine is; in service they would fire unasked."""
    monkeypatch.setattr(filters, "SECONDS", SECONDS)
    monkeypatch.setattr(filters, "COLD_SECONDS", SECONDS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real_pool() -> AsyncIterator[Pool]:
    made = Pool(UNHURRIED)
    yield made
    await made.close()


@pytest.fixture
def pool(real_pool: Pool, unhurried: None) -> Pool:
    return real_pool


class StandInPool:
    """Answers what a test says; None: never."""

    def __init__(self, *answers: Result | Exception | None) -> None:
        self.answers = list(answers)
        self.tasks: list[Task] = []
        self.lanes: list[str] = []
        self.taken_back = 0
        self.processes: list[int] = []

    async def run(self, task: Task, lane: str = "") -> Result:
        self.tasks.append(task)
        self.lanes.append(lane)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer
        try:
            await asyncio.Event().wait()
        finally:
            self.taken_back += 1
        raise AssertionError


async def rounds_until(condition: Callable[[], object]) -> None:
    """Let the loop go round until something is there: the stand-ins have nothing to wait on."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


class Setup:
    """A dispatcher over a pool; its queue commits when the test says so."""

    def __init__(self, pool: Any, *hooks: Hook, queue: Any = None) -> None:
        self.queue = queue or StandInQueue()
        self.metrics = Metrics()
        self.registry = StandInBook(*hooks)
        self.dispatcher = Dispatcher(
            self.registry, self.queue, (RateLimiting(),), self.metrics, lambda: SEEN_AT, pool=pool
        )

    async def offered(self, **data: Any) -> list[tuple[str, str | None]]:
        """Publish an event with ``data``; return the names and refusals of what the queue was offered."""
        future = self.dispatcher.publish(make_event(data=data))
        assert future is not None
        await rounds_until(lambda: self.queue.offers)
        names = {hook.id: hook.name for hook in self.registry.hooks().values()}
        return [(names[one.hook_id], one.refused) for one in self.queue.offers.pop().candidates]

    @property
    def lost(self) -> dict[str, int]:
        return {reason: count for (reason,), count in self.metrics.counts.events_lost.items()}


async def test_each_hook_has_its_own_verdict(pool: Pool) -> None:
    setup = Setup(
        pool,
        make_hook("over", filter="data.limit > 3"),
        make_hook("under", filter="data.limit < 3"),
        make_hook("free"),
        make_hook("named", filter="data.consumer.username == 'Joe'"),
        make_hook("source", filter="source == 'rate-limiting' && event.startsWith('rate-')"),
        make_hook("off", filter="data.limit > 3", enabled=False),
    )
    with capture_logs() as logs:
        assert await setup.offered(limit=4, consumer={}) == [
            ("over", None), ("under", "filter"), ("free", None), ("named", "filter_error"), ("source", None),
            ("off", "disabled"),
        ]  # fmt: skip
    (line,) = logs
    assert (line["event"], line["hook"]) == ("filter_failed", "named")
    assert "username" in line["error"]
    assert setup.metrics.counts.events_lost == {}


async def test_a_filter_that_always_fails_is_known_until_it_gives_a_verdict(pool: Pool) -> None:
    hook, other = make_hook("named", filter="data.name == 'Joe'"), make_hook("other", filter="data.name == 'Ann'")
    setup = Setup(pool, hook)
    assert setup.dispatcher.filter_error(hook) is None
    await setup.offered(limit=4)
    assert "name" in str(setup.dispatcher.filter_error(hook))
    assert setup.dispatcher.filter_error(replace(hook, filter="true")) is None, "of another definition"
    await setup.offered(name="Ann")
    assert setup.dispatcher.filter_error(hook) is None
    await setup.offered(limit=4)
    assert setup.dispatcher.filter_error(hook) is None, "it does not always fail"
    setup.registry.change(other)
    await setup.offered(limit=4)
    assert setup.dispatcher.filter_error(other) is not None
    assert setup.dispatcher.filter_error(hook) is None, "nothing is kept of a hook that is gone"


async def test_a_missing_field_is_logged_once_in_a_while(pool: Pool) -> None:
    setup = Setup(pool, make_hook("named", filter="data.nothing == 1"))
    with capture_logs() as logs:
        for _ in range(20):
            assert await setup.offered(limit=4) == [("named", "filter_error")]
    assert len(logs) == 1


async def test_all_filters_of_an_event_are_one_task_and_none_without_a_filter() -> None:
    stand_in = StandInPool(Decided((True, False)))
    setup = Setup(stand_in, make_hook("a", filter="x"), make_hook("b", filter="y"), make_hook("c"))
    assert await setup.offered() == [("a", None), ("b", "filter"), ("c", None)]
    assert len(stand_in.tasks) == 1
    setup.registry.change(make_hook("c"), make_hook("off", filter="x", enabled=False))
    future = setup.dispatcher.publish(make_event())
    assert future is setup.queue.futures[-1], "at once: nothing is asked"
    setup.registry.change(make_hook("c"), make_hook("elsewhere", source="crud", filter="x"))
    assert setup.dispatcher.publish(make_event()) is setup.queue.futures[-1]


@pytest.mark.parametrize(
    "answer",
    [None, Failed("busy", "1000 tasks wait already"), Failed("unavailable", "x"), Failed("data", "x"), Decided(())],
    ids=["none", "busy", "unavailable", "data", "too few"],
)
async def test_without_an_answer_the_hooks_fire(answer: Result | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "SECONDS", 0.01)
    monkeypatch.setattr(filters, "COLD_SECONDS", 0.01)
    stand_in = StandInPool(answer)
    setup = Setup(stand_in, make_hook("a", filter="x"), make_hook("b", filter="y", on_change=True))
    with capture_logs() as logs:
        assert await setup.offered() == [("a", None), ("b", None)]
    assert [line["event"] for line in logs] == ["filters_failed"]
    assert stand_in.taken_back == (answer is None)


async def test_a_sandbox_that_must_be_started_has_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    timeout = asyncio.timeout
    monkeypatch.setattr(filters.asyncio, "timeout", lambda seconds: (given.append(seconds), timeout(seconds))[1])
    stand_in = StandInPool(*[Decided((True,))] * 3)
    asked = filters.FilterEvaluator(stand_in, lambda: 0.0, str)  # type: ignore[arg-type]  # stands in for a pool
    candidates = (Candidate("h", "rate-limiting"),)
    for running in ([], [1], []):
        stand_in.processes = running
        await asked.evaluate(make_event(), candidates, {"h": "x"})
    assert given == [filters.COLD_SECONDS, filters.SECONDS, filters.COLD_SECONDS]
    assert filters.SECONDS < filters.COLD_SECONDS < 1, "Kong is answered within a second"


async def test_after_a_broken_limit_each_is_asked_alone_until_it_answers() -> None:
    stand_in = StandInPool(
        Failed("cpu", ""), Failed("cpu", ""), Decided((False,)), Decided((False,)), Failed("cpu", ""),
        Decided((True,)), Decided((True,)), Decided((False, True)),
    )  # fmt: skip
    hooks = make_hook("bad", filter="x"), make_hook("good", filter="y")
    setup = Setup(stand_in, *hooks)
    assert await setup.offered(limit=1) == [("bad", None), ("good", None)], "whose doing it was is not known yet"
    assert await setup.offered(limit=2) == [("bad", None), ("good", "filter")]
    assert await setup.offered(limit=3) == [("bad", None), ("good", "filter")]
    assert await setup.offered(limit=4) == [("bad", None), ("good", None)]
    assert await setup.offered(limit=5) == [("bad", "filter"), ("good", None)], "both have answered alone"
    asked = [task.expressions for task in stand_in.tasks if isinstance(task, Decide)]
    assert asked == [("x", "y"), ("x",), ("y",), ("y",), ("x",), ("y",), ("x",), ("x", "y")]
    assert stand_in.lanes[:3] == ["", *(f"filter of {hook.id}" for hook in hooks)], "not the deliveries' lanes"


async def test_only_so_many_suspects_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "SUSPECTS", 1)
    stand_in = StandInPool(Failed("memory", ""), Decided((True,)), Decided((True,)))
    setup = Setup(stand_in, make_hook("a", filter="x"), make_hook("b", filter="y"))
    await setup.offered(limit=1)
    await setup.offered(limit=2)
    assert [task.expressions for task in stand_in.tasks if isinstance(task, Decide)] == [("x", "y"), ("x",), ("y",)]


@pytest.mark.usefixtures("unhurried")
async def test_a_filter_that_breaks_a_limit_leaves_the_others_theirs() -> None:
    small = Pool(UNHURRIED)
    hungry = " + ".join(["data.path"] * 16)
    for name in "abcd":
        hungry = f"[1,2,3,4,5,6,7,8].map({name}, {hungry})"
    bad = make_hook("bad", filter=f"size({hungry}) > 0")
    try:
        setup = Setup(small, bad, make_hook("good", filter="data.limit > 4"))
        assert await setup.offered(limit=4, path="/" * 8_000) == [("bad", None), ("good", None)]
        assert await setup.offered(limit=4, path="/" * 8_000) == [("bad", None), ("good", "filter")]
    finally:
        await small.close()


@pytest.mark.usefixtures("unhurried")
async def test_the_first_event_of_a_sandbox_at_rest_is_filtered_too() -> None:
    fresh = Pool(UNHURRIED)
    try:
        assert await Setup(fresh, make_hook("a", filter="data.limit > 4")).offered(limit=4) == [("a", "filter")]
    finally:
        await fresh.close()


class TestFailures:
    """Whoever gave the event up to us hears what went wrong, and each loss is counted once."""

    async def test_kongs_event_that_no_queue_takes_is_lost_and_counted(self) -> None:
        setup = Setup(StandInPool(Decided((True,))), make_hook("a", filter="x"))
        setup.queue.refusal = QueueFull("buffer", "full")
        future = setup.dispatcher.observe(LIMITED)
        assert future is not None
        with pytest.raises(QueueFull):
            await future
        assert setup.lost == {"buffer": 1}

    async def test_a_callers_own_is_his_to_offer_again(self) -> None:
        setup = Setup(StandInPool(Decided((True,))), make_hook("a", filter="x"))
        setup.queue.refusal = QueueFull("buffer", "full")
        future = setup.dispatcher.publish(make_event())
        assert future is not None
        with pytest.raises(QueueFull):
            await future
        assert setup.lost == {}

    async def test_a_commit_that_fails_is_counted_once(self) -> None:
        setup = Setup(StandInPool(Decided((True,))), make_hook("a", filter="x"))
        future = setup.dispatcher.observe(LIMITED)
        assert future is not None
        await rounds_until(lambda: setup.queue.futures)
        await setup.queue.fail(StoreUnavailable("disk full"))
        with pytest.raises(StoreUnavailable):
            await future
        assert setup.lost == {"store_unavailable": 1}

    async def test_a_bug_in_the_sandbox_reaches_neither_kong_nor_another_event(self) -> None:
        setup = Setup(StandInPool(RuntimeError("bug"), Decided((True,))), make_hook("a", filter="x"))
        future = setup.dispatcher.observe(LIMITED)
        assert future is not None
        with pytest.raises(RuntimeError):
            await future
        assert setup.lost == {"dispatch_failed": 1}
        assert await setup.offered() == [("a", None)]

    async def test_a_failure_nobody_waits_for_is_seen_all_the_same(self) -> None:
        setup = Setup(StandInPool(Decided((True,))), make_hook("a", filter="x"))
        setup.queue.refusal = StoreUnavailable("closed")
        loop = asyncio.get_running_loop()
        complaints: list[str] = []
        loop.set_exception_handler(lambda _loop, context: complaints.append(context["message"]))
        try:
            setup.dispatcher.observe(LIMITED)
            await rounds_until(lambda: setup.lost and not setup.dispatcher._filtering)
            for _ in range(3):
                await asyncio.sleep(0)  # the loop itself holds the future until its callbacks have run
            gc.collect()
        finally:
            loop.set_exception_handler(None)
        assert setup.lost == {"store_unavailable": 1}
        # Other tests' stand-ins leave tasks behind that nobody commits; they are not meant.
        assert not [text for text in complaints if "never retrieved" in text]

    async def test_who_stops_waiting_loses_nothing(self) -> None:
        setup = Setup(StandInPool(Decided((True,))), make_hook("a", filter="x"))
        future = setup.dispatcher.observe(LIMITED)
        assert future is not None
        future.cancel()
        await rounds_until(lambda: setup.queue.futures)
        await setup.queue.commit()
        assert setup.metrics.counts.events == {("rate-limiting", "rate-limit-exceeded"): 1}


@pytest.mark.parametrize("rule", [{"on_change": True}, {"snooze": 60}, {"on_change": True, "snooze": 60}])
async def test_what_is_held_back_changes_neither_on_change_nor_snooze(
    pool: Pool, rule: dict[str, Any], tmp_path: Path
) -> None:
    now = [SEEN_AT]
    queue = SqliteQueue(tmp_path / "events.db", clock=lambda: now[0])
    await queue.open()
    setup = Setup(pool, make_hook("a", filter="data.limit > 3", **rule), queue=queue)

    async def tell(number: int, limit: int) -> Receipt:
        future = setup.dispatcher.publish(make_event(id=f"e-{number}", data={"limit": limit}))
        assert future is not None
        return await future

    try:
        held = await tell(1, 2)
        assert list(held.held_back.values()) == ["filter"]
        assert (await tell(2, 5)).fired, "nothing was snoozed by what did not fire"
        held = await tell(3, 2)
        assert list(held.held_back.values()) == ["filter"]
        again = await tell(4, 5)
        assert list(again.held_back.values()) == ["snoozed" if "snooze" in rule else "unchanged"]
        assert {(reason, count) for (_, _, reason), count in (await held_back(queue)).items()} >= {("filter", 2)}
        assert setup.metrics.counts.held_back["a", "filter"] == 2
    finally:
        await queue.close()

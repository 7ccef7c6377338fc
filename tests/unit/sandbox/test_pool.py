"""The pool, over real processes."""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kong_eventhooks_plugin.sandbox import pool as pool_module
from kong_eventhooks_plugin.sandbox import process
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import (
    LONGEST,
    MAX_LINES,
    MAX_TEMPLATES,
    MAX_VERDICTS,
    Check,
    Checked,
    CompileError,
    Decide,
    Decided,
    Failed,
    LuaRules,
    Rendered,
    SandboxLimits,
)
from tests.support.sandbox import DATA, call, exited, render, running_pool, text_of, value_of
from tests.support.waiting import SECONDS, until

SPIN = "{% while true do end %}"
ONE = SandboxLimits(wall_seconds=SECONDS, cpu_seconds=0.3, workers=1, batch=8)


async def seen(ask: Callable[[], Any]) -> None:
    """Wait until ``ask()`` is true of a pool. On its loop, for only there does it stand still while it is looked at."""
    async with asyncio.timeout(SECONDS):
        while not ask():  # noqa: ASYNC110 - nothing outside is notified when a process has started or ended
            await asyncio.sleep(0.01)


async def settled(pool: Pool, count: int) -> list[int]:
    """Wait until so many processes run."""
    await seen(lambda: len(pool.processes) == count)
    return pool.processes


def at_work(pool: Pool) -> set[int]:
    """Return the processes that have come up and have a task in hand."""
    return {worker.pid for worker in pool._workers if worker.pid is not None and worker.ready and worker.jobs}


async def test_every_kind_of_task_is_answered() -> None:
    async with running_pool() as pool:
        assert await pool.run(render("{{ limit }}")) == Rendered(("4",))
        assert await pool.run(render("{{ limit }}", dialect="jinja2")) == Rendered(("4",))
        result = await pool.run(call("return function(d) return d.limit end"))
        assert value_of(result) == 4
        assert await pool.run(Decide(("data.limit == 4",), DATA, "e", "s")) == Decided((True,))
        assert await pool.run(Check("resty", "{{ limit")) == Checked(CompileError(1, 1, "{{ is not closed by }}"))
        assert await pool.run(Check("filter", "data.limit > 3")) == Checked(None)
        assert pool.counts == Counter(
            {("render", "done"): 2, ("call", "done"): 1, ("decide", "done"): 1, ("check", "done"): 2}
        )


async def test_nothing_runs_before_the_first_task_and_then_one_and_a_spare() -> None:
    async with running_pool() as pool:
        assert pool.processes == []
        await text_of(pool, "{{ limit }}")
        pids = await settled(pool, 2)
    assert all(exited(pid) for pid in pids)


async def test_they_end_when_nothing_is_asked_and_come_back() -> None:
    async with running_pool(SandboxLimits(idle_seconds=0.2, wall_seconds=SECONDS)) as pool:
        assert await text_of(pool, "{{ limit }}") == "4"
        await settled(pool, 0)
        assert await text_of(pool, "{{ limit }}") == "4"


async def test_a_limit_costs_one_task_and_the_worker() -> None:
    async with running_pool(ONE) as pool:
        await text_of(pool, "{{ limit }}")
        (before,) = pool.processes
        tasks = [text_of(pool, "{{ limit }}", f"a{n}") for n in range(3)]
        tasks += [text_of(pool, SPIN, "bad"), *(text_of(pool, "{{ rate }}", f"b{n}") for n in range(3))]
        results = await asyncio.gather(*tasks)
        assert results == ["4"] * 3 + [Failed("cpu", "stopped after 0.3 s of CPU time")] + ["5"] * 3
        assert pool.processes != [before]
        assert exited(before)
        assert pool.counts["render", "cpu"] == 1


async def test_wall_time_ends_what_uses_no_cpu_time() -> None:
    async with running_pool(SandboxLimits(wall_seconds=0.5, cpu_seconds=5)) as pool:
        await text_of(pool, "x{{ limit }}")
        spinning = asyncio.ensure_future(text_of(pool, SPIN))
        await seen(lambda: at_work(pool) or spinning.done())
        for pid in at_work(pool):
            with contextlib.suppress(ProcessLookupError):  # on a slow machine its time may be over already
                os.kill(pid, signal.SIGSTOP)
        result = await spinning
        assert result == Failed("wall", "stopped after 0.5 s of time")
        assert result.temporary


async def test_memory_is_bounded_and_the_worker_replaced() -> None:
    async with running_pool(SandboxLimits(cpu_seconds=20, wall_seconds=SECONDS)) as pool:
        assert await text_of(pool, "{{ limit }}") == "4"
        result = await text_of(pool, "{% local t = {} for i = 1, 200 do t[i] = ('x'):rep(1e6) .. i end %}", "big")
        assert isinstance(result, Failed)
        assert result.reason == "memory"
        assert await text_of(pool, "{{ limit }}") == "4"


@pytest.mark.long
async def test_out_of_memory_is_the_reason() -> None:
    # So full that nothing of Lua's can be called any more.
    body = "local t = {} for i = 1, 1e6 do t['a' .. i] = 1 end"
    async with running_pool(SandboxLimits(cpu_seconds=20, wall_seconds=SECONDS)) as pool:
        result = await pool.run(call(f"return function() {body} end"))
        assert isinstance(result, Failed)
        assert result.reason == "memory"


async def test_what_was_answered_before_a_death_counts_whoever_is_written_to_meanwhile() -> None:
    async with running_pool(ONE) as pool:
        await text_of(pool, "{{ limit }}")
        (pid,) = pool.processes
        first = [asyncio.ensure_future(text_of(pool, text, text)) for text in ("{{ limit }}", SPIN)]
        await asyncio.sleep(0)  # both are in its hands
        # The loop stands still until it has answered one and died of the other.
        until(lambda: exited(pid), "the worker ends")
        later = asyncio.ensure_future(text_of(pool, "{{ rate }}"))
        assert await asyncio.gather(*first, later) == ["4", Failed("cpu", "stopped after 0.3 s of CPU time"), "5"]


async def test_what_an_earlier_task_left_behind_is_not_held_against_the_next() -> None:
    hog = "local kept = {} return function() for i = 1, 35 do kept[#kept + 1] = ('x'):rep(1e6) .. #kept end end"
    async with running_pool(SandboxLimits(workers=1, cpu_seconds=5, wall_seconds=SECONDS)) as pool:
        for _ in range(4):  # the second call, and each after it, does not fit beside the one before
            result = await pool.run(call(hog), "hog")
            assert getattr(result, "end", result) == "done"


async def test_a_killed_worker_costs_nothing_but_time() -> None:
    async with running_pool(SandboxLimits(workers=1, cpu_seconds=5, wall_seconds=SECONDS)) as pool:
        await text_of(pool, "{{ limit }}")
        slow = asyncio.ensure_future(text_of(pool, "{% for i = 1, 2e7 do end %}{{ limit }}", "slow"))
        others = [asyncio.ensure_future(text_of(pool, "{{ rate }}", "other")) for _ in range(3)]
        await asyncio.sleep(0.05)
        os.kill(pool.processes[0], signal.SIGKILL)
        assert [await slow, *[await other for other in others]] == ["4", "5", "5", "5"]


async def test_a_task_that_kills_its_fresh_worker_fails() -> None:
    async with running_pool(SandboxLimits(workers=1, wall_seconds=100, cpu_seconds=100)) as pool:
        await text_of(pool, "{{ limit }}")
        spinning = asyncio.ensure_future(text_of(pool, SPIN))
        killed: set[int] = set()
        for _ in range(2):
            # The task is in its hand: one that is killed before that has merely not started, and another one follows.
            await seen(lambda: at_work(pool) - killed)
            (pid,) = at_work(pool)
            os.kill(pid, signal.SIGSEGV)
            killed.add(pid)
        result = await spinning
        assert result == Failed("crash", "its process ended (SIGSEGV)")
        assert len(killed) == 2


async def test_more_than_may_wait_is_refused_at_once() -> None:
    async with running_pool(SandboxLimits(waiting=2, wall_seconds=SECONDS)) as pool:
        results = await asyncio.gather(*(text_of(pool, "{{ limit }}") for _ in range(4)))
        assert results == ["4", "4"] + [Failed("busy", "2 tasks wait already")] * 2
        assert pool.counts["render", "busy"] == 2


async def test_what_cannot_be_sent_is_refused() -> None:
    async with running_pool(SandboxLimits(task_bytes=1000)) as pool:
        for data in ({"x": object()}, {"x": 2**70}, {"x": "\ud800"}, {"x": "y" * 1001}):
            result = await text_of(pool, "{{ x }}", data=data)
            assert isinstance(result, Failed)
            assert result.reason == "data"
        deep: list[object] = []
        for _ in range(95):
            deep = [deep]
        text = "the event cannot be handed to the sandbox"
        failed = Failed("data", f"{text}: nested too deep", logged=f"{text} (ValueError)")
        assert await text_of(pool, "{{ x }}", data={"x": deep}) == failed
        assert pool.counts["render", "data"] == 5


async def test_a_cancelled_task_is_forgotten() -> None:
    async with running_pool(SandboxLimits(workers=1, waiting=3, cpu_seconds=5, wall_seconds=SECONDS)) as pool:
        waiting = [asyncio.ensure_future(text_of(pool, "{{ limit }}")) for _ in range(3)]
        await asyncio.sleep(0)
        for task in waiting[:2]:
            task.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results[:2]] == [asyncio.CancelledError] * 2
        assert results[2] == "4"
        spinning = asyncio.ensure_future(text_of(pool, "{% for i = 1, 1e7 do end %}"))
        await asyncio.sleep(0.01)
        spinning.cancel()
        assert await text_of(pool, "{{ rate }}") == "5"


async def test_closing_answers_what_waits_and_ends_the_processes() -> None:
    pool = Pool(SandboxLimits(cpu_seconds=20, wall_seconds=20))
    await text_of(pool, "{{ limit }}")
    running = [asyncio.ensure_future(text_of(pool, SPIN, f"{n}")) for n in range(20)]
    await asyncio.sleep(0.05)
    pids = pool.processes
    await pool.close()
    assert [await task for task in running] == [Failed("closed", "the sandbox is closed")] * 20
    assert await text_of(pool, "x{{ limit }}") == Failed("closed", "the sandbox is closed")
    assert all(exited(pid) for pid in pids)
    await pool.close()


async def test_workers_are_renewed_after_their_time() -> None:
    async with running_pool(SandboxLimits(workers=1, worker_tasks=3, wall_seconds=SECONDS)) as pool:
        seen = set()
        for _ in range(7):
            assert await text_of(pool, "{{ limit }}") == "4"
            seen |= set(pool.processes)
        assert len(seen) >= 2


async def test_a_hook_that_breaks_limits_leaves_a_worker_to_the_others() -> None:
    async with running_pool(SandboxLimits(wall_seconds=600, cpu_seconds=600, workers=2, batch=4)) as pool:
        first = asyncio.ensure_future(text_of(pool, SPIN, "bad"))
        await seen(lambda: at_work(pool))
        for pid in at_work(pool):
            os.kill(pid, signal.SIGKILL)
        assert isinstance(await first, Failed)
        bad = [asyncio.ensure_future(text_of(pool, SPIN, "bad")) for _ in range(6)]
        await seen(lambda: at_work(pool))
        async with asyncio.timeout(SECONDS):
            assert await asyncio.gather(*(text_of(pool, "{{ limit }}", f"{n}") for n in range(50))) == ["4"] * 50
        assert not any(task.done() for task in bad)
        for task in bad:
            task.cancel()


async def test_so_does_a_hooks_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    hungry = " + ".join(["data.path"] * 16)
    for name in "abcd":
        hungry = f"[1,2,3,4,5,6,7,8].map({name}, {hungry})"
    bad = Decide((f"size({hungry}) > 0",), {"path": "/" * 8_000}, "e", "s")
    handed: list[tuple[list[str], int]] = []
    send = process.SandboxWorker.send

    def watched(worker: process.SandboxWorker, jobs: list[process.SandboxJob]) -> None:
        others = [each for each in pool._workers if each.is_open and each is not worker]
        handed.append(([job.lane for job in jobs], len(others)))
        send(worker, jobs)

    async with running_pool(SandboxLimits(wall_seconds=SECONDS, cpu_seconds=SECONDS, workers=2)) as pool:
        assert isinstance(await pool.run(bad, "bad"), Failed)
        monkeypatch.setattr(process.SandboxWorker, "send", watched)
        ended = asyncio.gather(*(pool.run(bad, "bad") for _ in range(3)))
        for _ in range(10):
            assert await pool.run(Decide(("true",), DATA, "e", "s"), "good") == Decided((True,))
        assert all(isinstance(result, Failed) for result in await ended)
    assert [of_bad for of_bad in handed if "bad" in of_bad[0]] == [(["bad"], 1)] * 3


async def test_lanes_take_turns_and_filters_go_first() -> None:
    async with running_pool(SandboxLimits(workers=1, batch=1, wall_seconds=SECONDS)) as pool:
        await asyncio.gather(text_of(pool, "{{ limit }}"), pool.run(Decide(("true",), DATA, "e", "s")))
        order: list[str] = []

        async def ask(name: str, lane: str) -> None:
            if lane == "filter":
                await pool.run(Decide(("true",), DATA, "e", "s"), lane)
            else:
                await text_of(pool, "{{ limit }}", lane)
            order.append(name)

        asked = [*(("burst", "a") for _ in range(6)), ("other", "b"), ("filter", "filter")]
        await asyncio.gather(*(ask(*one) for one in asked))
        assert order.index("filter") == 1  # behind the one that had begun
        assert order.index("other") <= 3
        assert order.count("burst") == 6


async def test_a_failed_start_is_reported_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(pool_module, "LONGEST_PAUSE_SECONDS", 0.05)
    async with running_pool() as pool:
        with monkeypatch.context() as broken:
            broken.setattr(process, "_ARGUMENTS", ("-m", "kong_eventhooks_plugin.no_such_module"))
            result = await text_of(pool, "{{ limit }}")
            assert isinstance(result, Failed)
            assert result.reason == "unavailable"
            broken.setattr(process.sys, "executable", "/no/such/python")
            result = await text_of(pool, "{{ limit }}")
            assert isinstance(result, Failed)
            assert "No such file" in result.text
        assert await text_of(pool, "{{ limit }}") == "4"


@pytest.mark.parametrize(
    "answer",
    [
        ["called", "done", "", [[]] * 1_000_000, []],
        ["called", "done", "", b"", [["", "", "", [[]] * 1_000_000]]],
        ["called", "done", "", b"", [["", "", ""]] * (MAX_LINES + 1)],
        ["called", "raised", "x" * (LONGEST + 1), b"", []],
        ["failed", "template", "x" * (LONGEST + 1)],
        ["rendered", [""] * (MAX_TEMPLATES + 1)],
        ["decided", [True] * (MAX_VERDICTS + 1)],
    ],
    ids=["a value", "an inspected value", "lines", "a long error", "a long failure", "texts", "verdicts"],
)
def test_an_answer_of_many_values_is_not_read(answer: list[Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        process._results.decode(msgspec.msgpack.encode(answer))


@pytest.mark.parametrize(
    ("output", "text"),
    [("\\0\\0\\0\\0", "its answer could not be read"), ("\\377\\377\\377\\177", "its answer was too long")],
)
async def test_a_worker_that_speaks_nonsense_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str, text: str
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nprintf '{output}' >&0\nhead -c 100000 /dev/zero >&0\nexec sleep 600\n")
    program.chmod(0o700)
    monkeypatch.setattr(process, "MAX_ANSWER", 1_000)
    monkeypatch.setattr(process.sys, "executable", str(program))
    monkeypatch.setattr(pool_module, "PAUSE_SECONDS", 0.01)
    async with running_pool(SandboxLimits(workers=1, output_bytes=1_000)) as pool:
        assert await text_of(pool, "{{ limit }}") == Failed("unavailable", f"no sandbox can be started: {text}")


async def test_lambdas_are_called_under_the_rules_of_the_pool() -> None:
    async with running_pool(lua=LuaRules("off")) as pool:
        result = await pool.run(call("return function() end"))
        assert isinstance(result, Failed)
        assert (result.reason, result.text) == (
            "template", "line 1, column 1: lambdas are switched off: untrusted_lua = off",
        )  # fmt: skip


async def test_workers_die_with_their_parent(tmp_path: object) -> None:
    code = (
        "import asyncio, os, sys\n"
        "from kong_eventhooks_plugin.sandbox.pool import Pool\n"
        "from kong_eventhooks_plugin.sandbox.tasks import SandboxLimits, Render, Template\n"
        "async def main():\n"
        " pool = Pool(SandboxLimits(cpu_seconds=60, wall_seconds=60))\n"
        " await pool.run(Render((Template('t', '{{ 1 }}'),), {}, 'e', 's'))\n"
        " asyncio.ensure_future(pool.run(Render((Template('t', '{% while true do end %}'),), {}, 'e', 's')))\n"
        " while len(pool.processes) < 2: await asyncio.sleep(0.01)\n"
        " print(*pool.processes, flush=True)\n"
        " os._exit(1)\n"
        "asyncio.run(main())\n"
    )
    import sys

    program = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await program.communicate()
    pids = [int(pid) for pid in out.split()]
    assert len(pids) == 2
    until(lambda: all(exited(pid) for pid in pids), "the workers end")

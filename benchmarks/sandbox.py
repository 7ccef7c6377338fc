"""Templates through the sandbox, on one core, beside the same templates rendered in this process. Median of five.

Run it with ``python benchmarks/sandbox.py``. It pins itself and the workers to one core: what it says is what one core
does for both sides of the socket. ``ratio`` is the share of the bare engine's speed that is left with the sandbox
around it. It fails under ``WANTED`` renders a second.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

from kong_eventhooks_plugin.sandbox.filters import Filters
from kong_eventhooks_plugin.sandbox.lua import Lambdas, Templates
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import (
    Decide,
    Failed,
    LambdaCall,
    LuaRules,
    Render,
    SandboxLimits,
    Task,
    Template,
)

WANTED = 5_000
RUNS = 5
SECONDS = 1.0
IN_FLIGHT = 64
HOOKS = 8

TEXT = "Rate limit exceeded by username '{{ consumer.username }}' on service '{{ service.name }}'"
DATA: dict[str, Any] = {
    "consumer": {"id": "0b2ae5a5-9df1-4b2d-9a37-1c1d8a3d4a11", "username": "Joanna", "custom_id": None},
    "ip": "192.0.2.7",
    "service": {"id": "a7d6e0b8-620f-53ce-96df-34f9cb6f7ff1", "name": "demo", "host": "127.0.0.1"},
    "route": {"id": "39c24009-ee9b-536d-9786-9f3606fbabb3", "name": "demo"},
    "request": {"id": "699a6f5b9b02ad58255431437282bb62", "method": "GET", "path": "/demo/x"},
    "rate": 5,
    "limit": 4,
    "window": "minute",
    "retry_after": 22,
}
EVENT, SOURCE = "rate-limit-exceeded", "rate-limiting"


def render(dialect: Any) -> Render:
    """One template over one event."""
    return Render((Template("text", TEXT),), DATA, EVENT, SOURCE, dialect)


CALL = LambdaCall("hook", ("return function(data) return data.limit > 3 end",), DATA, EVENT, SOURCE, 1)
DECIDE = Decide(("data.limit > 3 && data.consumer.username == 'Joanna'",), DATA, EVENT, SOURCE)


async def through_the_pool(task: Task) -> float:
    """Return tasks a second with ``IN_FLIGHT`` at once from ``HOOKS`` hooks."""
    pool, done = Pool(SandboxLimits(workers=2, waiting=10_000)), 0
    try:
        await pool.run(task)
        await asyncio.sleep(0.5)  # the spare comes up
        end = time.perf_counter() + SECONDS

        async def one(number: int) -> None:
            nonlocal done
            while time.perf_counter() < end:
                result = await pool.run(task, f"hook {number % HOOKS}")
                assert not isinstance(result, Failed), result
                done += 1

        began = time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(IN_FLIGHT)))
        return done / (time.perf_counter() - began)
    finally:
        await pool.close()


def bare(do: Callable[[], object]) -> float:
    """Return calls a second in this process."""
    do()
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        do()
        done += 1
    return done / (time.perf_counter() - began)


def bare_jinja() -> Callable[[], object]:
    """Jinja2 alone, compiled once."""
    template = ImmutableSandboxedEnvironment().from_string(TEXT)
    return lambda: template.render(DATA)


async def start_up(task: Task) -> tuple[float, float]:
    """Return the seconds to a first answer, and the worker's resident MiB."""
    began = time.perf_counter()
    pool = Pool(SandboxLimits(workers=1))
    try:
        await pool.run(task)
        seconds = time.perf_counter() - began
        rows = await asyncio.to_thread(Path(f"/proc/{pool.processes[0]}/status").read_text)
        resident = next(int(row.split()[1]) for row in rows.splitlines() if row.startswith("VmRSS"))
        return seconds, resident / 1024
    finally:
        await pool.close()


def main() -> None:
    """Print the table."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    templates, lambdas, filters = (
        Templates(SandboxLimits()),
        Lambdas(LuaRules(), SandboxLimits()),
        Filters(SandboxLimits()),
    )
    rows: list[tuple[str, Task, Callable[[], object]]] = [
        ("template, lua-resty-template's dialect", render("resty"), lambda: templates.render(render("resty"))),
        ("template, Jinja2", render("jinja2"), bare_jinja()),
        ("lambda", CALL, lambda: lambdas.call(CALL)),
        ("filter", DECIDE, lambda: filters.decide(DECIDE)),
    ]
    print(f"{'one core':<42}{'sandbox/s':>12}{'bare/s':>12}{'ratio':>8}{'start ms':>10}{'MiB':>7}")
    slow = []
    for name, task, do in rows:
        sandboxed = statistics.median(asyncio.run(through_the_pool(task)) for _ in range(RUNS))
        alone = statistics.median(bare(do) for _ in range(RUNS))
        starts = [asyncio.run(start_up(task)) for _ in range(RUNS)]
        start, resident = (statistics.median(column) for column in zip(*starts, strict=True))
        print(
            f"{name:<42}{sandboxed:>12,.0f}{alone:>12,.0f}{sandboxed / alone:>8.2f}{start * 1e3:>10.0f}{resident:>7.0f}"
        )
        if sandboxed < WANTED:
            slow.append(name)
    if slow:
        raise SystemExit(f"under {WANTED:,}/s: {', '.join(slow)}")


if __name__ == "__main__":
    main()

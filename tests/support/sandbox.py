"""Pools for tests, and what to ask of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import (
    Called,
    Dialect,
    EscapeContext,
    LambdaCall,
    LuaRules,
    Render,
    Result,
    SandboxLimits,
    Template,
)

DATA: dict[str, Any] = {
    "consumer": {"username": "Joanna", "custom_id": None},
    "ip": "10.0.0.7",
    "service": {"name": "demo", "tags": ["a", "b"]},
    "rate": 5,
    "limit": 4,
    "window": "minute",
    "note": 'A "B" <C> & D/E',
    "nothing": None,
}

QUICK = SandboxLimits(wall_seconds=45.0, cpu_seconds=0.3, idle_seconds=30.0)
"""For tests that break a limit; the machine is shared, so wall time stays generous: 0.3 s of work can take long."""


@asynccontextmanager
async def running_pool(limits: SandboxLimits | None = None, lua: LuaRules | None = None) -> AsyncIterator[Pool]:
    pool = Pool(limits or QUICK, lua)
    try:
        yield pool
    finally:
        await pool.close()


def render(
    *texts: str, place: EscapeContext = "plain", dialect: Dialect = "resty", data: dict[str, Any] | None = None
) -> Render:
    templates = tuple(Template(f"t{number}", text, place) for number, text in enumerate(texts))
    return Render(templates, DATA if data is None else data, "rate-limit-exceeded", "rate-limiting", dialect)


def call(*functions: str, data: dict[str, Any] | None = None, owner: str = "hook") -> LambdaCall:
    return LambdaCall(owner, functions, DATA if data is None else data, "consumers", "crud", 7)


def value_of(called: Result) -> Any:
    """What a lambda returned; None where it returned nothing."""
    assert isinstance(called, Called)
    return msgspec.json.decode(called.value) if called.value else None


async def text_of(pool: Pool, text: str, lane: str = "", **more: Any) -> str | Result:
    result = await pool.run(render(text, **more), lane)
    return result.texts[0] if hasattr(result, "texts") else result


def exited(pid: int) -> bool:
    """Return whether a process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True

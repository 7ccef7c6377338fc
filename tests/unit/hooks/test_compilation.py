"""Code of declared hooks is compiled in the background, and what is wrong becomes an error."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.hooks.declarations.declared import Declared
from kong_eventhooks_plugin.hooks.definition import to_hook
from kong_eventhooks_plugin.hooks.in_force.compilation import RETRY_SECONDS, Compilation
from kong_eventhooks_plugin.hooks.in_force.registry import HookRegistry
from kong_eventhooks_plugin.model.hook import Origin
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Checked, CompileError, Result, Task
from tests.support.custom_webhooks import UNHURRIED
from tests.support.hooks import VALIDATION, log_hook
from tests.support.waiting import SECONDS


class World:
    """A book, a compilation at work, and the moments when it waits."""

    def __init__(self, pool: Any) -> None:
        self.registry = HookRegistry(VALIDATION, lambda *_: None, environ={})
        self.registry.load([])
        self.waits: asyncio.Queue[float | None] = asyncio.Queue()
        self.go_on = asyncio.Event()
        self.compilation = Compilation(pool, self.registry.hooks, self.registry.set_compile_error, self.pause)
        self.registry.on_change(self.compilation.hooks_changed)

    async def pause(self, changed: asyncio.Event, seconds: float | None) -> None:
        self.waits.put_nowait(seconds)
        waiting = [asyncio.ensure_future(event.wait()) for event in (changed, self.go_on)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        self.go_on.clear()
        for each in waiting:
            each.cancel()

    async def rest(self) -> float | None:
        """Wait until all is looked at; return how long it would wait."""
        return await asyncio.wait_for(self.waits.get(), SECONDS)

    def declare(self, *definitions: dict[str, Any]) -> None:
        hooks = [
            to_hook(VALIDATION.hook(one), Origin("file", "k.yml", f"k.yml: plugins[0].config.hooks[{number}]"))
            for number, one in enumerate(definitions)
        ]
        self.registry.set_file("k.yml", Declared(hooks=tuple(hooks)))

    def errors(self) -> list[str]:
        return [str(error) for error in self.registry.errors()]


@asynccontextmanager
async def at_work(pool: Any) -> AsyncIterator[World]:
    world = World(pool)
    task = asyncio.create_task(world.compilation.run())
    await world.rest()  # before it has looked at all
    await world.rest()
    try:
        yield world
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Answers:
    """A pool that says of each text whether it compiles."""

    def __init__(self, **faulty: str) -> None:
        self.faulty = faulty
        self.asked: list[str] = []

    async def run(self, task: Task, lane: str = "") -> Result:
        text = task.text  # type: ignore[union-attr]  # it is asked for nothing but checks
        self.asked.append(text)
        return Checked(CompileError(1, 2, self.faulty[text]) if text in self.faulty else None)


async def test_an_error_comes_and_goes_with_the_definition() -> None:
    pool = Pool(UNHURRIED)
    try:
        async with at_work(pool) as world:
            assert pool.processes == [], "nothing to compile, nothing started"
            world.declare(
                log_hook("a", filter="data.x >"),
                {**log_hook("b"), "handler": "lambda", "config": {"functions": ["return function() end", "return ("]}},
                log_hook("c", filter="data.x > 1"),
            )
            assert await world.rest() == RETRY_SECONDS
            first, second = world.errors()
            assert first.startswith("k.yml: plugins[0].config.hooks[0]: filter: line 1, column 9: Syntax error")
            assert second.startswith("k.yml: plugins[0].config.hooks[1]: handler_config.functions[1]: line 1, ")
            assert {hook.name for hook in world.registry.hooks().values()} == {"a", "b", "c"}, "they stay in force"
            world.declare(log_hook("a", filter="data.x > 1"), log_hook("c", filter="data.x > 1"))
            assert world.errors() == [], "no error of what is declared no more"
            assert await world.rest() is None
            assert world.errors() == []
    finally:
        await pool.close()


async def test_each_definition_is_compiled_once() -> None:
    pool = Answers()
    async with at_work(pool) as world:
        world.declare(log_hook("a", filter="x"), log_hook("free"))
        await world.rest()
        world.declare(log_hook("a", filter="x"), log_hook("free"), log_hook("b", filter="y"))
        await world.rest()
        world.declare(log_hook("a", filter="z"), log_hook("b", filter="y"))
        await world.rest()
        world.declare()
        await world.rest()
        world.declare(log_hook("a", filter="z"))
        await world.rest()
        assert pool.asked == ["x", "y", "z", "z"]


async def test_what_has_an_error_is_compiled_again() -> None:
    pool = Answers(x="bad")
    async with at_work(pool) as world:
        world.declare(log_hook("a", filter="x"), log_hook("b", filter="y"))
        assert await world.rest() == RETRY_SECONDS
        assert world.errors() == ["k.yml: plugins[0].config.hooks[0]: filter: line 1, column 2: bad"]
        pool.faulty.clear()
        world.go_on.set()
        assert await world.rest() is None
        assert world.errors() == []
        assert pool.asked == ["x", "y", "x"]


async def test_an_answer_about_what_changed_meanwhile_is_no_error() -> None:
    async with at_work(Answers()) as world:
        world.declare(log_hook("a", filter="x"))
        (before,) = world.registry.hooks().values()
        world.declare(log_hook("a", filter="y"))
        world.registry.set_compile_error(before, ValidationError({"filter": "bad"}))
        assert world.errors() == []

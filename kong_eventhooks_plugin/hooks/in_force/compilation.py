"""Has the code of declared hooks compiled in the background: places declare without waiting for a compiler.

Whenever hooks changed, those with templates, functions or a filter that were not looked at as they are now are looked
at, one after the other. What does not compile is told (a fault, in /readyz); the hook stays in force, and its
deliveries end with the same text. One with a fault is looked at again every ``RETRY_SECONDS``: perhaps the sandbox had
no time.

Limit: one entry per hook, so what is kept is no larger than the book.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.compiling import compile_violation, has_code
from kong_eventhooks_plugin.hooks.contract import HookChange
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sandbox.pool import Pool

RETRY_SECONDS: Final = 60.0

log = structlog.get_logger()


async def _pause(changed: asyncio.Event, seconds: float | None) -> None:
    """Wait until something changed, at most so many seconds (None: for ever)."""
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        pass


class Compilation:
    """``hooks`` gives the hooks in force, ``told`` hears what a compiler says; ``run`` works until it is cancelled."""

    def __init__(
        self,
        pool: Pool,
        hooks: Callable[[], Mapping[str, Hook]],
        told: Callable[[Hook, ValidationError | None], None],
        pause: Callable[[asyncio.Event, float | None], Awaitable[None]] = _pause,
    ) -> None:
        self._pool = pool
        self._hooks = hooks
        self._on_result = told
        self._pause = pause
        self._changed = asyncio.Event()
        self._checked: dict[str, Hook] = {}
        self._faulty: set[str] = set()

    def hooks_changed(self, _: list[HookChange]) -> None:
        """Hear from the book that hooks changed, or that stored ones came into force."""
        self._changed.set()

    async def run(self) -> None:
        """Look at what changed, for ever."""
        self._changed.set()
        while True:
            await self._pause(self._changed, RETRY_SECONDS if self._faulty else None)
            again = not self._changed.is_set()
            self._changed.clear()
            await self._check_hooks(again=again)

    async def _check_hooks(self, *, again: bool) -> None:
        hooks = dict(self._hooks())
        self._checked = {hook_id: hook for hook_id, hook in self._checked.items() if hook_id in hooks}
        self._faulty &= hooks.keys()
        for hook in hooks.values():
            before = self._checked.get(hook.id)
            is_new = before is None or not before.same_definition(hook)
            if has_code(hook) and (is_new or (again and hook.id in self._faulty)):
                await self._check(hook, is_new=is_new)
            elif is_new:
                self._checked[hook.id] = hook
                self._faulty.discard(hook.id)

    async def _check(self, hook: Hook, *, is_new: bool) -> None:
        violation = await compile_violation(self._pool, hook)
        self._checked[hook.id] = hook
        self._on_result(hook, violation)
        if violation is None:
            self._faulty.discard(hook.id)
            return
        self._faulty.add(hook.id)
        if is_new:
            log.warning("hook_compilation_failed", hook=hook.name, declared_in=hook.origin.path, error=str(violation))

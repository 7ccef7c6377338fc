"""Compiles the code of declared hooks in the background, so that no declaration waits for a compiler.

Whenever hooks change, those whose templates, functions or filter are new are compiled, one after the other. One that
does not compile is an error in /readyz; the hook stays in force, and its deliveries end with the same text. It is
compiled again every ``RETRY_SECONDS``: perhaps the sandbox had no time. Limit: one entry per hook.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from kong_eventhooks_plugin.background import is_set_within
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.compile_check import FieldTypes, compile_violation, has_code, nothing_known
from kong_eventhooks_plugin.hooks.contract import HookChange
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sandbox.pool import Pool

RETRY_SECONDS: Final = 60.0

log = structlog.get_logger()


class Compilation:
    """``hooks`` returns the hooks in force; ``report`` is called with the result of each hook with code."""

    def __init__(
        self,
        pool: Pool,
        hooks: Callable[[], Mapping[str, Hook]],
        report: Callable[[Hook, ValidationError | None], None],
        pause: Callable[[asyncio.Event, float | None], Awaitable[object]] = is_set_within,
        field_types: FieldTypes = nothing_known,
    ) -> None:
        self._pool = pool
        self._hooks = hooks
        self._report = report
        self._pause = pause
        self._field_types = field_types
        self._changed = asyncio.Event()
        self._checked: dict[str, Hook] = {}
        self._failed: set[str] = set()

    def hooks_changed(self, _: list[HookChange]) -> None:
        self._changed.set()

    async def run(self) -> None:
        self._changed.set()
        while True:
            await self._pause(self._changed, RETRY_SECONDS if self._failed else None)
            again = not self._changed.is_set()
            self._changed.clear()
            await self._check_hooks(again=again)

    async def _check_hooks(self, *, again: bool) -> None:
        hooks = dict(self._hooks())
        self._checked = {hook_id: hook for hook_id, hook in self._checked.items() if hook_id in hooks}
        self._failed &= hooks.keys()
        for hook in hooks.values():
            before = self._checked.get(hook.id)
            is_new = before is None or not before.same_definition(hook)
            if has_code(hook) and (is_new or (again and hook.id in self._failed)):
                await self._check(hook, is_new=is_new)
            elif is_new:
                self._checked[hook.id] = hook
                self._failed.discard(hook.id)

    async def _check(self, hook: Hook, *, is_new: bool) -> None:
        refusal = await compile_violation(self._pool, hook, self._field_types)
        self._checked[hook.id] = hook
        self._report(hook, refusal)
        if refusal is None:
            self._failed.discard(hook.id)
            return
        self._failed.add(hook.id)
        if is_new:
            log.warning("hook_compilation_failed", hook=hook.name, declared_in=hook.origin.path, error=str(refusal))

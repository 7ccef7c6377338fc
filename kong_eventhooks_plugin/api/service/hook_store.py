"""The hooks that the API made: first stored, then active.

A hook that is declared elsewhere under the same name or id shadows the API's for good: the API's is deleted, so that
it does not reappear when the declaration is removed. Another process over the same store sees changes by ``refresh``,
which it calls every few seconds (Enterprise's hooks were silent on other nodes until a restart); a change begins with a
refresh, so that it is merged into what another process stored meanwhile.

Limit: ``MAX_HOOKS`` hooks; one more is refused. Until ``load`` nothing can be changed: what is stored is unknown.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final, Protocol

import structlog

from kong_eventhooks_plugin.background import RateLimitedLogger, is_set_within
from kong_eventhooks_plugin.errors import BadArgument, QueueError, StoreUnavailable
from kong_eventhooks_plugin.hooks.contract import ActiveHooks, HookChange
from kong_eventhooks_plugin.model.hook import Hook, Origin
from kong_eventhooks_plugin.queue.contract import Definitions

MAX_HOOKS: Final = 1_000
REFRESH_SECONDS: Final = 5.0
"""How often the hooks are read that another process over the same store has made."""
UNNOTIFIED_REFRESH_SECONDS: Final = 1.0
"""The same, where the other process is another node whose changes nobody notifies us of."""

ORIGIN: Final = Origin(place="api", key="api", path="the API")

log = structlog.get_logger()


class ApiHookRegistry(ActiveHooks, Protocol):
    def set_api_hooks(self, hooks: Iterable[Hook]) -> None:
        """Replace all hooks that the API has made; they are stored already."""


class ApiHookStore:
    """Everything on one event loop. ``notified`` returns whether ``hurry`` is called where another made a change."""

    def __init__(
        self, registry: ApiHookRegistry, store: Definitions, notified: Callable[[], bool] = lambda: True
    ) -> None:
        self._registry = registry
        self._store = store
        self._notified = notified
        self._changed = asyncio.Event()
        self._limited_log = RateLimitedLogger(time.monotonic)
        self._hooks: dict[str, Hook] = {}
        self._loaded = False
        self._changing = asyncio.Lock()
        self._cleaning: asyncio.Task[None] | None = None
        registry.on_change(self._hooks_changed)

    def hooks(self) -> Mapping[str, Hook]:
        return MappingProxyType(self._hooks)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Lock and refresh: a change is checked and stored inside, so that two hooks cannot get one name.

        Raises ``StoreUnavailable``.
        """
        if not self._loaded:
            raise StoreUnavailable("the store is not open yet")
        async with self._changing:
            await self._read_stored()
            yield

    def load(self, stored: Iterable[Hook]) -> None:
        """Load the stored definitions (of all places), after the registry has."""
        self._hooks = {hook.id: hook for hook in stored if hook.origin.place == "api"}
        self._loaded = True
        self._registry.set_api_hooks(self._hooks.values())
        self._hooks_changed([])

    async def save(self, hook: Hook) -> None:
        """Store a hook, new or changed, and activate it. Call it with ``lock`` held.

        Raises ``StoreUnavailable``, ``BadArgument`` where there are too many.
        """
        if hook.id not in self._hooks and len(self._hooks) >= MAX_HOOKS:
            raise BadArgument(f"no more than {MAX_HOOKS:,} hooks can be made through the API")
        await self._store.store_definitions([hook], [])
        self._hooks[hook.id] = hook
        self._registry.set_api_hooks(self._hooks.values())

    async def delete(self, hook_id: str) -> None:
        """Call it with ``lock`` held. Raises ``StoreUnavailable``."""
        await self._store.store_definitions([], [hook_id])
        self._hooks.pop(hook_id, None)
        self._registry.set_api_hooks(self._hooks.values())

    async def refresh(self) -> None:
        """Read the hooks that another process may have made, changed or deleted. Raises ``StoreUnavailable``."""
        async with self.lock():
            pass

    def hurry(self) -> None:
        """Refresh now: another process has changed something."""
        self._changed.set()

    async def run(self) -> None:
        while True:
            await is_set_within(self._changed, REFRESH_SECONDS if self._notified() else UNNOTIFIED_REFRESH_SECONDS)
            self._changed.clear()
            try:
                await self.refresh()
            except QueueError as error:
                self._limited_log.warning("api_hooks_refresh_failed", "refresh", error=str(error))

    async def close(self) -> None:
        if self._cleaning is not None:
            self._cleaning.cancel()
            await asyncio.wait({self._cleaning})

    async def _read_stored(self) -> None:
        stored = {hook.id: hook for hook in await self._store.definitions() if hook.origin.place == "api"}
        shadowed = self._shadowed(stored.values())
        if shadowed:
            active = self._registry.hooks()
            # What is stored under another's id is the definition that shadows it, not the API's.
            own = [one for one in shadowed if one not in active or active[one].origin.place == "api"]
            await self._store.store_definitions([], own)
            log.info("api_hooks_shadowed", hooks=len(shadowed))
        made = {hook_id: hook for hook_id, hook in stored.items() if hook_id not in shadowed}
        if made != self._hooks or shadowed:
            self._hooks = made
            self._registry.set_api_hooks(made.values())

    def _hooks_changed(self, _: list[HookChange]) -> None:
        running = self._cleaning is not None and not self._cleaning.done()
        if self._loaded and not running and self._shadowed(self._hooks.values()):
            self._cleaning = asyncio.get_running_loop().create_task(self._delete_shadowed())

    async def _delete_shadowed(self) -> None:
        try:
            await self.refresh()
        except QueueError as error:
            # The next refresh finds the same.
            log.warning("shadowed_hooks_not_deleted", error=str(error))

    def _shadowed(self, hooks: Iterable[Hook]) -> set[str]:
        """Return the ids of those that are now declared elsewhere, by id or by name."""
        declared = [hook for hook in self._registry.hooks().values() if hook.origin.place != "api"]
        ids, names = {hook.id for hook in declared}, {hook.name for hook in declared}
        return {hook.id for hook in hooks if hook.id in ids or hook.name in names}

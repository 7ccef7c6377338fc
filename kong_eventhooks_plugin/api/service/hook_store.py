"""The hooks that the API made: kept in the store first, then brought into force.

A hook that is declared elsewhere under the same name or id takes over for good: the API's is forgotten, so that
it does not come back by surprise when the declaration goes. Another process over the same store hears of changes by
``refresh``, which it is to call every few seconds (Enterprise's hooks were silent on other nodes until a restart); a
change begins with the same look, so that it is laid over what the other has made of the hook meanwhile.

Limit: ``MAX_HOOKS`` hooks; one more is refused. Until ``load`` nothing can be changed: what is stored is not known yet.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import structlog

from kong_eventhooks_plugin.errors import BadArgument, QueueError, StoreUnavailable
from kong_eventhooks_plugin.hooks.contract import ActiveHooks, HookChange
from kong_eventhooks_plugin.model.hook import Hook, Origin

MAX_HOOKS: Final = 1_000

ORIGIN: Final = Origin(place="api", key="api", path="the API")

log = structlog.get_logger()


class ApiHookRegistry(ActiveHooks, Protocol):
    """The book, as this file needs it."""

    def set_api_hooks(self, hooks: Iterable[Hook]) -> None:
        """Hear all hooks that the API has made, stored already."""


class DefinitionStore(Protocol):
    """The queue, as this file needs it. Both raise ``StoreUnavailable``."""

    async def definitions(self) -> list[Hook]:
        """Return every stored definition, of all places."""

    async def store_definitions(self, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
        """Write definitions and forget the removed ids, in one transaction."""


class ApiHookStore:
    """See the file's head. Everything on one event loop."""

    def __init__(self, book: ApiHookRegistry, store: DefinitionStore) -> None:
        self._book = book
        self._store = store
        self._made: dict[str, Hook] = {}
        self._loaded = False
        self._changing = asyncio.Lock()
        self._task_set: set[asyncio.Task[None]] = set()
        book.on_change(self._hooks_changed)

    def set_api_hooks(self) -> Mapping[str, Hook]:
        """Return the API's hooks by id."""
        return MappingProxyType(self._made)

    @contextlib.asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Hold the lock under which a change is checked and kept, so that two cannot take one name.

        Begins with what is stored now. Raises ``StoreUnavailable``.
        """
        self._check_loaded()
        async with self._changing:
            await self._take_stored()
            yield

    def load(self, stored: Iterable[Hook]) -> None:
        """Take the stored definitions (of all places), after the book has."""
        self._made = {hook.id: hook for hook in stored if hook.origin.place == "api"}
        self._loaded = True
        self._book.set_api_hooks(self._made.values())
        self._hooks_changed([])

    async def save(self, hook: Hook) -> None:
        """Store a hook, new or changed, and bring it into force. Call it with ``lock`` held.

        Raises ``StoreUnavailable``, ``BadArgument`` where there are too many.
        """
        self._check_loaded()
        if hook.id not in self._made and len(self._made) >= MAX_HOOKS:
            raise BadArgument(f"no more than {MAX_HOOKS:,} hooks can be made through the API")
        await self._store.store_definitions([hook], [])
        self._made[hook.id] = hook
        self._book.set_api_hooks(self._made.values())

    async def delete(self, hook_id: str) -> None:
        """Forget a hook, in the store and in force. Call it with ``lock`` held. Raises ``StoreUnavailable``."""
        self._check_loaded()
        await self._store.store_definitions([], [hook_id])
        self._made.pop(hook_id, None)
        self._book.set_api_hooks(self._made.values())

    async def refresh(self) -> None:
        """Read what is stored: another process may have made, changed or removed hooks. Raises ``StoreUnavailable``."""
        async with self.lock():
            pass

    async def close(self) -> None:
        """End what is under way."""
        for errand in list(self._task_set):
            errand.cancel()
        await asyncio.gather(*self._task_set, return_exceptions=True)

    async def _take_stored(self) -> None:
        stored = {hook.id: hook for hook in await self._store.definitions() if hook.origin.place == "api"}
        overtaken = self._shadowed(stored.values())
        if overtaken:
            in_force = self._book.hooks()
            await self._store.store_definitions([], [one for one in overtaken if _is_apis(in_force.get(one))])
            log.info("api_hooks_shadowed", hooks=len(overtaken))
        made = {hook_id: hook for hook_id, hook in stored.items() if hook_id not in overtaken}
        if made != self._made or overtaken:
            self._made = made
            self._book.set_api_hooks(made.values())

    def _check_loaded(self) -> None:
        if not self._loaded:
            raise StoreUnavailable("the store is not open yet")

    def _hooks_changed(self, _: list[HookChange]) -> None:
        if self._loaded and self._shadowed(self._made.values()) and not self._task_set:
            errand = asyncio.get_running_loop().create_task(self._make_room())
            self._task_set.add(errand)
            errand.add_done_callback(self._task_set.discard)

    async def _make_room(self) -> None:
        try:
            await self.refresh()
        except QueueError as error:
            # The next refresh finds the same.
            log.warning("shadowed_hooks_not_deleted", error=str(error))

    def _shadowed(self, hooks: Iterable[Hook]) -> set[str]:
        """Return the ids of those that are declared elsewhere now, by id or by name."""
        declared = [hook for hook in self._book.hooks().values() if hook.origin.place != "api"]
        ids, names = {hook.id for hook in declared}, {hook.name for hook in declared}
        return {hook.id for hook in hooks if hook.id in ids or hook.name in names}


def _is_apis(hook: Hook | None) -> bool:
    """Tell whether the stored definition under a hook's id is the API's, and not that of the place that took over."""
    return hook is None or hook.origin.place == "api"

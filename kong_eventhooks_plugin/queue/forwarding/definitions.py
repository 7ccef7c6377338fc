"""The hooks that the API has made, for all nodes in the shared store, with a copy in the spool of this node.

The copy is for a start while that store is away: what matches a hook then is accepted, and delivered later.
"""

from collections.abc import Sequence

from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import Definitions


class CopiedDefinitions:
    """``queue.contract.Definitions``. Everything raises ``StoreUnavailable``, a shared store that is away too."""

    def __init__(self, shared: Definitions, copy: Definitions) -> None:
        self._shared = shared
        self._copy = copy
        self._copied: dict[str, Hook] | None = None

    async def definitions(self) -> list[Hook]:
        found = await self._shared.definitions()
        await self._keep({hook.id: hook for hook in found if hook.origin.place == "api"})
        return found

    async def store_definitions(self, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
        await self._shared.store_definitions(hooks, removed)
        await self._copy.store_definitions(hooks, removed)
        self._copied = None

    async def _keep(self, made: dict[str, Hook]) -> None:
        """Copy what differs from the copy."""
        if self._copied is None:
            self._copied = {hook.id: hook for hook in await self._copy.definitions() if hook.origin.place == "api"}
        changed = [hook for hook_id, hook in made.items() if self._copied.get(hook_id) != hook]
        removed = [hook_id for hook_id in self._copied if hook_id not in made]
        if changed or removed:
            await self._copy.store_definitions(changed, removed)
            self._copied = made

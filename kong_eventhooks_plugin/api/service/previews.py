"""The use case ``preview``: what a hook would do with an event (``preview.dry_run``).

The hook is one in force, one in force with changes, or a definition that is stored nowhere. The event is the
catalogue's example, one that was recorded, or one that the caller makes up.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from kong_eventhooks_plugin.api.service.hooks import Given, Hooks
from kong_eventhooks_plugin.errors import UnknownEvent, UnknownSource, ValidationError
from kong_eventhooks_plugin.hooks.validation import json_values
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.preview.dry_run import DryRun, HookPreview
from kong_eventhooks_plugin.queue.contract import Queue
from kong_eventhooks_plugin.sources.examples import comparable, event_with, example_event, example_name


class ChosenEvent(msgspec.Struct, frozen=True):
    """Which event: the recorded one with the id ``event_id``, or one that is made up.

    The latter is called ``event``; None: as the hook's, or as its source's example. It has ``data``; None: the
    example's.
    """

    event: str | None = None
    event_id: str | None = None
    data: dict[str, Any] | None = None


EXAMPLE = ChosenEvent()


class Previews:
    def __init__(self, hooks: Hooks, queue: Queue, dry_run: DryRun, clock: Callable[[], float]) -> None:
        self._hooks = hooks
        self._queue = queue
        self._dry_run = dry_run
        self._clock = clock

    async def of_hook(self, key: str, chosen: ChosenEvent = EXAMPLE, changes: Given | None = None) -> HookPreview:
        """Preview the hook with that id or name, with ``changes`` as ``Hooks.update`` takes them.

        Raises ``UnknownHook``, ``ValidationError``, ``TooBusy``, ``StoreUnavailable``.
        """
        hook = self._hooks.get(key) if changes is None else await self._hooks.changed(key, changes)
        return await self._preview(hook, chosen)

    async def of_definition(self, definition: Given, chosen: ChosenEvent = EXAMPLE) -> HookPreview:
        """Preview a definition as ``Hooks.create`` takes it. Raises as ``of_hook``, except ``UnknownHook``."""
        return await self._preview(await self._hooks.draft(definition), chosen)

    async def _preview(self, hook: Hook, chosen: ChosenEvent) -> HookPreview:
        if chosen.event_id is not None:
            if chosen.event is not None or chosen.data is not None:
                raise ValidationError({"event_id": "names an event that was recorded: leave event and data out"})
            try:
                event = await self._queue.event(chosen.event_id)
            except UnknownEvent as error:
                raise ValidationError({"event_id": str(error)}) from error
            return await self._dry_run.run(hook, comparable(event))
        return await self._dry_run.run(hook, made_up(hook, chosen.event, chosen.data, self._clock()), scoped=False)


def made_up(hook: Hook, name: str | None, data: dict[str, Any] | None, now: float) -> Event:
    """Return an event for the hook, the example's data where there is none. Raises ``ValidationError``."""
    name = name or hook.event
    if data is None:
        try:
            return example_event(hook.source, name, now)
        except UnknownSource as error:
            raise ValidationError({"event": f"{error}; with data it can be made up"}) from error
    wrong = json_values.json_error(data)
    if wrong is not None:
        raise ValidationError({"data": str(wrong)})
    return event_with(hook.source, name or example_name(hook.source), data, now)

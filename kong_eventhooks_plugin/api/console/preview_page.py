"""What a hook would do with an event, without doing it: its filter and templates as they are, or as they could be."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from kong_eventhooks_plugin.api import advice
from kong_eventhooks_plugin.api.console import hook_form
from kong_eventhooks_plugin.api.console.guard import Visit
from kong_eventhooks_plugin.api.console.parsing import by_path, json_object
from kong_eventhooks_plugin.api.console.parts import Parts
from kong_eventhooks_plugin.api.rest import queries
from kong_eventhooks_plugin.api.service.previews import ChosenEvent
from kong_eventhooks_plugin.errors import EventHooksError, ValidationError
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.contract import EventFilter

RECENT: Final = 20
TRIED: Final = ("filter", "config.payload", "config.body", "config.functions", "config.success")
"""The fields that can be changed here, for a try."""


class PreviewPage:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._schema = schema.hook(parts.known)

    async def show(self, visit: Visit) -> web.StreamResponse:
        """Return the form, and run nothing: a page of another site may lead here."""
        return await self._page(visit, self._parts.hook_of(visit), _given(visit), {}, None)

    async def run(self, visit: Visit) -> web.StreamResponse:
        """Preview the hook as it is, or with the changes that were posted."""
        hook, given = self._parts.hook_of(visit), _given(visit)
        try:
            data = json_object(given["data"]) if given["data"].strip() and not given["event_id"] else None
        except (ValidationError, msgspec.DecodeError) as error:
            return await self._page(visit, hook, given, {"data": f"expected a JSON object ({error})"}, None)
        chosen = ChosenEvent(event_id=given["event_id"] or None, data=data)
        try:
            changes = self._changes(hook, visit.form)
            preview = await self._parts.service.previews.of_hook(hook.id, chosen, changes)
        except ValidationError as error:
            return await self._page(visit, hook, given, by_path(error), None)
        except EventHooksError as error:
            return await self._page(visit, hook, given, {"": str(error)}, None)
        return await self._page(visit, hook, given, {}, self._parts.service.presenter.preview(preview))

    def _changes(self, hook: Hook, form: Mapping[str, Any]) -> dict[str, Any] | None:
        if not form:  # a button of another page
            return None
        return hook_form.changes(self._schema, hook.handler, form, hook_form.values(hook), TRIED)

    async def _page(
        self, visit: Visit, hook: Hook, given: Mapping[str, str], errors: Mapping[str, str], view: Any
    ) -> web.Response:
        service = self._parts.service
        recent = await service.events.page(EventFilter(source=hook.source), RECENT)
        sections = hook_form.sections(self._schema, hook.handler, hook_form.values(hook), errors)
        inputs = [each for section in sections for each in section.inputs if each.name in TRIED]
        tried = [hook_form.reposted(each, visit.form) for each in inputs]
        values = {
            "hook": hook,
            "given": given,
            "inputs": tried,
            "unplaced": [(path, text) for path, text in errors.items() if path not in {each.name for each in tried}],
            "recent": [service.presenter.accepted(each) for each in recent.events],
            "view": view,
            "reasons": advice.HELD_BACK,
        }
        return self._parts.render("preview.html", visit, values, 400 if errors else 200)


def _given(visit: Visit) -> dict[str, str]:
    """Return the event that was posted, or that the button of a delivery's page names in the query."""
    event_id = queries.text(visit.request.query, "event_id") or visit.field("event_id").strip()
    return {"event_id": event_id, "data": visit.field("data")}

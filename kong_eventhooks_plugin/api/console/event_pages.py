"""The pages of events: what was accepted and what it led to, what was held back and why, and events as they come."""

from collections import defaultdict
from functools import partial
from typing import Final

from aiohttp import web

from kong_eventhooks_plugin.api import advice
from kong_eventhooks_plugin.api.console.guard import Visit
from kong_eventhooks_plugin.api.console.parts import Parts
from kong_eventhooks_plugin.api.rest import queries
from kong_eventhooks_plugin.api.rest.stream import HEARTBEAT, stream
from kong_eventhooks_plugin.api.service.feed import WatchFilter
from kong_eventhooks_plugin.queue.contract import EventFilter

PAGE: Final = 50


class EventPages:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def index(self, visit: Visit) -> web.StreamResponse:
        return await self._page(visit, "events.html", held_back=False)

    async def held_back(self, visit: Visit) -> web.StreamResponse:
        return await self._page(visit, "held_back.html", held_back=True)

    async def live(self, visit: Visit) -> web.StreamResponse:
        query = visit.request.query
        given = {name: queries.text(query, name) or "" for name in ("source", "hook")}
        return self._parts.render("live.html", visit, {"given": given, **self._parts.choices()})

    async def stream(self, visit: Visit) -> web.StreamResponse:
        query, service = visit.request.query, self._parts.service
        wanted = WatchFilter(
            source=queries.text(query, "source"), hook_id=service.hooks.id_of(queries.text(query, "hook"))
        )
        last = visit.request.headers.get("last-event-id") or None
        last = last if last is None or (len(last) <= queries.MAX_TEXT and last.isprintable()) else None
        may_read = partial(self._parts.guard.may_see, visit)
        return await stream(visit.request, service, wanted, last, HEARTBEAT, may_read=may_read)

    async def _page(self, visit: Visit, template: str, *, held_back: bool) -> web.Response:
        query, service = visit.request.query, self._parts.service
        given = {name: queries.text(query, name) or "" for name in ("source", "event", "hook")}
        where = EventFilter(
            source=given["source"] or None,
            event=given["event"] or None,
            hook_id=service.hooks.id_of(given["hook"] or None),
            held_back=held_back,
        )
        page = await service.events.page(where, PAGE, query.get("offset"))
        totals: dict[str, dict[str, int]] = defaultdict(dict)
        for (name, reason), count in sorted(self._parts.held_back().items()):
            totals[name][reason] = count
        values = {
            "events": [service.presenter.accepted(each) for each in page.events],
            "held_back": held_back,
            "totals": sorted(totals.items(), key=lambda each: -sum(each[1].values()))[:PAGE],
            "reasons": advice.HELD_BACK,
        }
        return self._parts.render_list(template, visit, given, page.next_offset, values)

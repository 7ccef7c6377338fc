"""The first page: is anything wrong, since when, what do I do."""

from aiohttp import web

from kong_eventhooks_plugin.api.console.guard import Visit
from kong_eventhooks_plugin.api.console.parts import Parts
from kong_eventhooks_plugin.api.console.sparkline import sparkline
from kong_eventhooks_plugin.api.service.views import DeliveryView
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.queue.contract import DeliveryFilter

RECENT = 5


class OverviewPage:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def show(self, visit: Visit) -> web.StreamResponse:
        parts, now = self._parts, self._parts.clock()
        overview = await parts.overview.make()
        held = overview.readiness.held
        minutes = parts.delivering.activity.all_minutes(now)
        values = {
            "now": now,
            "node": parts.node,
            "shared": parts.shared,
            "overview": overview,
            "dead": await self._dead(),
            "hooks": {
                "all": overview.readiness.hooks,
                "off": sum(reason == "disabled" for reason in held.values()),
                "held": sum(reason != "disabled" for reason in held.values()),
            },
            "minutes": minutes,
            "line": sparkline(minutes),
            "since": max(parts.delivering.activity.since, now - 3_600),
        }
        return parts.render("overview.html", visit, values)

    async def _dead(self) -> list[DeliveryView]:
        """Return the last dead letters; none without the store, which is among the problems then."""
        service = self._parts.service
        try:
            page = await service.deliveries.page(DeliveryFilter(state="dead"), RECENT)
        except QueueError:
            return []
        return [service.presenter.delivery(each) for each in page.deliveries]

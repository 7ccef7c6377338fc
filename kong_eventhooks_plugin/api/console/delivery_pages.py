"""The pages of deliveries: the list, one with its attempts, and replays with their progress."""

from collections import Counter
from typing import Final

from aiohttp import web

from kong_eventhooks_plugin.api.console.guard import Visit, see_other
from kong_eventhooks_plugin.api.console.parsing import moment, shown_moment
from kong_eventhooks_plugin.api.console.parts import Parts
from kong_eventhooks_plugin.api.console.rendering import segment
from kong_eventhooks_plugin.api.rest import queries
from kong_eventhooks_plugin.errors import BadArgument, UnknownDelivery
from kong_eventhooks_plugin.queue.contract import DeliveryFilter

PAGE: Final = 50
STATES: Final = ("pending", "leased", "delivered", "dead")


class DeliveryPages:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def index(self, visit: Visit) -> web.StreamResponse:
        query, service = visit.request.query, self._parts.service
        hook = queries.text(query, "hook")
        where = DeliveryFilter(
            hook_id=service.hooks.id_of(hook),
            state=queries.state(query),
            source=queries.text(query, "source"),
            since=moment(query, "since"),
            until=moment(query, "until"),
        )
        page = await service.deliveries.page(where, PAGE, query.get("offset"))
        given = {
            "hook": hook or "",
            "state": where.state or "",
            "source": where.source or "",
            "since": shown_moment(where.since),
            "until": shown_moment(where.until),
        }
        shown = [service.presenter.delivery(each) for each in page.deliveries]
        values = {"deliveries": shown, "states": STATES}
        return self._parts.render_list("deliveries.html", visit, given, page.next_offset, values)

    async def show(self, visit: Visit) -> web.StreamResponse:
        detail = await self._parts.service.deliveries.get(visit.request.match_info["delivery"])
        view = self._parts.service.presenter.delivery_detail(detail)
        return self._parts.render("delivery.html", visit, {"view": view})

    async def replay_one(self, visit: Visit) -> web.StreamResponse:
        delivery_id = visit.request.match_info["delivery"]
        await self._parts.service.deliveries.replay(delivery_id)
        return see_other(f"/console/deliveries/{segment(delivery_id)}")

    async def replay(self, visit: Visit) -> web.StreamResponse:
        """Replay the selected deliveries."""
        chosen = visit.form.get("delivery", [])
        ids = [each for each in (chosen if isinstance(chosen, list) else [chosen]) if isinstance(each, str)]
        if not ids:
            raise BadArgument("Nothing is selected: tick the deliveries to replay.")
        number = await self._parts.replays.start(ids, self._parts.clock())
        return see_other(f"/console/replays/{number}")

    async def replayed(self, visit: Visit) -> web.StreamResponse:
        replay = self._parts.replays.get(visit.request.match_info["replay"])
        if replay is None:
            raise UnknownDelivery("this replay is not remembered any more; its deliveries are in the list")
        found = await self._parts.replays.states(replay)
        states = Counter(each.state for each in found)
        values = {
            "replay": replay,
            "deliveries": [self._parts.service.presenter.delivery(each) for each in found],
            "states": states,
            "done": states["delivered"] + states["dead"],
            "is_done": states["delivered"] + states["dead"] == len(found),
        }
        return self._parts.render("replay.html", visit, values)

"""The page of this node: whether it delivers, and what waits here for the store that nodes share."""

from aiohttp import web

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.api.console.guard import Visit
from kong_eventhooks_plugin.api.console.overview import ABOUT_NODE
from kong_eventhooks_plugin.api.console.parts import Parts


class NodePage:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def show(self, visit: Visit) -> web.StreamResponse:
        parts = self._parts
        overview = await parts.overview.make()
        problems = [one for one in overview.problems if one.key in ABOUT_NODE]
        values = {
            "node": parts.node,
            "version": __version__,
            "shared": parts.shared,
            "ready": overview.readiness,
            "problems": problems,
            "away": any(one.key == "shared_store" for one in problems),
            "limits": parts.limits,
        }
        return parts.render("node.html", visit, values)

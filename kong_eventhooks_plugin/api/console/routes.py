"""The console's paths. None of them is REST's: the first page is ``/``, everything else is below ``/console``."""

from typing import Final

from aiohttp import web

from kong_eventhooks_plugin.api.console import rendering
from kong_eventhooks_plugin.api.console.delivery_pages import DeliveryPages
from kong_eventhooks_plugin.api.console.event_pages import EventPages
from kong_eventhooks_plugin.api.console.guard import see_other
from kong_eventhooks_plugin.api.console.hook_pages import HookPages
from kong_eventhooks_plugin.api.console.login_pages import LoginPages
from kong_eventhooks_plugin.api.console.node_page import NodePage
from kong_eventhooks_plugin.api.console.overview_page import OverviewPage
from kong_eventhooks_plugin.api.console.parts import Parts
from kong_eventhooks_plugin.api.console.preview_page import PreviewPage

_STATIC_HEADERS: Final = {
    **rendering.HEADERS,
    # Its address changes with its content.
    "cache-control": "public, max-age=31536000, immutable",
}


def console_routes(parts: Parts) -> list[web.RouteDef]:
    guard = parts.guard
    login, overview, hooks = LoginPages(parts), OverviewPage(parts), HookPages(parts)
    deliveries, events, preview = DeliveryPages(parts), EventPages(parts), PreviewPage(parts)
    hook, delivery = "/console/hooks/{hook}", "/console/deliveries/{delivery}"
    pages = [
        web.get("/", guard.page(overview.show)),
        web.get("/console/node", guard.page(NodePage(parts).show)),
        web.post("/console/logout", guard.page(login.log_out)),
        web.get("/console/hooks", guard.page(hooks.index)),
        web.get("/console/hooks/new", guard.page(hooks.new)),
        web.post("/console/hooks/new", guard.page(hooks.create)),
        web.get(hook, guard.page(hooks.show)),
        web.get(f"{hook}/edit", guard.page(hooks.edit)),
        web.post(f"{hook}/edit", guard.page(hooks.update)),
        web.get(f"{hook}/delete", guard.page(hooks.delete)),
        web.post(f"{hook}/delete", guard.page(hooks.delete)),
        web.post(f"{hook}/switch", guard.page(hooks.switch)),
        web.post(f"{hook}/test", guard.page(hooks.test)),
        web.post(f"{hook}/replay", guard.page(hooks.replay)),
        web.get(f"{hook}/preview", guard.page(preview.show)),
        web.post(f"{hook}/preview", guard.page(preview.run)),
        web.get("/console/deliveries", guard.page(deliveries.index)),
        web.get(delivery, guard.page(deliveries.show)),
        web.post(f"{delivery}/replay", guard.page(deliveries.replay_one)),
        web.post("/console/replays", guard.page(deliveries.replay)),
        web.get("/console/replays/{replay}", guard.page(deliveries.replayed)),
        web.get("/console/events", guard.page(events.index)),
        web.get("/console/held-back", guard.page(events.held_back)),
        web.get("/console/live", guard.page(events.live)),
    ]
    return [
        *pages,
        web.get("/console/login", guard.login(login.show)),
        web.post("/console/login", guard.login(login.log_in)),
        web.get("/console/stream", guard.stream(events.stream), allow_head=False),
        web.get("/console/static/{name}", _static),
        web.get("/favicon.ico", _icon),
        web.get("/console", _first_page),
        web.get("/console/", _first_page),
    ]


async def _icon(_: web.Request) -> web.Response:
    """Return what browsers ask for where a page, an empty one say, names no icon."""
    return _file("icon.svg")


async def _first_page(_: web.Request) -> web.Response:
    return see_other("/")


async def _static(request: web.Request) -> web.Response:
    return _file(request.match_info["name"])


def _file(name: str) -> web.Response:
    if name not in rendering.STATIC:
        raise web.HTTPNotFound
    return web.Response(
        body=rendering.static_file(name), content_type=rendering.STATIC[name], charset="utf-8", headers=_STATIC_HEADERS
    )

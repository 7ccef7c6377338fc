"""What is logged of the API that is served."""

from aiohttp import web

from kong_eventhooks_plugin.api.rest.serve import main_paths


async def nothing(_: web.Request) -> web.Response:
    return web.Response()


def test_the_console_is_named_where_it_is_served() -> None:
    app = web.Application()
    app.router.add_get("/event-hooks/{hook}", nothing)
    app.router.add_get("/readyz", nothing)
    assert main_paths(app) == "/readyz"
    app.router.add_get("/", nothing)
    assert main_paths(app) == "/ /readyz"

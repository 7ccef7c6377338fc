"""The REST server as one aiohttp application, health pages included: what listens on ``listen``.

The health pages need no token. The host that was called must be one of ours, except for ``ALIVE``, which says nothing.
"""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import cache, partial
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from kong_eventhooks_plugin.api.rest.answers import json_response
from kong_eventhooks_plugin.api.rest.bodies import MAX_BODY
from kong_eventhooks_plugin.api.rest.error_mapping import response_for, response_for_http
from kong_eventhooks_plugin.api.rest.events_calls import EventCalls
from kong_eventhooks_plugin.api.rest.form_values import Field
from kong_eventhooks_plugin.api.rest.hooks_calls import HookCalls
from kong_eventhooks_plugin.api.rest.openapi.document import document
from kong_eventhooks_plugin.api.rest.publish_lane import PUBLISHING, Publishing
from kong_eventhooks_plugin.api.rest.receipt_body import ReceiptBody
from kong_eventhooks_plugin.api.rest.routes import CallGuard, Endpoint, Handler, add_calls
from kong_eventhooks_plugin.api.rest.serve import Calling
from kong_eventhooks_plugin.api.rest.stream import HEARTBEAT
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.feed import Feed
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.errors import AccessRefused
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.schema import Known
from kong_eventhooks_plugin.time_limits import TimeLimits

ALIVE = "/healthz"


def rest_app(
    service: Service,
    access: Access,
    feed: Feed,
    known: Known,
    *,
    health: Iterable[web.RouteDef] = (),
    heartbeat: float = HEARTBEAT,
    calling: Calling = nullcontext,
) -> web.Application:
    """``health``: more routes. ``heartbeat`` of a stream in seconds. ``calling``: the listener's."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[entry(access, calling)])
    app.add_routes(health)
    calls = (*HookCalls(service, access, hook_form(known)).calls(), *EventCalls(service, heartbeat).calls())
    openapi = Endpoint("GET", "/openapi.json", _openapi(cache(partial(document, known, calls))), "open")
    guard = CallGuard(access)
    add_calls(app, (*calls, openapi), guard)
    app[PUBLISHING] = Publishing(access, guard, service.events.offer, ReceiptBody(service.presenter), TimeLimits())

    async def end_streams(_: web.Application) -> None:
        feed.close()

    app.on_shutdown.append(end_streams)
    return app


def hook_form(known: Known) -> Field:
    """Return the schema that gives a form's texts their types: a hook's, and the API's own fields."""
    hook = schema.hook(known)
    own = [{"id": {"type": "string"}}, {"created_at": {"type": "integer"}}, {"updated_at": {"type": "integer"}}]
    read_only = [{"declared_in": {"type": "string"}}, {"scope": {"type": "record", "fields": []}}]
    return {**hook, "fields": [*hook["fields"], *own, *read_only]}


def _openapi(make_document: Callable[[], dict[str, Any]]) -> Handler:
    async def openapi(_: web.Request) -> web.Response:
        # Made for whoever asks first: it would cost each start some 20 ms.
        return json_response(make_document())

    return openapi


def entry(access: Access, calling: Calling) -> Middleware:
    """Return what every request passes; one middleware, since each costs a request a coroutine.

    It waits for its turn, and says which connections have a request under way. It refuses foreign names: a page that
    makes its own point here, DNS rebinding, reads no answer. Unknown paths and methods are answered as Kong does; calls
    have mapped their errors already.
    """

    @web.middleware
    async def entry(request: web.Request, handler: Handler) -> web.StreamResponse:
        async with calling(request.protocol):
            try:
                if request.path != ALIVE:
                    access.check_host(request.headers.get(hdrs.HOST))
                return await handler(request)
            except AccessRefused as error:
                return response_for(error)
            except web.HTTPException as error:
                return response_for_http(error)

    return entry

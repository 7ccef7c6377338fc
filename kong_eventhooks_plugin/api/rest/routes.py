"""A table of calls becomes aiohttp's routes: each with its access rule, its limits, its errors as Kong's answers.

Limits: ``AT_ONCE`` calls run at the same time, one more gets a 503 (the feed limits streams); a call has
``CALL_SECONDS``, reading its body included, else 503, and so has sending its answer, else the connection is cut.
Headers are aiohttp's: 128 of 8,190 bytes.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from aiohttp import hdrs, web

from kong_eventhooks_plugin.api.rest.error_mapping import response_for, response_for_http
from kong_eventhooks_plugin.api.rest.sending import send
from kong_eventhooks_plugin.api.service.access import AT_ONCE, CALL_SECONDS, Access, Caller, Kind, sent_token
from kong_eventhooks_plugin.errors import TooBusy
from kong_eventhooks_plugin.time_limits import Limited, TimeLimits

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoint(NamedTuple):
    """One call, and what the OpenAPI document says of it: nothing where there is no ``summary``.

    ``answer`` is the status and what the body is (None: no body). ``forms``: the request's body may be a form as well.
    ``query`` names its parameters, ``errors`` the statuses beside those that any call may have. ``stream``: it lasts
    until its reader disconnects.
    """

    method: str
    path: str
    handler: Handler
    kind: Kind
    summary: str = ""
    answer: tuple[int, type | None] = (200, None)
    body: str | type | None = None
    forms: bool = False
    query: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    stream: bool = False


class CallGuard:
    def __init__(self, access: Access) -> None:
        self._access = access
        self._running = 0
        self._times = TimeLimits()

    def guarded(self, call: Endpoint) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            caller = caller_of(request)
            try:
                self._access.admit(call.kind, caller)
                return await (call.handler(request) if call.stream else self._limited(call, request))
            except web.HTTPException as error:
                return response_for_http(error)
            except Exception as error:  # noqa: BLE001 - every error has its answer; the unforeseen is logged there
                return response_for(error)

        return handle

    async def _limited(self, call: Endpoint, request: web.Request) -> web.StreamResponse:
        self._count()
        try:
            with self._times.within(CALL_SECONDS):
                answer = await call.handler(request)
                await send(answer, request)
                return answer
        finally:
            self._running -= 1

    def begin(self, call: Limited) -> None:
        """Count a call that no task makes, and begin its time; raises ``TooBusy``."""
        self._count()
        self._times.begin(call, CALL_SECONDS)

    def end(self, call: Limited) -> None:
        self._times.end(call)
        self._running -= 1

    def _count(self) -> None:
        if self._running >= AT_ONCE:
            raise TooBusy(f"{AT_ONCE} calls run already")
        self._running += 1


def caller_of(request: web.Request) -> Caller:
    return caller_from(request.headers)


def caller_from(headers: Mapping[str, str]) -> Caller:
    return Caller(
        token=sent_token(headers.get(hdrs.AUTHORIZATION), headers.get("kong-admin-token")),
        host=headers.get(hdrs.HOST),
        origin=headers.get(hdrs.ORIGIN),
        fetch_site=headers.get("sec-fetch-site"),
    )


def add_calls(app: web.Application, calls: Iterable[Endpoint], guard: CallGuard) -> None:
    """Add calls to an application: HEAD beside GET, OPTIONS for every path, a slash at a path's end allowed."""
    handlers: dict[str, dict[str, Handler]] = {}
    for call in calls:
        methods = [hdrs.METH_GET, hdrs.METH_HEAD] if call.method == hdrs.METH_GET and not call.stream else [call.method]
        handlers.setdefault(call.path, {}).update(dict.fromkeys(methods, guard.guarded(call)))
    for path, of_path in handlers.items():
        of_path[hdrs.METH_OPTIONS] = _options([*of_path])
        # Two plain paths, which aiohttp looks up; an optional slash would be one more pattern for each request to try.
        for written in (path, f"{path}/"):
            resource = app.router.add_resource(written)
            for method, handler in of_path.items():
                resource.add_route(method, handler)


def _options(methods: list[str]) -> Handler:
    allow = ", ".join(sorted([*methods, hdrs.METH_OPTIONS]))

    async def options(_: web.Request) -> web.Response:
        return web.Response(status=204, headers={"allow": allow})

    return options

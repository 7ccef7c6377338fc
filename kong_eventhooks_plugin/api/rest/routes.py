"""A table of calls becomes aiohttp's routes: each with its access rule, its limits, its errors as Kong's answers.

Limits: ``AT_ONCE`` calls run at the same time, one more is refused with 503 (streams are counted apart, by the feed);
a call has ``CALL_SECONDS``, its body's arrival included, else 503, and so has its answer's way to the reader, else the
connection is cut. Headers are aiohttp's: 128 of 8,190 bytes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Literal, NamedTuple

from aiohttp import hdrs, web

from kong_eventhooks_plugin.api.rest.error_mapping import response_for, response_for_http
from kong_eventhooks_plugin.api.rest.sending import send
from kong_eventhooks_plugin.api.service.access import Access, Caller
from kong_eventhooks_plugin.errors import TooBusy

AT_ONCE: Final = 64
CALL_SECONDS: Final = 60.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Kind = Literal["open", "read", "change"]
"""``open`` is answered without the token, with secrets masked. ``read`` (what was delivered) and ``change`` need it
where one is set; a change also must not come from another site's page."""


class Endpoint(NamedTuple):
    """One call: ``path`` as aiohttp writes it. ``stream``: it lasts as long as its reader wants."""

    method: str
    path: str
    handler: Handler
    kind: Kind
    stream: bool = False


class CallGuard:
    """Stands before every call: who may, how many at once, how long."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._running = 0

    def guarded(self, call: Endpoint) -> Handler:
        """Return the call's handler behind the gate."""

        async def handle(request: web.Request) -> web.StreamResponse:
            caller = caller_of(request)
            try:
                self._check(call, caller)
                return await (call.handler(request) if call.stream else self._limited(call, request))
            except web.HTTPException as error:
                return response_for_http(error)
            except Exception as error:  # noqa: BLE001 - every error has its answer, and the unforeseen is logged there
                return response_for(error)

        return handle

    def _check(self, call: Endpoint, caller: Caller) -> None:
        self._access.check_host(caller)
        if call.kind == "change":
            self._access.check_page(caller)
        if call.kind != "open":
            self._access.need_token(caller)

    async def _limited(self, call: Endpoint, request: web.Request) -> web.StreamResponse:
        if self._running >= AT_ONCE:
            raise TooBusy(f"{AT_ONCE} calls run already")
        self._running += 1
        try:
            async with asyncio.timeout(CALL_SECONDS):
                answer = await call.handler(request)
                await send(answer, request)
                return answer
        finally:
            self._running -= 1


def caller_of(request: web.Request) -> Caller:
    """Return what a request says of who sent it. ``Authorization`` goes before ``Kong-Admin-Token``."""
    scheme, _, credentials = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    token = credentials.strip() if scheme.lower() == "bearer" else request.headers.get("kong-admin-token")
    return Caller(
        token=token or None,
        host=request.headers.get(hdrs.HOST),
        origin=request.headers.get(hdrs.ORIGIN),
        fetch_site=request.headers.get("sec-fetch-site"),
    )


def add_calls(app: web.Application, calls: Iterable[Endpoint], gate: CallGuard) -> None:
    """Add calls to an application: HEAD beside GET, OPTIONS for every path, a slash at a path's end allowed."""
    allowed: dict[str, list[str]] = {}
    for call in calls:
        methods = [hdrs.METH_GET, hdrs.METH_HEAD] if call.method == hdrs.METH_GET and not call.stream else [call.method]
        allowed.setdefault(call.path, []).extend(methods)
        for method in methods:
            app.router.add_route(method, call.path + _SLASH, gate.guarded(call))
    for path, methods in allowed.items():
        app.router.add_route(hdrs.METH_OPTIONS, path + _SLASH, _options(methods))


_SLASH: Final = "{_slash:/?}"


def _options(methods: list[str]) -> Handler:
    allow = ", ".join(sorted([*methods, hdrs.METH_OPTIONS]))

    async def options(_: web.Request) -> web.Response:
        return web.Response(status=204, headers={"allow": allow})

    return options

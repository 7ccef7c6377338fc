"""Between a browser and the console's pages: who may see them, and what an error looks like.

A page needs a session, except where the API has no admin token: then it listens on loopback alone, and its pages are
open as its calls are. A form's post needs the form's token too, and must come from a page of ours. Errors are pages.

Limits: those of the REST API's calls (``api.service.access``): ``AT_ONCE`` of its own at a time, ``CALL_SECONDS`` each;
a form is read as ``api.rest.bodies`` does. Who is not logged in has others, so that nobody is kept out: ``LOGINS`` at a
time, ``LOGINS_OF_ONE`` of an address, ``LOGIN_SECONDS`` each, a form of ``LOGIN_BYTES``.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from kong_eventhooks_plugin.api.console import rendering
from kong_eventhooks_plugin.api.console.sessions import LoginAttempts, Sessions, network_of
from kong_eventhooks_plugin.api.rest.bodies import read_object
from kong_eventhooks_plugin.api.rest.error_mapping import response_for
from kong_eventhooks_plugin.api.rest.routes import caller_of
from kong_eventhooks_plugin.api.rest.sending import send
from kong_eventhooks_plugin.api.service.access import AT_ONCE, CALL_SECONDS, Access, Caller
from kong_eventhooks_plugin.api.service.error_codes import code_of, text_of
from kong_eventhooks_plugin.background import RateLimitedLogger
from kong_eventhooks_plugin.errors import AccessRefused, TooBusy

LOGIN: Final = "/console/login"
LONGEST_PATH: Final = 1_000
LOGINS: Final = 16
LOGINS_OF_ONE: Final = 4
LOGIN_SECONDS: Final = 10.0
LOGIN_BYTES: Final = 8 << 10


log = structlog.get_logger()


class Visit(NamedTuple):
    """A request to a page: ``form`` is what was posted, ``{}`` of a GET."""

    request: web.Request
    session: str
    form: Mapping[str, Any]

    def field(self, name: str) -> str:
        """Return a form's field, empty where it is missing or no text."""
        value = self.form.get(name)
        return value if isinstance(value, str) else ""


View = Callable[[Visit], Awaitable[web.StreamResponse]]


class ConsoleGuard:
    """``attempts`` limits logins; ``values`` are what every template gets."""

    def __init__(
        self, access: Access, sessions: Sessions, attempts: LoginAttempts, monotonic: Callable[[], float]
    ) -> None:
        self._access = access
        self._sessions = sessions
        self._attempts = attempts
        self._log = RateLimitedLogger(monotonic)
        self._pages = _Turns(AT_ONCE, AT_ONCE, CALL_SECONDS)
        self._logins = _Turns(LOGINS, LOGINS_OF_ONE, LOGIN_SECONDS)

    @property
    def has_login(self) -> bool:
        """Whether there is an admin token to log in with."""
        return not self._access.trusted(Caller())

    def page(self, view: View) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return the handler of a page; of its forms, too."""

        async def handle(request: web.Request) -> web.StreamResponse:
            session = self._session(request)
            if session is None:
                return self._to_login(request)
            return await self._answered(request, session, view, self._pages)

        return handle

    def login(self, view: View) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return the handler of the page that everybody may see."""

        async def handle(request: web.Request) -> web.StreamResponse:
            number = self._cookie(request)
            known = number is not None and (self._sessions.is_visitor(number) or self._sessions.is_open(number))
            session = number if known and number is not None else self._sessions.visitor()
            if request.method == "POST" and not 0 <= (request.content_length or LOGIN_BYTES + 1) <= LOGIN_BYTES:
                return self._error(Visit(request, session, {}), 413, "The form is too large.")
            return await self._answered(request, session, view, self._logins, is_new=not known)

        return handle

    def stream(self, view: View) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return the handler of what lasts until its reader leaves, and counts as no call."""

        async def handle(request: web.Request) -> web.StreamResponse:
            session = self._session(request)
            if session is None or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
                return web.Response(status=403, headers=rendering.HEADERS)
            try:
                return await view(Visit(request, session, {}))
            except Exception as error:  # noqa: BLE001 - every error has its answer
                return response_for(error)

        return handle

    def log_in(self, visit: Visit) -> float | None:
        """Check the token that was posted; return None, or for how many seconds to wait with another: 0, for none.

        The right token is never refused: those who share an address with whoever guesses would be kept out, and who
        guesses can do so at the API.
        """
        address = visit.request.remote or ""
        if self._access.trusted(Caller(token=visit.field("token"))):
            self._attempts.succeeded(address)
            log.info("console_login", address=address)
            return None
        wait = self._attempts.wait(address)
        if wait <= 0:
            self._attempts.failed(address)
        self._log.warning("console_login_refused", address, address=address)
        return max(wait, 0.0)

    def new_session(self, visit: Visit) -> str:
        """Return the number of a session in place of the visit's."""
        self._sessions.close(visit.session)
        return self._sessions.open()

    def give_session(self, response: web.StreamResponse, request: web.Request, session: str) -> None:
        """Set the cookie: not for scripts, not for other sites' requests, with TLS not without."""
        name = _cookie_name(request)
        response.set_cookie(name, session, path="/", httponly=True, samesite="Strict", secure=request.secure)

    def end_session(self, response: web.StreamResponse, visit: Visit) -> None:
        self._sessions.close(visit.session)
        secure = visit.request.secure
        response.del_cookie(_cookie_name(visit.request), path="/", secure=secure, httponly=True, samesite="Strict")

    def render(self, name: str, visit: Visit, values: Mapping[str, Any], status: int = 200) -> web.Response:
        common = {
            "csrf": self._sessions.form_token(visit.session),
            "path": visit.request.path,
            "has_login": self.has_login,
        }
        return rendering.page(name, {**common, **values}, status)

    def may_see(self, visit: Visit) -> bool:
        """Return whether who began that visit may still see pages."""
        return not self.has_login or self._sessions.is_open(visit.session)

    def _session(self, request: web.Request) -> str | None:
        number = self._cookie(request)
        if self.has_login:
            return number if number is not None and self._sessions.is_open(number) else None
        return number if number is not None and self._sessions.is_visitor(number) else self._sessions.visitor()

    def _cookie(self, request: web.Request) -> str | None:
        return request.cookies.get(_cookie_name(request))

    def _to_login(self, request: web.Request) -> web.Response:
        if request.method in {"GET", "HEAD"} and request.headers.get("sec-fetch-site") == "cross-site":
            # A link from elsewhere brings no cookie, for which it may be asked again from a page of ours.
            return web.Response(headers={**rendering.HEADERS, "refresh": "0"})
        following = request.path_qs if request.method == "GET" else "/"
        return see_other(rendering.query(LOGIN, next=following[:LONGEST_PATH]))

    async def _answered(
        self, request: web.Request, session: str, view: View, turns: "_Turns", *, is_new: bool = False
    ) -> web.StreamResponse:
        visit = Visit(request, session, {})
        try:
            async with turns.turn(request.remote or ""):
                if request.method == "POST":
                    visit = Visit(request, session, await self._form(request, session))
                answer = await view(visit)
                if is_new or (not self.has_login and self._cookie(request) != session):
                    self.give_session(answer, request, session)
                await send(answer, request)
                return answer
        except web.HTTPException as error:
            return self._error(visit, error.status, error.reason)
        except Exception as error:  # noqa: BLE001 - every error has its page; the unforeseen is logged
            response_for(error)
            return self._error(visit, code_of(error).http, text_of(error))

    async def _form(self, request: web.Request, session: str) -> Mapping[str, Any]:
        """Return what was posted. Raises ``AccessRefused`` where it was not posted by a page of ours."""
        self._access.check_page(caller_of(request))
        form = await read_object(request)
        token = form.pop("csrf", None)
        if not isinstance(token, str) or not self._sessions.fits(session, token):
            raise AccessRefused("this page is out of date: go back, reload it and try again")
        return form

    def _error(self, visit: Visit, status: int, message: str) -> web.Response:
        return self.render("error.html", visit, {"status": status, "message": message}, status)


class _Turns:
    """How many requests may be answered at the same time, in all and of one address, and for how long each."""

    def __init__(self, most: int, most_of_one: int, seconds: float) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._seconds = seconds
        self._running: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, address: str) -> AsyncIterator[None]:
        network = network_of(address)
        of_one = self._running[network]
        if self._running.total() >= self._most or of_one >= self._most_of_one:
            raise TooBusy(f"{self._running.total()} pages are made already, {of_one} of them for this address")
        self._running[network] += 1
        try:
            async with asyncio.timeout(self._seconds):
                yield
        finally:
            self._running -= Counter([network])


def see_other(path: str) -> web.Response:
    """Return a redirection, which is no exception: those become REST's JSON."""
    return web.Response(status=303, headers={**rendering.HEADERS, "location": path})


def local_path(text: str) -> str:
    """Return a path of the console to go on with, ``/`` for anything else."""
    try:
        parts = urlsplit(text[:LONGEST_PATH])
    except ValueError:
        return "/"
    ours = not parts.scheme and not parts.netloc and (parts.path == "/" or parts.path.startswith("/console/"))
    plain = ours and text.isprintable() and "\\" not in text and not text.startswith("//")
    return text if plain and len(text) <= LONGEST_PATH else "/"


def _cookie_name(request: web.Request) -> str:
    """Return a name of its own for each port: browsers keep one jar for a host."""
    prefix = "__Host-" if request.secure else ""
    return f"{prefix}event_hooks_{request.url.port or 0}"

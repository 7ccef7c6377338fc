"""Logging in with the admin token, and out."""

from aiohttp import web

from kong_eventhooks_plugin.api.console.guard import Visit, local_path, see_other
from kong_eventhooks_plugin.api.console.parts import Parts
from kong_eventhooks_plugin.api.durations import span


class LoginPages:
    def __init__(self, parts: Parts) -> None:
        self._guard = parts.guard

    async def show(self, visit: Visit) -> web.StreamResponse:
        following = local_path(visit.request.query.get("next", "/"))
        if not self._guard.has_login:
            return see_other(following)
        return self._form(visit, following, None, 200)

    async def log_in(self, visit: Visit) -> web.StreamResponse:
        following = local_path(visit.field("next"))
        wait = self._guard.log_in(visit)
        if wait is None:
            response = see_other(following)
            self._guard.give_session(response, visit.request, self._guard.new_session(visit))
            return response
        if wait:
            return self._form(visit, following, f"Too many attempts. Try again in {span(wait)}.", 429)
        return self._form(visit, following, "That is not the admin token.", 401)

    async def log_out(self, visit: Visit) -> web.StreamResponse:
        response = see_other("/")
        self._guard.end_session(response, visit)
        return response

    def _form(self, visit: Visit, following: str, error: str | None, status: int) -> web.Response:
        return self._guard.render("login.html", visit, {"next": following, "error": error}, status)

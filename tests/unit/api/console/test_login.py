"""Who may see the console, and what a page of another site cannot do."""

import asyncio
from pathlib import Path

import httpx
import pytest
from yarl import URL

from kong_eventhooks_plugin.api.console import guard, sessions
from kong_eventhooks_plugin.api.console.guard import local_path
from kong_eventhooks_plugin.api.console.sessions import LoginAttempts, Sessions
from kong_eventhooks_plugin.api.rest import stream
from kong_eventhooks_plugin.api.transport.tls import TlsFiles, server_context
from tests.support.api import Api
from tests.support.authority import Authority
from tests.support.clock import FakeClock
from tests.support.console import TOKEN, console_of, form_token, visible
from tests.support.waiting import SECONDS

PAGES = (
    "/", "/console/hooks", "/console/hooks/new", "/console/hooks/a", "/console/hooks/a/edit",
    "/console/hooks/a/preview",
    "/console/deliveries", "/console/deliveries/x", "/console/events", "/console/held-back", "/console/live",
    "/console/replays/x",
)  # fmt: skip
POSTS = (
    "/console/logout", "/console/hooks/new", "/console/hooks/a/edit", "/console/hooks/a/delete",
    "/console/hooks/a/switch",
    "/console/hooks/a/test", "/console/hooks/a/replay", "/console/hooks/a/preview", "/console/replays",
    "/console/deliveries/x/replay",
)  # fmt: skip


async def test_nothing_is_shown_before_the_login(api: Api) -> None:
    await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
    async with console_of(api) as browser:
        for path in PAGES:
            answer = await browser.get(path)
            target = URL(answer.headers["location"])
            assert (answer.status_code, target.path, target.query) == (303, "/console/login", {"next": path}), path
        for path in POSTS:
            answer = await browser.client.post(path, data={})
            assert answer.headers["location"] == "/console/login?next=%2F", path
        assert (await browser.get("/console/stream")).status_code == 403
        assert api.service.hooks.get("a").enabled


async def test_the_login_leads_on_and_its_cookie_is_for_the_browser_alone(api: Api) -> None:
    async with console_of(api) as browser:
        page = await browser.get("/console/login?next=/console/hooks")
        form = {"csrf": form_token(page.text), "token": TOKEN, "next": "/console/hooks"}
        answer = await browser.client.post("/console/login", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/hooks")
        cookie = answer.headers["set-cookie"]
        assert all(part in cookie for part in ("HttpOnly", "Path=/", "SameSite=Strict"))
        assert "Secure" not in cookie
        assert (await browser.get("/console/hooks")).status_code == 200
        await browser.post("/console/logout", {}, page="/console/hooks")
        assert (await browser.get("/console/hooks")).status_code == 303


async def test_a_new_login_ends_the_session_before(api: Api) -> None:
    async with console_of(api) as browser:
        await browser.log_in()
        ((name, before),) = browser.client.cookies.items()
        await browser.log_in()
        browser.client.cookies.clear()
        assert (await browser.get("/console/hooks", headers={"cookie": f"{name}={before}"})).status_code == 303


async def test_live_events_end_with_the_session(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHECK_SECONDS", 0.01)
    async with console_of(api) as browser:
        await browser.log_in()
        async with asyncio.timeout(SECONDS), browser.client.stream("GET", "/console/stream") as live:
            lines = live.aiter_lines()
            assert (await anext(lines)).startswith("retry")
            await browser.post("/console/logout", {}, page="/console/hooks")
            assert [line async for line in lines if line] == []


async def test_with_tls_the_cookie_is_for_tls_alone(api: Api, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = server_context(TlsFiles(*authority.signed("server")), "http/1.1")
    async with console_of(api, tls=server, verify=authority.client()) as browser:
        cookie = (await browser.get("/console/login")).headers["set-cookie"]
        assert cookie.startswith("__Host-event_hooks_")
        assert "Secure" in cookie
        assert (await browser.log_in()).status_code == 200


async def test_a_session_is_no_token_of_the_api(api: Api) -> None:
    async with console_of(api) as browser:
        await browser.log_in()
        assert (await browser.get("/deliveries")).status_code == 401
        assert (await browser.client.post("/events", json={"event": "x"})).status_code == 401


async def test_every_page_says_what_a_browser_may_do_with_it(api: Api) -> None:
    async with console_of(api) as browser:
        await browser.log_in()
        for path in ("/", "/console/login", "/console/hooks/nobody", "/console/hooks"):
            headers = (await browser.get(path)).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
        for name in ("console.css", "console.js", "icon.svg"):
            static = await browser.get(f"/console/static/{name}")
            assert (static.status_code, "immutable" in static.headers["cache-control"]) == (200, True)
        assert (await browser.get("/console/static/..%2fguard.py")).status_code == 404


async def test_wrong_tokens_are_limited(api: Api) -> None:
    async with console_of(api) as browser:
        for _ in range(sessions.FAILURES):
            assert (await browser.log_in("wrong")).status_code == 401
        refused = await browser.log_in("wrong")
        assert (refused.status_code, "Too many attempts" in refused.text) == (429, True)
        assert (await browser.log_in()).status_code == 200, "who shares the address knows the token"
        assert (await browser.log_in("wrong")).status_code == 401


async def test_who_is_not_logged_in_keeps_nobody_out(api: Api) -> None:
    """Slow and large forms of logins, and who is logged in goes on."""
    async with console_of(api) as browser:
        await browser.log_in()
        large = await browser.client.post("/console/login", data={"token": "x" * guard.LOGIN_BYTES})
        assert large.status_code == 413
        host, port = URL(api.base).host, URL(api.base).port
        head = f"POST /console/login HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 9\r\n\r\n".encode()
        elsewhere = "127.0.0.2"
        slow = [
            await asyncio.open_connection(host, port, local_addr=(elsewhere, 0)) for _ in range(guard.LOGINS_OF_ONE)
        ]
        for _, writer in slow:
            writer.write(head)
        transport = httpx.AsyncHTTPTransport(local_address=elsewhere)
        async with asyncio.timeout(SECONDS), httpx.AsyncClient(transport=transport, base_url=api.base) as there:
            while (await there.get("/console/login")).status_code != 503:
                pass
        assert (await browser.get("/console/hooks")).status_code == 200
        assert (await browser.get("/console/login")).status_code == 200, "of another address"
        for _, writer in slow:
            writer.close()


async def test_a_form_of_another_page_changes_nothing(api: Api) -> None:
    hook = await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
    path = f"/console/hooks/{hook.id}/delete"
    async with console_of(api) as browser:
        await browser.log_in()
        token = form_token((await browser.get(path)).text)
        for form in ({}, {"csrf": ""}, {"csrf": token[:-1] + ("0" if token[-1] != "0" else "1")}, {"csrf": "é"}):
            assert (await browser.client.post(path, data=form)).status_code == 403
        for header in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
            assert (await browser.client.post(path, data={"csrf": token}, headers=header)).status_code == 403
        other = Sessions(FakeClock())
        assert (await browser.client.post(path, data={"csrf": other.form_token(other.open())})).status_code == 403
        assert api.service.hooks.get("a") == hook
        assert (await browser.client.post(path, data={"csrf": token})).status_code == 303
        assert "a" not in {one.name for one in api.registry.hooks().values()}


async def test_without_a_token_it_is_open_and_its_forms_are_not(api: Api) -> None:
    async with console_of(api, token=None) as browser:
        page = await browser.get("/console/hooks/new?handler=log")
        assert (page.status_code, "Log out" in page.text) == (200, False)
        form = {"handler": "log", "name": "a", "source": "custom", "enabled": "true", "config.level": "notice"}
        assert (await browser.client.post("/console/hooks/new", data=form)).status_code == 403
        made = await browser.post("/console/hooks/new", form, page="/console/hooks/new?handler=log")
        assert "a on" in visible(made.text)
        assert (await browser.get("/console/login")).headers["location"] == "/"


async def test_a_link_from_elsewhere_is_followed_again_with_the_cookie(api: Api) -> None:
    async with console_of(api) as browser:
        answer = await browser.get("/console/hooks", headers={"sec-fetch-site": "cross-site"})
        assert (answer.status_code, answer.headers["refresh"], answer.text) == (200, "0", "")


async def test_under_a_foreign_name_there_is_no_console(api: Api) -> None:
    async with console_of(api) as browser:
        assert (await browser.get("/console/login", headers={"host": "rebound.example"})).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/",
        "/\\evil.example",
        "http://evil.example/",
        "javascript:alert(1)",
        "/console/\nx",
        "//[",
        "/events",
        "x",
        "",
    ],
)
def test_a_login_leads_to_no_other_place(path: str) -> None:
    assert local_path(path) == "/"
    assert local_path("/console/deliveries?state=dead") == "/console/deliveries?state=dead"


def test_sessions_are_bounded_and_end() -> None:
    clock = FakeClock()
    known = Sessions(clock)
    first = known.open()
    assert known.is_open(first)
    numbers = [known.open() for _ in range(sessions.SESSIONS)]
    assert (known.is_open(first), known.is_open(numbers[0])) == (False, True)
    clock.advance(sessions.SESSION_SECONDS)
    assert not known.is_open(numbers[-1])


def test_a_visitors_number_cannot_be_made_up() -> None:
    known = Sessions(FakeClock())
    number = known.visitor()
    assert known.is_visitor(number)
    assert not any(
        known.is_visitor(each) for each in ("", ".", number[:-1], f"x{number}", "é.é", Sessions(FakeClock()).visitor())
    )


def test_attempts_to_log_in_are_counted_by_network_and_bounded() -> None:
    attempts = LoginAttempts(FakeClock())
    for number in range(sessions.FAILURES):
        attempts.failed(f"2001:db8::{number + 1}")
    assert attempts.wait("2001:db8::ffff") > 0
    assert attempts.wait("2001:db8:1::1") == 0
    for number in range(sessions.ADDRESSES):
        attempts.failed(f"10.0.{number // 256}.{number % 256}")
    assert attempts.wait("2001:db8::1") == 0

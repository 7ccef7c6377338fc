"""Who may do what over REST: foreign pages, foreign names, the admin token."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kong_eventhooks_plugin.api.rest.health import health_routes
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.readiness import Readiness
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.api import Api, running

TOKEN = "correct-horse-battery-staple"
SECRET = "s3cret-s3cret"
HOOK = {"name": "a", "source": "custom", "handler": "webhook",
        "config": {"url": "https://hooks.example/services/T0/B0/pa55", "secret": SECRET}}  # fmt: skip
LOG = {"source": "custom", "handler": "log"}

OPEN = [("GET", "/event-hooks"), ("GET", "/event-hooks/a"), ("GET", "/event-hooks/sources"),
        ("GET", "/event-hooks/sources/custom"), ("GET", "/openapi.json"), ("GET", "/default/event-hooks")]  # fmt: skip
READ = [("GET", "/deliveries"), ("GET", "/deliveries/x"), ("GET", "/events"), ("GET", "/events/stream"),
        ("GET", "/event-hooks/a/deliveries")]  # fmt: skip
CHANGE = [("POST", "/event-hooks"), ("PATCH", "/event-hooks/a"), ("PUT", "/event-hooks/a"),
          ("DELETE", "/event-hooks/a"), ("GET", "/event-hooks/a/ping"), ("POST", "/event-hooks/a/test"),
          ("POST", "/event-hooks/a/replay"), ("POST", "/deliveries/x/replay"), ("POST", "/events"),
          ("PATCH", "/default/event-hooks/a")]  # fmt: skip


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(tmp_path) as opened:
        await opened.service.hooks.create(HOOK)
        yield opened


async def ask(client: httpx.AsyncClient, method: str, path: str, **headers: str) -> httpx.Response:
    """Ask, and of a stream read only the beginning."""
    async with client.stream(method, path, headers=headers) as answer:
        if "event-stream" not in answer.headers.get("content-type", ""):
            await answer.aread()
        return answer


class TestWithoutAToken:
    @pytest.mark.parametrize(
        "headers", [{"origin": "https://evil.test"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
    )
    async def test_a_foreign_page_changes_nothing(self, api: Api, headers: dict[str, str]) -> None:
        async with api.served() as client:
            before = await api.queue.definitions()
            for call in CHANGE:
                answer = await ask(client, *call, **headers)
                assert answer.status_code == 403, call
                assert "page" in answer.json()["message"], call
                assert await api.queue.definitions() == before, call
                assert not any(recorder.jobs or recorder.pinged for recorder in api.recorders.values()), call

    async def test_a_foreign_name_is_refused(self, api: Api) -> None:
        async with api.served() as client:
            for call in (*OPEN, *READ, *CHANGE):
                answer = await ask(client, *call, host="rebound.evil.test:8010")
                assert answer.status_code == 403, call
                assert "api_hosts" in answer.json()["message"], call
                assert SECRET not in answer.text, call

    async def test_an_own_page_may(self, api: Api) -> None:
        async with api.served() as client:
            headers = {"origin": api.base, "sec-fetch-site": "same-origin"}
            assert (await client.patch("/event-hooks/a", json={}, headers=headers)).status_code == 200

    async def test_a_name_that_is_allowed(self, api: Api) -> None:
        async with api.served(access=Access(hosts=["hooks.internal"])) as client:
            assert (await client.get("/event-hooks", headers={"host": "hooks.internal"})).status_code == 200

    async def test_secrets_are_shown_as_in_enterprise(self, api: Api) -> None:
        async with api.served() as client:
            assert (await client.get("/event-hooks/a")).json()["config"]["secret"] == SECRET


class TestWithAToken:
    @pytest.mark.parametrize("headers", [{}, {"kong-admin-token": "wrong"}, {"authorization": "Bearer"},
                                         {"authorization": f"Basic {TOKEN}"}])  # fmt: skip
    async def test_changes_and_what_was_delivered_need_it(self, api: Api, headers: dict[str, str]) -> None:
        async with api.served(access=Access(TOKEN)) as client:
            for call in (*READ, *CHANGE):
                answer = await ask(client, *call, **headers)
                received = (answer.status_code, answer.headers.get("www-authenticate"))
                assert received == (401, 'Bearer realm="kong-event-hooks"'), call
                assert "admin token" in answer.json()["message"], call

    @pytest.mark.parametrize("headers", [{"authorization": f"Bearer {TOKEN}"}, {"authorization": f"bearer  {TOKEN}"},
                                         {"kong-admin-token": TOKEN}])  # fmt: skip
    async def test_the_right_token_is_accepted(self, api: Api, headers: dict[str, str]) -> None:
        async with api.served(access=Access(TOKEN)) as client:
            for call in (*OPEN, *READ, *CHANGE):
                assert (await ask(client, *call, **headers)).status_code not in (401, 403), call

    async def test_hooks_are_shown_without_it_but_no_secret(self, api: Api) -> None:
        async with api.served(access=Access(TOKEN)) as client:
            for call in OPEN:
                answer = await ask(client, *call)
                assert answer.status_code == 200, call
                assert SECRET not in answer.text, call
                assert "pa55" not in answer.text, call

    async def test_the_token_makes_a_foreign_page_no_better(self, api: Api) -> None:
        async with api.served(access=Access(TOKEN)) as client:
            for headers in ({"origin": "https://evil.test"}, {"host": "evil.test"}):
                answer = await ask(client, "DELETE", "/event-hooks/a", **headers, authorization=f"Bearer {TOKEN}")
                assert answer.status_code == 403

    async def test_authorization_goes_first(self, api: Api) -> None:
        async with api.served(access=Access(TOKEN)) as client:
            answer = await ask(client, "GET", "/events", authorization="Bearer wrong", **{"kong-admin-token": TOKEN})
            assert answer.status_code == 401

    async def test_nothing_that_is_sent_carries_it(self, api: Api) -> None:
        async with api.served(access=Access(TOKEN)) as client:
            client.headers["authorization"] = f"Bearer {TOKEN}"
            received = await client.get("/event-hooks/a/ping")
            await client.post("/event-hooks/a/test", json={"a": 1})
            assert TOKEN not in received.text
            assert TOKEN not in repr(api.recorders["webhook"].jobs)


async def test_health_pages_need_no_token_but_a_name_of_ours(api: Api) -> None:
    async def ready() -> Readiness:
        return Readiness(status="ready", store="ok", delivering=True, hooks=1)

    async def refresh() -> None:
        pass

    access = Access(TOKEN)
    async with api.served(access=access, health=health_routes(ready, Metrics(), refresh, access)) as client:
        for path in ("/healthz", "/readyz", "/metrics", "/nowhere"):
            status = 404 if path == "/nowhere" else 200
            foreign = 200 if path == "/healthz" else 403
            for method in ("GET", "HEAD"):
                assert (await client.request(method, path)).status_code == status, path
                answer = await client.request(method, path, headers={"host": "rebound.evil.test:8010"})
                assert answer.status_code == foreign, path


@pytest.mark.parametrize("path", ["/event-hooks/a", "/events", "/nope"])
async def test_answers_are_neither_kept_nor_guessed_at(api: Api, path: str) -> None:
    async with api.served() as client:
        answer = await client.get(path)
        assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")


async def test_an_unforeseen_error_is_answered_without_its_text(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError(f"with {SECRET} in it")

    monkeypatch.setattr(api.registry, "hooks", fail)
    async with api.served() as client:
        answer = await client.get("/event-hooks")
    assert (answer.status_code, answer.json()) == (500, {"message": "An unexpected error occurred"})
    said = capsys.readouterr().out
    assert "RuntimeError" in said
    assert SECRET not in said

"""kong-admin.yml on a real Kong: who gets in, what is behind it, and what a client sees while the sidecar is away."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Kong, Sidecar
from tests.support.waiting import until

pytestmark = [pytest.mark.kong, pytest.mark.timeout(240)]

FILE = Path(__file__).parents[2] / "kong-admin.yml"
KEY = "0f6b1de2c7a94b3e8d5f60718293a4b5"
ELSEWHERE = {"x-forwarded-for": "203.0.113.7"}
NEARBY = {"x-forwarded-for": "10.1.2.3"}


@pytest.fixture
def route(kong: Kong, sidecar: Sidecar) -> Kong:
    text = FILE.read_text().replace('${{ env "DECK_KONG_ADMIN_KEY" }}', KEY)
    text = text.replace("127.0.0.1:8001", f"127.0.0.1:{kong.admin}").replace(
        "127.0.0.1:8010", f"127.0.0.1:{sidecar.port}"
    )
    stranger = "consumers:\n- username: stranger\n  keyauth_credentials:\n  - key: strangers-key\n"
    kong.declarative.write_text(text.replace("consumers:\n", stranger, 1))
    kong.extra_conf |= {"trusted_ips": "127.0.0.1", "real_ip_header": "X-Forwarded-For"}
    sidecar.start()
    kong.start()
    return kong


def ask(
    kong: Kong,
    method: str,
    path: str,
    body: Any = None,
    *,
    key: str | None = KEY,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any, dict[str, str]]:
    given = {"content-type": "application/json", **({"apikey": key} if key else {}), **(headers or {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{kong.proxy}{path}", data, given, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read() or b"null"), dict(answer.headers.items())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null"), dict(error.headers.items())


@pytest.mark.parametrize("path", ["/admin/consumers", "/admin/event-hooks"])
def test_only_operators_with_the_key_from_a_known_network_get_in(route: Kong, path: str) -> None:
    assert ask(route, "GET", path)[0] == 200
    assert ask(route, "GET", path, headers=NEARBY)[0] == 200
    assert ask(route, "GET", path, key=None)[0] == 401
    assert ask(route, "GET", path, key="wrong")[0] == 401
    assert ask(route, "GET", f"{path}?apikey={KEY[:-1]}x", key=None)[0] == 401, "not from the query string"
    assert ask(route, "GET", path, key="strangers-key")[0] == 403, "a consumer who is no operator"
    assert ask(route, "GET", path, headers=ELSEWHERE)[0] == 403


def test_the_admin_api_and_the_hooks_are_behind_it(route: Kong) -> None:
    names = {consumer["username"] for consumer in ask(route, "GET", "/admin/consumers")[1]["data"]}
    assert names == {"kong-operators", "stranger"}
    assert ask(route, "DELETE", "/admin/consumers/nobody")[0] == 204
    hook = {"name": "made-here", "source": "rate-limiting", "handler": "log"}
    assert ask(route, "POST", "/admin/event-hooks", hook)[0] == 201
    assert ask(route, "GET", "/admin/event-hooks/made-here")[1]["handler"] == "log"
    logs = "".join(path.read_text(errors="replace") for path in (route.prefix / "logs").iterdir() if path.is_file())
    assert "/admin/consumers" in logs
    assert KEY not in logs


def test_while_the_sidecar_is_away_changes_are_made_and_answered_500(route: Kong, sidecar: Sidecar) -> None:
    sidecar.stop()
    status, _, headers = ask(route, "GET", "/admin/consumers")
    assert status == 500
    assert "x-kong-admin-latency" in {name.lower() for name in headers}, "the Admin API has answered"
    assert ask(route, "GET", "/admin/event-hooks")[0] == 502
    before = route.admin_get("/status")["configuration_hash"]
    changed = route.declarative.read_text().replace("- username: stranger", "- username: another")
    assert ask(route, "POST", "/admin/config", {"config": changed})[0] == 500
    until(lambda: route.admin_get("/status")["configuration_hash"] != before, "Kong has taken it all the same")
    assert route.admin_get("/consumers/another")["username"] == "another", "the admin port is the way back"
    sidecar.start()
    assert ask(route, "GET", "/admin/consumers")[0] == 200

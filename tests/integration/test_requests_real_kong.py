"""What is reported of refused and failed requests on a real Kong: limits that hide their headers, auth, upstream."""

import socket
from typing import Any

import pytest

from tests.integration.conftest import HttpServer, Kong, Sidecar
from tests.support.waiting import until

pytestmark = [pytest.mark.kong, pytest.mark.timeout(240)]

SOURCES = ("rate-limiting", "rate-limiting-advanced", "rate-limit-approaching", "auth", "upstream")
HIDDEN = {"hour": 5, "policy": "local", "hide_client_headers": True}


def with_path(name: str, url: str, *plugins: dict[str, Any], **fields: Any) -> dict[str, Any]:
    route = {"name": name, "paths": [f"/{name}"]}
    return {"name": name, "url": url, "routes": [route], "plugins": list(plugins), "retries": 1, **fields}


def on(kong: Kong, sidecar: Sidecar, services: list[dict[str, Any]], **more: Any) -> None:
    """Start all, with a log hook for each source in the file, and wait until the plugins in force are known."""
    hooks = [{"name": source, "source": source, "handler": "log"} for source in SOURCES]
    kong.declare({"services": services, "plugins": [{"name": "event-hooks", "config": {"hooks": hooks}}], **more})
    sidecar.watch(kong, admin_poll_seconds=0.2)
    sidecar.start()
    kong.start()


def events(sidecar: Sidecar, source: str, count: int) -> list[dict[str, Any]]:
    until(lambda: len(sidecar.events(source)) >= count, f"{count} events of {source}")
    return sidecar.events(source)


def exhaust(kong: Kong, path: str) -> None:
    until(lambda: kong.get(path)[0] == 429, "the limit breaks", pace=0.01)


def test_a_limit_with_hidden_headers_is_told_by_the_plugin_in_force(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer
) -> None:
    url = f"http://127.0.0.1:{upstream.port}"
    limiting = {"name": "rate-limiting", "config": HIDDEN}
    shown = {"name": "rate-limiting", "config": {"hour": 5, "policy": "local"}}
    on(kong, sidecar, [
        with_path("hidden", url, limiting), with_path("shown", url, shown),
        with_path("two", url, limiting, {"name": "request-termination", "config": {"status_code": 429}}),
    ])  # fmt: skip

    def reported() -> bool:
        exhaust(kong, "/hidden/a")
        return "hidden" in names(sidecar, "rate-limiting")

    until(reported, "the plugins in force are known, and the limit is reported", pace=0.3)
    # Of this one two plugins can have answered so: it is reported by none.
    assert kong.get("/two/a")[0] == 429
    exhaust(kong, "/shown/a")
    until(lambda: "shown" in names(sidecar, "rate-limiting"), "the limit with headers")
    until(lambda: len(sidecar.events("rate-limit-approaching")) >= 2, "and that it came near")
    by_name = {event["data"]["service"]["name"]: event["data"] for event in sidecar.events("rate-limiting")}
    assert set(by_name) == {"hidden", "shown"}
    assert by_name["hidden"]["attributed"] == "plugins"
    assert by_name["shown"]["attributed"] == "headers"
    assert (by_name["shown"]["limit"], by_name["shown"]["window"]) == (5, "hour")
    near = sidecar.events("rate-limit-approaching")
    assert {event["data"]["service"]["name"] for event in near} == {"shown"}, "hidden headers hide it"
    assert [(event["data"]["used"], event["data"]["percent"]) for event in near] == [(4, 80), (5, 100)]


ALL_HEADERS = (
    '{["X-RateLimit-Remaining-Minute"]="0", ["X-RateLimit-Limit-Minute"]="5", ["Retry-After"]="5", '
    '["RateLimit-Reset"]="5"}'
)


def test_headers_that_others_edit_or_forge(kong: Kong, sidecar: Sidecar, upstream: HttpServer) -> None:
    url = f"http://127.0.0.1:{upstream.port}"
    limiting = {"name": "rate-limiting", "config": {"hour": 5, "policy": "local"}}
    removed = ["X-RateLimit-Remaining-Hour", "X-RateLimit-Limit-Hour", "Retry-After"]
    forged = f"return kong.response.exit(429, nil, {ALL_HEADERS})"
    near = 'kong.response.set_header("X-RateLimit-Remaining-Hour", "1")'
    on(kong, sidecar, [
        with_path("removed", url, limiting,
                  {"name": "response-transformer", "config": {"remove": {"headers": removed}}}),
        with_path("forged", url, {"name": "pre-function", "config": {"access": [forged]}}),
        with_path("edited", url, limiting, {"name": "post-function", "config": {"header_filter": [near]}}),
        with_path("plain", url, limiting),
    ])  # fmt: skip

    def known() -> bool:
        exhaust(kong, "/removed/a")
        return "removed" in names(sidecar, "rate-limiting")

    until(known, "the refusal without headers, once the plugins are known", pace=0.3)
    assert kong.get("/forged/a")[0] == 429
    # The requests before come near the limit, and are reported later than they are answered.
    exhaust(kong, "/edited/a")
    status, headers = kong.get("/edited/a")
    assert status == 429
    exhaust(kong, "/plain/a")
    until(lambda: "plain" in names(sidecar, "rate-limiting"), "the refusal with headers")
    assert names(sidecar, "rate-limiting") == {"removed", "plain"}
    approaching = {event["data"]["request"]["id"] for event in sidecar.events("rate-limit-approaching")}
    assert headers["X-Kong-Request-Id"] not in approaching, "a refusal approaches nothing"
    by_name = {event["data"]["service"]["name"]: event["data"] for event in sidecar.events("rate-limiting")}
    assert (by_name["removed"]["attributed"], by_name["removed"]["limit"]) == ("plugins", 5)
    listed = {service["name"]: service for service in kong.admin_get("/services")["data"]}["plain"]
    whole = {name: value for name, value in listed.items() if value is not None}
    assert {**by_name["plain"]["service"], "ws_id": None} == {**whole, "ws_id": None}


def names(sidecar: Sidecar, source: str) -> set[str]:
    return {event["data"]["service"]["name"] for event in sidecar.events(source)}


def test_clients_turned_away_and_services_that_do_not_answer(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer
) -> None:
    with socket.socket() as mute, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: refused
        mute.bind(("127.0.0.1", 0))
        mute.listen(8)  # accepts and never answers
        url = f"http://127.0.0.1:{upstream.port}"
        slow = f"http://127.0.0.1:{mute.getsockname()[1]}"
        on(
            kong, sidecar,
            [
                with_path("keyed", url, {"name": "key-auth"}),
                with_path("denied", url, {"name": "ip-restriction", "config": {"deny": ["127.0.0.1"]}}),
                with_path("ended", url, {"name": "request-termination", "config": {"status_code": 403}}),
                with_path("refused", f"http://127.0.0.1:{nobody.getsockname()[1]}"),
                with_path("slow", slow, read_timeout=200),
                with_path("empty", "http://no-targets"),
                with_path("own", url),
            ],
            upstreams=[{"name": "no-targets"}],
        )  # fmt: skip

        def known() -> bool:
            assert kong.get("/keyed/x")[0] == 401
            return any(event["data"]["plugins"] == ["key-auth"] for event in sidecar.events("auth"))

        until(known, "a refusal is reported, with the plugin in force", pace=0.3)
        before = len(sidecar.events("auth"))
        assert kong.get("/ended/x")[0] == 403
        assert kong.get("/own/x")[0] == 200
        assert kong.get("/denied/x")[0] == 403
        for path, status in (("/refused/x", 502), ("/slow/x", 504), ("/empty/x", 503)):
            assert kong.get(path)[0] == status
        auth = events(sidecar, "auth", before + 1)
        failed = events(sidecar, "upstream", 3)
    keyed, denied = auth[before - 1]["data"], auth[-1]["data"]
    assert {event["event"] for event in auth} == {"failed"}
    assert (keyed["status"], keyed["service"]["name"], keyed["www_authenticate"]) == (401, "keyed", "Key")
    assert (denied["status"], denied["service"]["name"], denied["plugins"]) == (403, "denied", ["ip-restriction"])
    assert "ended" not in {event["data"]["service"]["name"] for event in auth}, (
        "request-termination is no refusal of auth"
    )
    by_name = {event["data"]["service"]["name"]: event["data"] for event in failed}
    assert {name: data["status"] for name, data in by_name.items()} == {"refused": 502, "slow": 504, "empty": 503}
    assert len(by_name["refused"]["tries"]) == 2, "one more than retries"
    assert by_name["empty"]["tries"] == []

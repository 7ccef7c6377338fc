"""The source ``auth``: who turned a client away."""

from typing import Any

import pytest

from kong_eventhooks_plugin.dispatch.digest import digest
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.auth import HEADER, AuthFailed
from kong_eventhooks_plugin.sources.requests.infer import InferRule
from tests.support.enterprise_logs import documented_ai_plugin, documented_ai_refusal
from tests.support.events import events, refused, seen, serialized
from tests.support.recorded_logs import plugin, plugins_of

KEY = plugin("key-auth")


def denied(status: int = 401, **changes: Any) -> dict[str, Any]:
    headers = {"www-authenticate": 'Key realm="demo"'} if status == 401 else {}
    return serialized(**({"response": {"status": status, "headers": headers}} | changes))


def made(log: dict[str, Any], *plugins: dict[str, Any], status: int = 401) -> list[Any]:
    source = AuthFailed(Attribution(plugins=plugins_of(*plugins))) if plugins else AuthFailed()
    return events(source, seen(log, status))


def test_the_fields_of_its_event() -> None:
    (event,) = made(denied(consumer=None), KEY)
    assert (event.source, event.event) == ("auth", "failed")
    assert event.data == {
        "status": 401,
        "consumer": {},
        "ip": "192.0.2.7",
        "service": {"id": "s-1", "name": "demo", "host": "127.0.0.1", "port": 9190, "protocol": "http", "path": "/a"},
        "route": {"id": "r-1", "name": "demo-route"},
        "request": {"method": "GET", "path": "/demo/x", "id": "699a6f5b9b02ad58255431437282bb62"},
        "node": {"id": None, "hostname": None},
        "plugins": ["key-auth"],
        "www_authenticate": 'Key realm="demo"',
    }


@pytest.mark.parametrize(
    "change", [{"source": "upstream"}, {"upstream_status": "401"}, {"tries": [{"ip": "127.0.0.1"}]}, {"source": None}]
)
def test_what_the_service_said_is_not_it(change: dict[str, Any]) -> None:
    assert made(denied(**change)) == []


class TestPlugins:
    @pytest.mark.parametrize(
        ("plugins", "named"),
        [
            ([plugin("jwt"), KEY, plugin("acl"), plugin("cors")], ["acl", "jwt", "key-auth"]),
            ([KEY, plugin("my-plugin")], ["key-auth", "my-plugin"]),
            ([KEY, plugin("request-termination", status_code=401)], ["key-auth"]),
            ([plugin("bot-detection"), KEY], ["key-auth"]),  # 403 alone
            ([plugin("cors")], []),  # the list is older than the plugin
            ([plugin("openid-connect"), plugin("pre-function", access=["x"])], ["openid-connect", "pre-function"]),
        ],
    )
    def test_those_that_can_have_answered_are_named(self, plugins: list[dict[str, Any]], named: list[str]) -> None:
        assert made(denied(), *plugins)[0].data["plugins"] == named

    def test_where_they_are_not_known_none_is(self) -> None:
        assert made(denied())[0].data["plugins"] is None

    @pytest.mark.parametrize(
        "other",
        [
            plugin("request-termination", status_code=403),
            plugin("rate-limiting", error_code=403, hide_client_headers=True),
        ],
        ids=lambda other: other["name"],
    )
    def test_one_with_another_purpose_is_no_event(self, other: dict[str, Any]) -> None:
        assert made(denied(403), other, status=403) == []

    def test_neither_is_a_proven_rate_limit(self) -> None:
        limited = denied(403, response={"status": 403, "headers": refused(minute=3)})
        assert made(limited, status=403) == []
        assert len(made(denied(403), plugin("rate-limiting", error_code=403), status=403)) == 1

    def test_neither_is_what_ai_rate_limiting_advanced_refused(self) -> None:
        of_ai = denied(403, response=documented_ai_refusal()["response"] | {"status": 403})
        assert made(of_ai, documented_ai_plugin(error_code=403), plugin("acl"), status=403) == []
        assert made(of_ai, status=403) == []

    def test_neither_is_what_a_setting_names_as_one(self) -> None:
        named = AuthFailed(Attribution([InferRule("route", "demo-route", 403)]))
        assert events(named, seen(denied(403), 403)) == []
        assert len(events(named, seen(denied(401), 401))) == 1


@pytest.mark.parametrize(
    ("header", "shown"),
    [(None, None), (["Basic", "Key"], "Basic"), ("x" * 5000, "x" * HEADER), ({}, None), (7, "7")],
    ids=lambda value: str(value)[:12],
)
def test_the_challenge_is_bounded(header: Any, shown: str | None) -> None:
    log = denied(response={"status": 401, "headers": {"www-authenticate": header}})
    assert made(log)[0].data["www_authenticate"] == shown


def test_on_change_compares_client_service_and_status() -> None:
    before = digest(made(denied(), KEY)[0])
    assert digest(made(denied(request={"id": "other", "uri": "/y"}), plugin("jwt"))[0]) == before
    assert digest(made(denied(client_ip="192.0.2.8"))[0]) != before
    assert digest(made(denied(consumer=None))[0]) != before
    assert digest(made(denied(service={"id": "s-2"}))[0]) != before
    assert digest(made(denied(), status=403)[0]) != before


def test_statuses() -> None:
    assert AuthFailed().statuses() == {401, 403}
    assert made(denied(), KEY, status=407) == []


def test_forged_rate_limit_headers_do_not_hide_it() -> None:
    forged = denied(403, response={"status": 403, "headers": refused(minute=3)})
    function = plugin("pre-function", access=["..."])
    assert [event.data["plugins"] for event in made(forged, function, status=403)] == [["pre-function"]]
    assert made(forged, status=403) == []
    limiting = plugin("rate-limiting", minute=3, error_code=403, hide_client_headers=False)
    assert made(forged, function, limiting, status=403) == []

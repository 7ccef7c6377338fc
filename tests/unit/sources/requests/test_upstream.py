"""The source ``upstream``: a service that gave Kong no answer."""

from typing import Any

import pytest

from kong_eventhooks_plugin.dispatch.digest import digest
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.infer import InferRule
from kong_eventhooks_plugin.sources.requests.upstream import STATUS, TRIES, UpstreamError
from tests.support.enterprise_logs import documented_ai_plugin, documented_ai_refusal
from tests.support.events import events, refused, seen, serialized
from tests.support.recorded_logs import plugin, plugins_of

REFUSED = {"ip": "192.0.2.9", "port": 80, "balancer_latency": 1, "state": "failed", "code": 502}


def failed(status: int = 502, **changes: Any) -> dict[str, Any]:
    log: dict[str, Any] = {
        "response": {"status": status, "headers": {}},
        "tries": [REFUSED | {"balancer_start": 1}],
        "upstream_status": str(status),
    }
    return serialized(**(log | changes))


def no_target(**changes: Any) -> dict[str, Any]:
    return failed(503, **({"tries": [], "upstream_status": ""} | changes))


def made(log: dict[str, Any], *plugins: dict[str, Any], status: int = 502) -> list[Any]:
    source = UpstreamError(Attribution(plugins=plugins_of(*plugins))) if plugins else UpstreamError()
    return events(source, seen(log, status))


def test_the_fields_of_its_event() -> None:
    (event,) = made(failed())
    assert (event.source, event.event, event.unique) == ("upstream", "error", ("status", "service"))
    told_of = {name: event.data[name] for name in ("status", "upstream_status", "tries", "try_count", "ip")}
    assert told_of == {
        "status": 502, "upstream_status": "502", "tries": [REFUSED], "try_count": 1, "ip": "192.0.2.7",
    }  # fmt: skip
    assert (event.data["service"]["name"], event.data["request"]["path"]) == ("demo", "/demo/x")


def test_a_try_that_did_not_fail_has_no_code() -> None:
    answered = {"ip": "192.0.2.9", "port": 80, "balancer_latency": 0}
    assert made(failed(tries=[REFUSED, answered]))[0].data["tries"][1] == answered | {"state": None, "code": None}


def test_tries_and_statuses_are_bounded() -> None:
    many = failed(tries=[REFUSED | {"port": port} for port in range(1, 1001)], upstream_status="502, " * 1000)
    data = made(many)[0].data
    assert [each["port"] for each in data["tries"]] == list(range(1, TRIES + 1))
    assert (data["try_count"], len(data["upstream_status"])) == (1000, STATUS)


@pytest.mark.parametrize("change", [{"source": "upstream"}, {"source": None}, {"service": None}])
def test_what_is_not_it(change: dict[str, Any]) -> None:
    assert made(failed(**change)) == []


@pytest.mark.parametrize("status", [500, 501, 505, 429])
def test_another_status_is_not(status: int) -> None:
    assert made(failed(status), status=status) == []
    assert UpstreamError().statuses() == {502, 503, 504}


class TestWithoutATry:
    def test_there_was_no_target(self) -> None:
        (event,) = made(no_target(), plugin("key-auth"), status=503)
        assert (event.data["tries"], event.data["upstream_status"]) == ([], None)

    @pytest.mark.parametrize(
        "other",
        [
            plugin("request-termination"),
            plugin("request-termination", trigger="x"),
            plugin("rate-limiting", error_code=503, hide_client_headers=True),
        ],
    )
    def test_a_plugin_that_is_configured_to_answer_so_may_have(self, other: dict[str, Any]) -> None:
        assert made(no_target(), other, status=503) == []
        assert len(made(failed(503), other, status=503)) == 1  # with a try it was not the plugin

    @pytest.mark.parametrize(
        "other",
        [
            plugin("my-plugin"),  # it can answer with anything, and would silence every event
            plugin("rate-limiting", error_code=503),  # it would have shown its headers
            plugin("request-termination", status_code=429),
        ],
        ids=lambda other: other["name"],
    )
    def test_one_that_need_not_have_does_not_silence_it(self, other: dict[str, Any]) -> None:
        assert len(made(no_target(), other, status=503)) == 1

    def test_a_proven_rate_limit_is_not_it(self) -> None:
        assert made(no_target(response={"status": 503, "headers": refused(minute=3)}), status=503) == []

    def test_neither_is_what_ai_rate_limiting_advanced_refused_or_a_rule_names(self) -> None:
        of_ai = documented_ai_refusal()["response"] | {"status": 503}
        assert made(no_target(response=of_ai), documented_ai_plugin(error_code=503), status=503) == []
        assert made(no_target(response=of_ai), status=503) == []
        named = UpstreamError(Attribution([InferRule("service", "demo", 503)]))
        assert events(named, seen(no_target(), 503)) == []
        assert len(events(named, seen(failed(), 502))) == 1


@pytest.mark.parametrize("answer", ["200", 200, "502, 404"])
def test_a_status_that_a_plugin_put_in_the_place_of_an_answer_is_not(answer: Any) -> None:
    answered = {"ip": "192.0.2.9", "port": 80, "balancer_latency": 0}
    assert made(failed(503, tries=[answered], upstream_status=answer), plugin("my-plugin"), status=503) == []


@pytest.mark.parametrize("status", ["502, 502 : ", "504", 502, "-"])
def test_a_status_without_an_answer_is_an_event(status: Any) -> None:
    assert made(failed(upstream_status=status))[0].data["upstream_status"] == str(status)


def test_on_change_compares_the_service_and_the_status() -> None:
    before = digest(made(failed())[0])
    assert digest(made(failed(client_ip="192.0.2.8", tries=[], consumer=None))[0]) == before
    assert digest(made(failed(service={"id": "s-2"}))[0]) != before
    assert digest(made(failed(504), status=504)[0]) != before

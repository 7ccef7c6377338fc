"""The source ``rate-limiting``: what is its event, what is not, and what the event says."""

from typing import Any

import msgspec
import pytest

from kong_eventhooks_plugin.dispatch.digest import digest
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.infer import InferRule
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from kong_eventhooks_plugin.sources.requests.response_rate_limiting import ResponseRateLimiting
from tests.support.events import SEEN_AT, answered, events, refused, seen, serialized

RULE_429 = InferRule("route", "demo-route")
RULE_503 = InferRule("service", "demo", 503)
ANSWERS = ResponseRateLimiting()
HIDDEN = {"response": {"status": 429, "headers": {}}}
HIDDEN_503 = {"response": {"status": 503, "headers": {}}}
ROOM_503 = {"response": {"headers": {"x-ratelimit-limit-minute": "3", "x-ratelimit-remaining-minute": "2"}}}


def attributed(source: RateLimiting, log: dict[str, Any], status: int = 429) -> list[str]:
    return [event.data["attributed"] for event in events(source, seen(log, status))]


def test_the_fields_of_its_event() -> None:
    (event,) = events(RateLimiting(), seen(serialized()))
    assert event.data == {
        "consumer": {"id": "c-1", "username": "Joe", "custom_id": "42", "created_at": 1_795_278_761},
        "ip": "192.0.2.7",
        "service": {"id": "s-1", "name": "demo", "host": "127.0.0.1", "port": 9190, "protocol": "http", "path": "/a"},
        "rate": 4,
        "limit": 3,
        "window": "minute",
        "route": {"id": "r-1", "name": "demo-route"},
        "request": {"method": "GET", "path": "/demo/x", "id": "699a6f5b9b02ad58255431437282bb62"},
        "node": {"id": None, "hostname": None},
        "retry_after": 5,
        "limit_name": None,
        "attributed": "headers",
    }
    assert event.time == SEEN_AT


def test_nothing_of_the_query_string_or_the_headers_is_in_it() -> None:
    (event,) = events(RateLimiting(), seen(serialized()))
    assert b"joekey" not in msgspec.json.encode(event)


@pytest.mark.parametrize("missing", ["consumer", "service", "route"])
def test_what_the_request_has_not_is_an_empty_object(missing: str) -> None:
    (event,) = events(RateLimiting(), seen(serialized(**{missing: None})))
    assert event.data[missing] == {}
    assert getattr(event.scope, missing) == ()


class TestIsIt:
    def test_an_upstreams_own_429_is_not_even_with_all_headers(self) -> None:
        log = serialized(source="upstream", upstream_status="429")
        assert attributed(RateLimiting(Attribution([RULE_429])), log) == []
        assert attributed(RateLimiting(Attribution([RULE_429])), serialized(source="upstream")) == []

    def test_a_429_without_headers_is_not(self) -> None:
        assert attributed(RateLimiting(), serialized(**HIDDEN)) == []

    def test_a_429_without_headers_is_where_a_rule_names_it(self) -> None:
        assert attributed(RateLimiting(Attribution([RULE_429])), serialized(**HIDDEN)) == ["inferred"]

    def test_a_rule_does_not_weaken_a_proof(self) -> None:
        assert attributed(RateLimiting(Attribution([RULE_429])), serialized()) == ["headers"]

    def test_another_status_is_not_even_with_a_proof(self) -> None:
        assert attributed(RateLimiting(), serialized(), 503) == []

    def test_another_status_is_where_a_rule_names_it(self) -> None:
        assert attributed(RateLimiting(Attribution([RULE_503])), serialized(), 503) == ["headers"]
        assert attributed(RateLimiting(Attribution([RULE_503])), serialized(**HIDDEN_503), 503) == ["inferred"]

    def test_a_503_for_want_of_a_healthy_service_is_not(self) -> None:
        tried = serialized(**HIDDEN_503, upstream_status="502")
        assert attributed(RateLimiting(Attribution([RULE_503])), tried, 503) == []
        assert attributed(RateLimiting(Attribution([RULE_503])), serialized(**ROOM_503), 503) == []

    def test_a_named_429_that_left_room_may_be_response_ratelimitings_first_violation(self) -> None:
        assert attributed(RateLimiting(Attribution([RULE_429])), serialized(**ROOM_503)) == ["inferred"]

    def test_response_ratelimiting_with_headers_is_its_own_event(self) -> None:
        assert attributed(RateLimiting(Attribution([RULE_429])), answered()) == []

    def test_response_ratelimiting_with_hidden_headers_is_the_other_source(self) -> None:
        assert attributed(RateLimiting(Attribution([RULE_429])), answered(**HIDDEN)) == []
        assert attributed(ResponseRateLimiting(Attribution([RULE_429])), answered(**HIDDEN)) == ["inferred"]
        assert attributed(ResponseRateLimiting(), answered(**HIDDEN)) == []
        assert attributed(ResponseRateLimiting(Attribution([RULE_429])), serialized(**HIDDEN)) == []

    def test_a_log_that_does_not_say_who_answered_is_not(self) -> None:
        assert attributed(RateLimiting(Attribution([RULE_429])), serialized(source=None)) == []


def test_statuses() -> None:
    assert RateLimiting().statuses() == {429}
    assert RateLimiting(Attribution([RULE_503, RULE_429])).statuses() == {429, 503}


class TestIdentity:
    def test_reported_again_later_it_has_the_same_id(self) -> None:
        first, again = seen(serialized()), msgspec.structs.replace(seen(serialized()), seen_at=SEEN_AT + 9)
        assert events(RateLimiting(), first)[0].id == events(RateLimiting(), again)[0].id

    def test_another_request_has_another_id(self) -> None:
        other = serialized(request={"id": "other", "uri": "/demo/x"})
        assert events(RateLimiting(), seen(serialized()))[0].id != events(RateLimiting(), seen(other))[0].id

    def test_the_sources_have_different_events(self) -> None:
        (limited,), (used_up,) = events(RateLimiting(), seen(serialized())), events(ANSWERS, seen(answered()))
        assert limited.id != used_up.id

    @pytest.mark.parametrize("request_id", ["", None])
    def test_without_a_request_id_two_requests_stay_two(self, request_id: str | None) -> None:
        told = seen(serialized(request={"id": request_id, "uri": "/"}))
        assert events(RateLimiting(), told)[0].id != events(RateLimiting(), told)[0].id

    def test_an_incredible_start_still_makes_an_id(self) -> None:
        assert events(RateLimiting(), seen(serialized(started_at=1e300)))[0].id


class TestOnChange:
    def test_a_dbless_reload_changes_no_digest(self) -> None:
        before = events(RateLimiting(), seen(serialized()))[0]
        renewed = {name: serialized()[name] | {"created_at": 1, "updated_at": 2} for name in ("service", "consumer")}
        assert digest(events(RateLimiting(), seen(serialized(**renewed)))[0]) == digest(before)

    def test_neither_does_another_request_of_the_same_client_or_another_window(self) -> None:
        before = events(RateLimiting(), seen(serialized()))[0]
        other = serialized(request={"id": "z", "uri": "/y"}, response={"headers": refused("9", hour=7)})
        assert digest(events(RateLimiting(), seen(other))[0]) == digest(before)

    @pytest.mark.parametrize("change", [{"client_ip": "192.0.2.8"}, {"consumer": None}, {"service": {"id": "s-2"}}])
    def test_another_client_or_service_does(self, change: dict[str, Any]) -> None:
        before = events(RateLimiting(), seen(serialized()))[0]
        assert digest(events(RateLimiting(), seen(serialized(**change)))[0]) != digest(before)

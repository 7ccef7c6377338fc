"""What each request of the recorded Kong becomes, one by one."""

from typing import Any

import pytest

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.scope import EventScope
from kong_eventhooks_plugin.sources.catalogue import BY_NAME
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.infer import InferRule
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource
from kong_eventhooks_plugin.sources.requests.response_rate_limiting import ResponseRateLimiting
from tests.support.events import SEEN_AT, events, recorded

RECORDED = recorded()

DEMO = {"service": "demo", "consumer": None, "path": "/demo/x", "rate": 4, "limit": 3, "window": "minute"}
JOE = {"service": "secured", "consumer": "Joe", "path": "/secured", "rate": 3, "limit": 2, "window": "minute"}
SMS = {"service": "resp", "consumer": None, "path": "/resp", "rate": 2, "limit": 1, "window": "minute"}

# line -> status, the event's source (None: no event), its fields
BECOMES: dict[int, tuple[int, str | None, dict[str, Any]]] = {
    1: (200, None, {}),  # let through, 2 left
    2: (200, None, {}),
    3: (200, None, {}),  # let through, 0 remain: the headers say 0, and no limit is exceeded yet
    4: (429, "rate-limiting", DEMO | {"retry_after": 5, "limit_name": None}),
    5: (429, "rate-limiting", DEMO | {"retry_after": 5, "limit_name": None}),
    6: (200, None, {}),
    7: (200, None, {}),
    8: (429, "rate-limiting", JOE | {"retry_after": 5, "limit_name": None}),  # 98 of the hour are left
    9: (429, "rate-limiting", JOE | {"retry_after": 5, "limit_name": None}),
    10: (401, None, {}),  # no key
    11: (200, None, {}),
    12: (429, None, {}),  # hide_client_headers
    13: (429, None, {}),
    14: (200, None, {}),
    15: (429, "response-ratelimiting", SMS | {"retry_after": None, "limit_name": "sms"}),
    16: (429, "response-ratelimiting", SMS | {"retry_after": None, "limit_name": "sms"}),
    17: (404, None, {}),  # no route
    20: (200, None, {}),  # the Admin API's answers: event-hooks-crud's log phase, then event-hooks'
    21: (200, None, {}),
    23: (405, None, {}),
    24: (405, None, {}),
}


def made(line: int, *sources: RequestSource) -> list[Event]:
    return [event for source in sources for event in events(source, RECORDED[line])]


def test_the_table_has_every_recorded_request() -> None:
    assert {line: seen.status for line, seen in RECORDED.items()} == {at: row[0] for at, row in BECOMES.items()}


@pytest.mark.parametrize("line", BECOMES)
def test_it_becomes(line: int) -> None:
    _, source, told = BECOMES[line]
    got = made(line, RateLimiting(), ResponseRateLimiting())
    assert [event.source for event in got] == ([source] if source else [])
    for event in got:
        data = event.data
        assert {
            "service": data["service"]["name"],
            "consumer": data["consumer"].get("username"),
            "path": data["request"]["path"],
            "rate": data["rate"],
            "limit": data["limit"],
            "window": data["window"],
            "retry_after": data["retry_after"],
            "limit_name": data["limit_name"],
        } == told
        assert (data["attributed"], data["ip"], event.time) == ("headers", "127.0.0.1", SEEN_AT)


@pytest.mark.parametrize("rule", [InferRule("route", "hidden"), InferRule("service", "hidden")])
@pytest.mark.parametrize("line", [12, 13])
def test_hidden_headers_are_an_event_where_a_rule_names_the_route_or_service(line: int, rule: InferRule) -> None:
    (event,) = made(line, RateLimiting(Attribution([rule])), ResponseRateLimiting())
    unknown = {name: event.data[name] for name in ("rate", "limit", "window", "retry_after", "limit_name")}
    assert (event.source, event.data["attributed"]) == ("rate-limiting", "inferred")
    assert unknown == dict.fromkeys(unknown)
    assert event.data["service"]["name"] == "hidden"


@pytest.mark.parametrize("line", BECOMES)
def test_a_rule_on_another_route_or_status_changes_nothing(line: int) -> None:
    rules = [InferRule("route", "elsewhere"), InferRule("route", "hidden", 503), InferRule("service", "hidden", 403)]
    before = made(line, RateLimiting(), ResponseRateLimiting())
    assert made(line, RateLimiting(Attribution(rules)), ResponseRateLimiting()) == before


@pytest.mark.parametrize("line", [15, 16])
def test_a_rule_does_not_report_response_ratelimiting_a_second_time(line: int) -> None:
    got = made(line, RateLimiting(Attribution([InferRule("route", "resp")])), ResponseRateLimiting())
    assert [event.source for event in got] == ["response-ratelimiting"]


@pytest.mark.parametrize(("line", "status"), [(10, 401), (17, 404)])
def test_a_rule_counts_for_kongs_other_answers(line: int, status: int) -> None:
    got = made(line, RateLimiting(Attribution([InferRule("service", "secured", status)])))
    assert len(got) == (1 if line == 10 else 0)  # a 404 has neither route nor service


@pytest.mark.parametrize("line", [4, 8, 15])
def test_the_event_has_the_fields_of_the_catalogue(line: int) -> None:
    (event,) = made(line, RateLimiting(), ResponseRateLimiting())
    (entry,) = BY_NAME[event.source].events
    assert (event.event, event.unique) == (entry.name, entry.unique)
    assert list(event.data) == [field.name for field in entry.fields]


def test_the_same_request_has_the_same_id_and_no_other_has() -> None:
    ids = {event.id for line in BECOMES for event in made(line, RateLimiting(), ResponseRateLimiting())}
    again = {event.id for line in BECOMES for event in made(line, RateLimiting(), ResponseRateLimiting())}
    assert ids == again
    assert len(ids) == sum(1 for row in BECOMES.values() if row[1])


def test_the_events_scope_has_the_requests_entities() -> None:
    (event,) = made(8, RateLimiting())
    assert event.scope == EventScope(
        service=("9ac1131b-7f5c-52be-86cd-f1b6c8a84204", "secured"),
        route=("c294447b-97f7-5a3e-ac5c-bbf43d62fb4d", "secured"),
        consumer=("100315c7-51e7-55e6-b065-e6ddc0571148", "Joe"),
    )

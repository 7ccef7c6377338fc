"""What every source of the log phase keeps to (``sources/requests/request_source.py``), whatever it is given."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.catalogue import BY_NAME, REQUEST_SOURCES, matching_sources
from kong_eventhooks_plugin.sources.poller_group import hooks_without_admin_api
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.infer import InferRule
from kong_eventhooks_plugin.sources.requests.kong_log import decode
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource
from tests.support.declared import undeclared
from tests.support.enterprise_logs import (
    documented_advanced_refusal,
    documented_ai_plugin,
    documented_ai_refusal,
    documented_validation_failure,
    documented_validation_plugin,
    documented_windows_plugin,
)
from tests.support.events import answered, events, make_hook, recorded, seen, serialized
from tests.support.recorded_logs import UNKNOWN_PLUGINS, edited_logs, plugin, plugin_list, plugins_of, recorded_logs

Make = Callable[[Any], RequestSource]

RULES = [InferRule("route", "demo-route"), InferRule("service", "demo", 503), InferRule("route", "demo-route", 403)]
PLUGINS = [
    *plugin_list(),
    documented_windows_plugin("rate-limiting-advanced"),
    documented_windows_plugin("service-protection", service="protected"),
    documented_ai_plugin(),
    documented_validation_plugin(route="validated"),
    plugin("my-plugin", consumer="c-9"),
]
MAKES: dict[str, Make] = {
    source.entry.name: lambda plugins, source=source: source(Attribution(RULES, plugins), 80)
    for source in REQUEST_SOURCES
}
ENTRIES = {source.entry.name: source.entry for source in REQUEST_SOURCES}
PROTECTED = {"id": "protected", "name": "p"}
SEEN: list[LogObservation] = [
    *recorded().values(),
    *recorded_logs().values(),
    *edited_logs().values(),
    seen(serialized()),
    seen(answered()),
    seen(documented_advanced_refusal(("30", 3))),
    seen(documented_advanced_refusal(("30", 3)) | {"service": PROTECTED}),
    seen(documented_ai_refusal()),
    seen(documented_validation_failure(route={"id": "validated"}), 400),
]


@pytest.fixture(params=MAKES, ids=str)
def source(request: pytest.FixtureRequest) -> RequestSource:
    return MAKES[request.param](plugins_of(*PLUGINS))


def test_it_has_its_name_and_its_entry(source: RequestSource, request: pytest.FixtureRequest) -> None:
    assert source.name in ENTRIES
    assert source.name == request.node.callspec.params["source"]


def test_it_makes_events_of_what_was_recorded_or_documented(source: RequestSource) -> None:
    assert any(events(source, each) for each in SEEN)


def test_it_names_every_status_of_which_it_makes_events(source: RequestSource) -> None:
    statuses = source.statuses()
    assert all(100 <= status <= 599 for status in statuses)
    for each in SEEN:
        if each.status not in statuses:
            assert events(source, each) == []


def test_its_events_have_the_fields_of_the_catalogue(source: RequestSource) -> None:
    (entry,) = ENTRIES[source.name].events
    for each in SEEN:
        for event in events(source, each):
            assert (event.source, event.event, event.unique) == (source.name, entry.name, entry.unique)
            assert undeclared(event) == []
            assert (event.time, event.scope) == (each.seen_at, decode(each.serialized).scope)


def test_reported_again_its_events_have_the_same_ids(source: RequestSource) -> None:
    for each in SEEN:
        later = msgspec.structs.replace(each, seen_at=each.seen_at + 9)
        ids = [event.id for event in events(source, each)]
        assert ids == [event.id for event in events(source, later)]
        assert len(set(ids)) == len(ids)


def test_nothing_of_the_query_string_or_the_requests_headers_is_in_them(source: RequestSource) -> None:
    for each in SEEN:
        text = msgspec.json.encode(events(source, each))
        assert not any(secret in text for secret in (b"joekey", b"made-up", b"recorder/1.0", b"apikey"))


def test_a_services_own_answer_is_no_event(source: RequestSource) -> None:
    for each in SEEN:
        log = json.loads(each.serialized) | {"source": "upstream", "upstream_status": str(each.status)}
        got = events(source, seen(log, each.status))
        assert got == [] or source.name == "rate-limit-approaching"


def test_sources_without_events_without_the_admin_api_are_reported() -> None:
    telling = {name for name, make in MAKES.items() if any(events(make(UNKNOWN_PLUGINS), each) for each in SEEN)}
    silent = {name for name in MAKES if telling.isdisjoint(matching_sources(name))}
    assert silent == {name for name in MAKES if BY_NAME[name].needs_admin_api}
    hooks = [make_hook(name, source=name) for name in (*MAKES, "crud")]
    assert [line.split(":")[0] for line in hooks_without_admin_api(hooks)] == [
        "service-protection",
        "oas-validation",
        "crud",
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
header_names = st.sampled_from(
    [
        "retry-after",
        "ratelimit-reset",
        "www-authenticate",
        "x-ratelimit-remaining-minute",
        "x-ratelimit-limit-minute",
        "x-ratelimit-remaining-30",
        "x-ratelimit-limit-30",
        "x-ratelimit-remaining-sms-hour",
        "x-ratelimit-limit-sms-hour",
        "x-ratelimit-remaining-",
        "x-ai-ratelimit-retry-after",
        "x-ai-ratelimit-retry-after-30-a",
        "x-ai-ratelimit-remaining-30-a",
        "x-ai-ratelimit-limit-30-a",
        "x-ai-ratelimit-query-cost",
        "x-ai-ratelimit-remaining-",
    ]
)
header_values = st.sampled_from(["0", "5", "1e99", "x", "", "-1", "9" * 30]) | json_values
changes = st.dictionaries(st.sampled_from([*serialized()]), json_values, max_size=3)
tries = st.lists(st.dictionaries(st.sampled_from(["ip", "port", "state", "code", "balancer_latency"]), json_values))


refusers = st.lists(
    st.builds(
        plugin,
        st.sampled_from(
            [
                "rate-limiting",
                "rate-limiting-advanced",
                "service-protection",
                "ai-rate-limiting-advanced",
                "response-ratelimiting",
                "oas-validation",
                "acl",
                "request-termination",
                "my-plugin",
            ]
        ),
        error_code=st.sampled_from([403, 429, 503]),
        hide_client_headers=st.booleans(),
        minute=st.just(5),
        block_on_first_violation=st.booleans(),
    ),
    max_size=4,
)
shown = st.dictionaries(header_names, st.sampled_from(["0", "5"]), max_size=8)


@settings(max_examples=2 * settings().max_examples, deadline=None)
@given(refusers, shown, st.sampled_from([400, 401, 403, 406, 429, 502, 503]), st.booleans(), st.booleans())
def test_a_refusal_is_an_event_of_one_source_at_most(
    plugins: list[dict[str, Any]], headers: dict[str, str], status: int, asked: bool, ruled: bool
) -> None:
    route = {"id": "r-1", "name": "demo-route" if ruled else "other"}
    service = {"id": "s-1", "name": "demo" if ruled else "other"}
    answer = {"response": {"headers": headers}, "upstream_status": "200" if asked else ""}
    each = seen(serialized(route=route, service=service, **answer), status)
    known = plugins_of(*plugins) if plugins else UNKNOWN_PLUGINS
    telling = [name for name, make in MAKES.items() if name != "rate-limit-approaching" and events(make(known), each)]
    assert len(telling) <= 1, telling


@settings(deadline=None)
@given(
    changes,
    st.dictionaries(header_names, header_values, max_size=6),
    tries | json_values,
    st.sampled_from([200, 400, 401, 403, 406, 429, 502, 503, 504, 420]),
)
def test_whatever_a_log_holds_nothing_is_raised(odd: dict[str, Any], headers: Any, tried: Any, status: int) -> None:
    log = serialized(**{"response": {"headers": headers}, "tries": tried, **odd})
    for make in MAKES.values():
        for plugins in (plugins_of(*PLUGINS), plugins_of(plugin("cors"))):
            for event in events(make(plugins), seen(log, status)):
                msgspec.json.encode(event)

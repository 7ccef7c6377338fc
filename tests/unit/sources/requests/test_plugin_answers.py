"""What each plugin can answer with."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sources.requests.plugin_answers import _FIXED, _READERS, Answers, read_plugin
from kong_eventhooks_plugin.sources.requests.plugin_limits import Limit
from tests.support.recorded_logs import plugin_list

# Kong 3.9, kong/constants.lua
BUNDLED = [
    "jwt",
    "acl",
    "correlation-id",
    "cors",
    "oauth2",
    "tcp-log",
    "udp-log",
    "file-log",
    "http-log",
    "key-auth",
    "hmac-auth",
    "basic-auth",
    "ip-restriction",
    "request-transformer",
    "response-transformer",
    "request-size-limiting",
    "rate-limiting",
    "response-ratelimiting",
    "syslog",
    "loggly",
    "datadog",
    "ldap-auth",
    "statsd",
    "bot-detection",
    "aws-lambda",
    "request-termination",
    "prometheus",
    "proxy-cache",
    "session",
    "acme",
    "grpc-gateway",
    "grpc-web",
    "pre-function",
    "post-function",
    "azure-functions",
    "zipkin",
    "opentelemetry",
    "ai-proxy",
    "ai-prompt-decorator",
    "ai-prompt-template",
    "ai-prompt-guard",
    "ai-request-transformer",
    "ai-response-transformer",
    "standard-webhooks",
    "redirect",
]
HANDS_ON = {"aws-lambda", "azure-functions", "ai-request-transformer", "ai-response-transformer"}


def said(name: str, **config: Any) -> Answers:
    answers = read_plugin(name, config)
    assert answers is not None
    return answers


def test_every_plugin_of_the_open_source_kong_is_known_but_those_that_hand_on() -> None:
    assert {name for name in BUNDLED if name not in _FIXED and name not in _READERS} == HANDS_ON


@pytest.mark.parametrize("entry", plugin_list(), ids=lambda entry: entry["name"])
def test_recorded_plugins_are_read(entry: dict[str, Any]) -> None:
    answers = read_plugin(entry["name"], entry["config"])
    assert answers is None or (answers.plugin == entry["name"] and isinstance(hash(answers), int))


class TestRateLimiting:
    def test_by_default(self) -> None:
        got = said("rate-limiting", minute=3, error_code=429, hide_client_headers=False)
        assert got == Answers(
            "rate-limiting", "limit", frozenset({429}), limits=(Limit(3, "minute"),), shows_before=True
        )
        assert got.can_answer(429, asked=False)
        assert not got.can_answer_silently(429, asked=False)
        assert not got.can_answer(429, asked=True)
        assert not got.can_answer(503, asked=False)

    @pytest.mark.parametrize("name", ["rate-limiting", "rate-limiting-advanced", "service-protection"])
    @pytest.mark.parametrize(
        ("code", "status"), [(503, 503), (429.0, 429), (None, 429), (7, 429), ("x", 429), (True, 429)]
    )
    def test_its_status(self, name: str, code: Any, status: int) -> None:
        assert said(name, error_code=code).before == {status}

    def test_hidden(self) -> None:
        assert said("rate-limiting", hide_client_headers=True).can_answer_silently(429, asked=False)


class TestResponseRateLimiting:
    def test_by_default_it_answers_after_the_service_with_headers(self) -> None:
        got = said("response-ratelimiting", limits={"sms": {"hour": 1}})
        assert got.can_answer(429, asked=True)
        assert not got.can_answer_silently(429, asked=True)
        assert not got.can_answer(429, asked=False)

    def test_blocking_at_once_has_no_headers(self) -> None:
        assert said("response-ratelimiting", block_on_first_violation=True).can_answer_silently(429, asked=False)

    def test_hidden(self) -> None:
        got = said("response-ratelimiting", hide_client_headers=True)
        assert got.can_answer_silently(429, asked=True)
        assert not got.can_answer(429, asked=False)


def test_the_ai_plugins_way_to_count() -> None:
    assert said("ai-rate-limiting-advanced", tokens_count_strategy="cost").strategy == "cost"
    assert said("ai-rate-limiting-advanced", tokens_count_strategy=7).strategy is None


@pytest.mark.parametrize(
    ("config", "before", "after"),
    [
        ({}, {400}, set()),
        ({"validate_response_body": True}, {400}, {406}),
        ({"notify_only_request_validation_failure": True}, set(), set()),
        ({"validate_response_body": True, "notify_only_response_body_validation_failure": True}, {400}, set()),
        ({"validate_response_body": True, "notify_only_request_validation_failure": True}, set(), {406}),
    ],
)
def test_oas_validation_answers_nothing_where_it_only_notifies(config: Any, before: set[int], after: set[int]) -> None:
    got = said("oas-validation", **config)
    assert (got.before, got.after) == (before, after)


@pytest.mark.parametrize(
    ("name", "config", "statuses"),
    [
        ("request-termination", {}, {503}),
        ("request-termination", {"status_code": 429, "trigger": "x"}, {429}),
        ("ip-restriction", {"status": None}, {403}),
        ("ip-restriction", {"status": 429}, {429, 403}),
        ("proxy-cache", {"response_code": [200, 429]}, {200, 429, 504}),
        ("proxy-cache", {}, {200, 301, 404, 504}),
        ("key-auth", {}, {401}),
        ("acl", {}, {401, 403}),
    ],
)
def test_configured_statuses(name: str, config: dict[str, Any], statuses: set[int]) -> None:
    assert said(name, **config).before == statuses


def test_functions_answer_in_the_phases_that_have_code() -> None:
    assert read_plugin("pre-function", {"log": ["x"], "access": [], "body_filter": ["x"]}) is None
    before, after = said("pre-function", access=["x"]), said("post-function", header_filter=["x"])
    assert before.can_answer(429, asked=False)
    assert not before.can_answer(429, asked=True)
    # It can make a 429 of another plugin's 418 (seen).
    assert all(after.can_answer_silently(429, asked=asked) for asked in (True, False))


def test_an_unknown_plugin_can_answer_anything() -> None:
    got = said("my-plugin")
    assert all(got.can_answer_silently(status, asked=asked) for status in (200, 429, 599) for asked in (True, False))


@pytest.mark.parametrize("name", ["cors", "event-hooks", "event-hooks-crud", "http-log"])
def test_some_answer_nothing(name: str) -> None:
    assert read_plugin(name, {}) is None


odd = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=3)
    | st.just([[]])
    | st.just({})
)


@given(
    st.sampled_from([*_READERS, *_FIXED, "x"]),
    st.dictionaries(
        st.sampled_from(
            [
                "error_code",
                "status_code",
                "status",
                "response_code",
                "hide_client_headers",
                "limits",
                "access",
                "minute",
            ]
        ),
        odd,
    ),
)
def test_any_config_is_read(name: str, config: dict[str, Any]) -> None:  # fmt: skip
    answers = read_plugin(name, config)
    assert answers is None or all(
        100 <= status <= 599
        for status in (answers.before or ())
        if name != "proxy-cache" and name != "proxy-cache-advanced"
    )

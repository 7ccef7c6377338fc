"""rate-limiting-advanced, ai-rate-limiting-advanced and service-protection.

No open-source Kong can produce these: logs and plugins are WRITTEN FROM THE PUBLIC DOCUMENTATION (enterprise_logs.py).
"""

from typing import Any

import pytest

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.requests.ai_rate_headers import by_ai_rate_limiting
from kong_eventhooks_plugin.sources.requests.ai_rate_limiting_advanced import AiRateLimitingAdvanced
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.infer import InferRule
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog, LogResponse
from kong_eventhooks_plugin.sources.requests.rate_headers import ExceededLimit
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from kong_eventhooks_plugin.sources.requests.rate_limiting_advanced import RateLimitingAdvanced
from kong_eventhooks_plugin.sources.requests.response_rate_limiting import ResponseRateLimiting
from kong_eventhooks_plugin.sources.requests.service_protection import ServiceProtection
from tests.support.enterprise_logs import (
    documented_advanced_refusal,
    documented_ai_plugin,
    documented_ai_refusal,
    documented_windows_plugin,
)
from tests.support.events import events, refused, seen, serialized
from tests.support.recorded_logs import plugin, plugins_of

SOURCES = (RateLimiting, ResponseRateLimiting, RateLimitingAdvanced, AiRateLimitingAdvanced, ServiceProtection)
SILENT = {"status": 429, "headers": {"content-type": "application/json"}}


def made(log: dict[str, Any], *plugins: dict[str, Any], status: int = 429, rules: Any = ()) -> list[Event]:
    """What all sources together make of it, asked as the dispatcher does."""
    options: tuple[Any, ...] = (rules, plugins_of(*plugins)) if plugins else (rules,)
    attribution = Attribution(*options)
    sources = [source(attribution) for source in SOURCES]
    return [event for each in sources if status in each.statuses() for event in events(each, seen(log, status))]


def made_by(*args: Any, **options: Any) -> list[tuple[str, Any, Any, str]]:
    return [
        (event.source, event.data["limit"], event.data["window"], event.data["attributed"])
        for event in made(*args, **options)
    ]


class TestAdvanced:
    PLUGIN = documented_windows_plugin("rate-limiting-advanced")

    def test_documented_refusal(self) -> None:
        (event,) = made(documented_advanced_refusal(("30", 3)), self.PLUGIN)
        assert (event.source, event.unique) == ("rate-limiting-advanced", ("consumer", "ip", "service"))
        assert {name: event.data[name] for name in ("rate", "limit", "window", "retry_after", "attributed")} == {
            "rate": 4, "limit": 3, "window": "30", "retry_after": 38, "attributed": "headers",
        }  # fmt: skip

    def test_the_same_headers_are_rate_limitings_where_that_runs_or_nothing_is_known(self) -> None:
        log = documented_advanced_refusal(("minute", 3))
        assert made_by(log) == [("rate-limiting", 3, "minute", "headers")]
        assert made_by(log, plugin("rate-limiting", minute=3)) == [("rate-limiting", 3, "minute", "headers")]
        assert made_by(log, plugin("cors")) == [("rate-limiting", 3, "minute", "headers")]
        assert made_by(log, self.PLUGIN) == [("rate-limiting-advanced", 3, "minute", "headers")]

    def test_of_two_on_the_request_it_is_the_one_with_such_a_limit(self) -> None:
        log = documented_advanced_refusal(("minute", 5))
        advanced = documented_windows_plugin("rate-limiting-advanced", limit=[5], window_size=[60])
        assert made_by(log, advanced, plugin("rate-limiting", minute=3))[0][0] == "rate-limiting-advanced"
        assert made_by(log, advanced, plugin("rate-limiting", minute=5))[0][0] == "rate-limiting"
        assert made_by(log, self.PLUGIN, plugin("rate-limiting", minute=5))[0][0] == "rate-limiting"

    def test_of_several_windows_the_longest(self) -> None:
        log = documented_advanced_refusal(("minute", 10), ("90", 12), ("second", 1))
        assert made_by(log, self.PLUGIN) == [("rate-limiting-advanced", 12, "90", "headers")]

    def test_jitter_delays_retry_after(self) -> None:
        log = documented_advanced_refusal(("30", 3), reset="38", retry_after="43")
        assert made(log, self.PLUGIN)[0].data["retry_after"] == 43

    def test_let_through_is_no_event(self) -> None:
        log = documented_advanced_refusal(("30", 3))
        del log["response"]["headers"]["retry-after"]
        assert made(log, self.PLUGIN) == []

    def test_hidden_and_with_another_status(self) -> None:
        hidden = documented_windows_plugin("rate-limiting-advanced", hide_client_headers=True, error_code=420)
        log = serialized(response={"status": 420, "headers": {}})
        assert made_by(log, hidden, status=420) == [("rate-limiting-advanced", 3, "30", "plugins")]
        assert made_by(log, status=420) == []

    def test_a_rule_means_the_one_on_the_request(self) -> None:
        both = (documented_windows_plugin("rate-limiting-advanced", hide_client_headers=True), plugin("my-plugin"))
        rules = [InferRule("service", "demo")]
        assert made_by(serialized(response=SILENT), *both, rules=rules) == [
            ("rate-limiting-advanced", None, None, "inferred")
        ]


class TestServiceProtection:
    PLUGIN = documented_windows_plugin("service-protection")

    def test_documented_refusal(self) -> None:
        (event,) = made(documented_advanced_refusal(("30", 3)), self.PLUGIN)
        assert (event.source, event.event, event.unique) == ("service-protection", "rate-limit-exceeded", ("service",))
        assert event.data == {
            "service": {
                "id": "s-1", "name": "demo", "host": "127.0.0.1", "port": 9190, "protocol": "http", "path": "/a",
            },
            "rate": 4,
            "limit": 3,
            "window": "30",
            "route": {"id": "r-1", "name": "demo-route"},
            "request": {"method": "GET", "path": "/demo/x", "id": "699a6f5b9b02ad58255431437282bb62"},
            "node": {"id": None, "hostname": None},
            "retry_after": 38,
            "attributed": "headers",
        }  # fmt: skip

    def test_beside_rate_limiting_it_is_the_one_whose_limit_broke(self) -> None:
        mine = documented_windows_plugin("service-protection", limit=[100], window_size=[60])
        other = plugin("rate-limiting", minute=3)
        assert made_by(documented_advanced_refusal(("minute", 100)), mine, other)[0][0] == "service-protection"
        assert made_by(documented_advanced_refusal(("minute", 3)), mine, other)[0][0] == "rate-limiting"

    def test_hidden(self) -> None:
        hidden = documented_windows_plugin("service-protection", hide_client_headers=True)
        assert made_by(serialized(response=SILENT), hidden) == [("service-protection", 3, "30", "plugins")]
        assert made_by(serialized(response=SILENT), hidden, plugin("rate-limiting", hide_client_headers=True)) == []


class TestAi:
    def test_documented_refusal(self) -> None:
        (event,) = made(documented_ai_refusal(x_ai_ratelimit_query_cost="100"), documented_ai_plugin())
        assert (event.source, event.unique) == ("ai-rate-limiting-advanced", ("consumer", "ip", "service"))
        got = {name: event.data[name] for name in list(event.data)[3:] if name not in ("route", "request", "node")}
        assert got == {
            "rate": None, "limit": 1000, "window": "30", "retry_after": 1500, "attributed": "headers",
            "provider": "azure", "strategy": "total_tokens", "query_cost": 100,
        }  # fmt: skip

    def test_its_headers_are_its_own_so_that_nothing_else_need_be_known(self) -> None:
        (event,) = made(documented_ai_refusal())
        assert (event.data["limit"], event.data["provider"], event.data["strategy"]) == (1000, "azure", None)

    def test_hidden_headers_leave_the_time_to_come_back(self) -> None:
        (event,) = made(documented_ai_refusal(hidden=True))
        assert (event.data["limit"], event.data["window"], event.data["provider"]) == (None, "30", "azure")
        (event,) = made(documented_ai_refusal(hidden=True), documented_ai_plugin(hide_client_headers=True))
        assert (event.data["limit"], event.data["retry_after"], event.data["attributed"]) == (1000, 1500, "headers")

    def test_without_any_header_it_is_known_by_the_plugins(self) -> None:
        hidden = documented_ai_plugin(hide_client_headers=True, llm_providers=[
            {"name": "requestPrompt", "limit": [5], "window_size": [60]}])  # fmt: skip
        (event,) = made(serialized(response=SILENT), hidden, plugin("ai-proxy", model={}))
        assert (event.source, event.data["attributed"]) == ("ai-rate-limiting-advanced", "plugins")
        assert (event.data["limit"], event.data["window"], event.data["provider"]) == (5, "minute", "requestprompt")

    def test_what_remains_elsewhere_is_not_exceeded(self) -> None:
        both = documented_ai_refusal(x_ai_ratelimit_remaining_40_cohere="0")
        (event,) = made(both)
        assert (event.data["window"], event.data["provider"]) == ("40", "cohere")  # the longer one

    def test_a_request_termination_behind_it_is_not_its_event(self) -> None:
        passed = documented_ai_refusal()
        headers = passed["response"]["headers"]
        headers["x-ai-ratelimit-remaining-30-azure"] = "950"
        assert made(passed, documented_ai_plugin(), plugin("request-termination", status_code=429)) == []

    def test_its_refusal_is_not_rate_limitings_that_let_its_last_through(self) -> None:
        log = documented_ai_refusal()
        log["response"]["headers"] |= refused(minute=3)
        assert [event.source for event in made(log)] == ["ai-rate-limiting-advanced"]

    def test_an_answer_of_the_model_is_not(self) -> None:
        assert made(documented_ai_refusal() | {"source": "upstream", "upstream_status": "429"}) == []
        assert made(documented_ai_refusal() | {"upstream_status": "429"}) == []


class TestAiHeaders:
    @staticmethod
    def read(**headers: str) -> ExceededLimit | None:
        named = {f"x-ai-ratelimit-{name.replace('_', '-')}": value for name, value in headers.items()}
        return by_ai_rate_limiting(KongLog(source="kong", response=LogResponse(named)))

    def test_windows_may_have_names_and_providers_dashes(self) -> None:
        got = self.read(limit_minute_my_model="5", remaining_minute_my_model="0", retry_after="7")
        assert got == ExceededLimit(5, "minute", "my-model", 7)

    def test_its_own_time_counts_before_the_answers(self) -> None:
        got = self.read(limit_30_a="5", remaining_30_a="0", retry_after="9", retry_after_30_a="7")
        assert got is not None
        assert got.retry_after == 7

    def test_it_never_answers_after_the_service_did(self) -> None:
        headers = {"x-ai-ratelimit-remaining-30-a": "0", "x-ai-ratelimit-retry-after": "5"}
        assert by_ai_rate_limiting(KongLog(upstream_status="", response=LogResponse(headers))) is not None
        assert by_ai_rate_limiting(KongLog(response=LogResponse(headers), asked_service=True)) is None

    def test_the_first_provider_of_two(self) -> None:
        got = self.read(remaining_30_b="0", limit_30_b="5", remaining_30_a="0", limit_30_a="4", retry_after="9")
        assert got == ExceededLimit(4, "30", "a", 9)

    @pytest.mark.parametrize(
        "headers",
        [
            {"remaining_30_a": "0"},  # no time for a retry
            {"retry_after": "5"},
            {"retry_after": "5", "remaining_x_a": "0"},
            {"retry_after": "5", "remaining_30": "0"},
            {"retry_after": "5", "remaining_30_a": "x"},
            {"retry_after_30": "5"},
            {"retry_after_30_a": "5", "remaining_30_a": "3"},
        ],
    )
    def test_what_proves_nothing(self, headers: dict[str, str]) -> None:
        assert self.read(**headers) is None

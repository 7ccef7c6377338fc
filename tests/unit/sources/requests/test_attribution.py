"""Which limit an answer exceeded: by headers, by the plugins on the request, by a rule."""

from typing import Any

import pytest

from kong_eventhooks_plugin.sources.requests.attribution import Attribution, LimitVerdict
from kong_eventhooks_plugin.sources.requests.infer import InferRule
from kong_eventhooks_plugin.sources.requests.kong_log import decode
from kong_eventhooks_plugin.sources.requests.rate_headers import ExceededLimit
from tests.support.events import answered, refused, seen, serialized
from tests.support.recorded_logs import plugin, plugins_of

SILENT: dict[str, Any] = {"status": 429, "headers": {"content-type": "application/json"}}
RULE = InferRule("route", "demo-route")


def verdict(log: dict[str, Any], *plugins: dict[str, Any], status: int = 429, rules: Any = ()) -> LimitVerdict | None:
    index = plugins_of(*(plugins or [plugin("cors")]))
    return Attribution(rules, index).verdict(decode(seen(log).serialized), status)


def limiting(name: str = "rate-limiting", **fields: Any) -> dict[str, Any]:
    return plugin(name, **({"hide_client_headers": True, "minute": 3, "service": "s-1"} | fields))


def test_the_same_headers_mean_another_limit_under_another_status_plugins_or_rule() -> None:
    log, headers = serialized(response=SILENT), {"retry-after": "7", "x-ratelimit-limit-day": "9"}
    for _ in range(2):  # what the last one was may not be taken for the next one's
        assert verdict(log) is None
        assert verdict(log, limiting()) == LimitVerdict("rate-limiting", ExceededLimit(3, "minute"), "plugins")
        assert verdict(log | {"upstream_status": "200"}, limiting()) is None
        assert verdict(log, limiting(), status=503) is None
        assert verdict(log, rules=[RULE]) == LimitVerdict("rate-limiting", None, "inferred")
        assert verdict(log | {"response": {"status": 429, "headers": headers | refused(day=9)}}) == LimitVerdict(
            "rate-limiting", ExceededLimit(9, "day", retry_after=5), "headers"
        )


class TestWithoutHeaders:
    LOG = serialized(response=SILENT)

    def test_the_only_plugin_that_can_have_answered(self) -> None:
        got = verdict(self.LOG, limiting(), plugin("key-auth"), plugin("acl", allow=["x"]))
        assert got == LimitVerdict("rate-limiting", ExceededLimit(3, "minute"), "plugins")

    @pytest.mark.parametrize(
        "other",
        [
            plugin("request-termination", status_code=429, trigger="x-stop"),
            plugin("pre-function", access=["return"]),
            plugin("post-function", header_filter=["return"]),
            plugin("my-plugin"),
            plugin("proxy-cache", response_code=[200, 429]),
            plugin("ip-restriction", status=429),
            limiting("response-ratelimiting", block_on_first_violation=True),
            limiting("rate-limiting-advanced", limit=[3], window_size=[60]),
        ],
        ids=lambda other: other["name"],
    )
    def test_two_that_can_are_one_too_many(self, other: dict[str, Any]) -> None:
        assert verdict(self.LOG, limiting(), other) is None

    @pytest.mark.parametrize(
        "other",
        [
            plugin("request-termination", status_code=503),
            plugin("pre-function", log=["return"]),
            plugin("post-function", body_filter=["return"]),
            plugin("my-plugin", route="elsewhere"),
            plugin("my-plugin", enabled=False),
            limiting("response-ratelimiting", hide_client_headers=True),  # after the service
            limiting("ai-rate-limiting-advanced", hide_client_headers=False),  # it would have shown it
            limiting("rate-limiting-advanced", error_code=503),
        ],
        ids=lambda other: other["name"],
    )
    def test_one_that_cannot_have_answered_so_does_not_count(self, other: dict[str, Any]) -> None:
        got = verdict(self.LOG, limiting(), other)
        assert got is not None
        assert got.source == "rate-limiting"

    def test_one_that_shows_its_headers_did_not_answer_without(self) -> None:
        assert verdict(self.LOG, limiting(hide_client_headers=False)) is None

    def test_a_plugin_that_is_no_limit_is_none(self) -> None:
        assert verdict(self.LOG, plugin("request-termination", status_code=429)) is None

    def test_the_most_specific_instance_counts(self) -> None:
        shown = limiting(hide_client_headers=False, route="r-1")
        assert verdict(self.LOG, limiting(), shown) is None
        assert verdict(self.LOG, limiting(), limiting(consumer="c-1", minute=7, service="s-1")) == LimitVerdict(
            "rate-limiting", ExceededLimit(7, "minute"), "plugins"
        )

    def test_the_limit_is_known_only_where_there_is_one(self) -> None:
        assert verdict(self.LOG, limiting(hour=9)) == LimitVerdict("rate-limiting", None, "plugins")

    def test_where_groups_leave_it_open_the_limit_is_known_only_where_all_agree(self) -> None:
        group = limiting(consumer_group="gold", service="s-1")
        assert verdict(self.LOG, limiting(), group) == LimitVerdict(
            "rate-limiting", ExceededLimit(3, "minute"), "plugins"
        )
        other = limiting(consumer_group="gold", service="s-1", minute=100)
        assert verdict(self.LOG, limiting(), other) == LimitVerdict("rate-limiting", None, "plugins")

    @pytest.mark.parametrize("consumer", [None, {"id": "c-1"}])
    def test_what_runs_for_a_group_may_have_answered(self, consumer: Any) -> None:
        log = serialized(response=SILENT, consumer=consumer)
        terminates = plugin("request-termination", status_code=429, consumer_group="blocked")
        assert verdict(log, limiting(), terminates) is None
        only = verdict(log, limiting("rate-limiting-advanced", limit=[9], window_size=[60], consumer_group="gold"))
        assert only == LimitVerdict("rate-limiting-advanced", ExceededLimit(9, "minute"), "plugins")

    def test_a_configured_status(self) -> None:
        log = serialized(response={"status": 420, "headers": {}})
        assert verdict(log, limiting(error_code=420), status=420) == LimitVerdict(
            "rate-limiting", ExceededLimit(3, "minute"), "plugins"
        )
        assert verdict(log, limiting(), status=420) is None

    @pytest.mark.parametrize("status", [400, 404, 503])
    def test_a_status_that_kong_answers_by_itself_is_never_certain(self, status: int) -> None:
        log = serialized(response={"status": status, "headers": {}})
        assert verdict(log, limiting(error_code=status), status=status) is None
        ruled = verdict(log, limiting(error_code=status), status=status, rules=[InferRule("service", "demo", status)])
        assert ruled == LimitVerdict("rate-limiting", None, "inferred")

    def test_after_the_service_it_is_response_ratelimitings(self) -> None:
        log = answered(response=SILENT)
        hidden = plugin("response-ratelimiting", hide_client_headers=True, limits={"sms": {"hour": 1}})
        assert verdict(log, hidden, limiting()) == LimitVerdict(
            "response-ratelimiting", ExceededLimit(1, "hour", "sms"), "plugins"
        )
        assert verdict(log, hidden, plugin("post-function", header_filter=["return"])) is None
        assert verdict(log, limiting()) is None

    def test_before_the_service_too_where_it_blocks(self) -> None:
        blocks = plugin("response-ratelimiting", block_on_first_violation=True, limits={"sms": {"hour": 1}})
        got = verdict(self.LOG, blocks, limiting(hide_client_headers=False))
        assert got == LimitVerdict("response-ratelimiting", ExceededLimit(1, "hour", "sms"), "plugins")

    def test_what_the_service_answered_is_not_kongs(self) -> None:
        assert verdict(self.LOG | {"source": "upstream"}, limiting(), rules=[RULE]) is None


class TestRules:
    LOG = serialized(response=SILENT)

    def test_they_speak_where_plugins_leave_it_open(self) -> None:
        assert verdict(self.LOG, limiting(), plugin("my-plugin"), rules=[RULE]) == LimitVerdict(
            "rate-limiting", None, "inferred"
        )

    def test_they_belong_to_the_only_limit_on_the_request(self) -> None:
        advanced = limiting("rate-limiting-advanced", limit=[3], window_size=[60])
        got = verdict(self.LOG, advanced, plugin("my-plugin"), rules=[RULE])
        assert got == LimitVerdict("rate-limiting-advanced", None, "inferred")
        assert verdict(self.LOG, advanced, limiting(), rules=[RULE]) == LimitVerdict("rate-limiting", None, "inferred")

    def test_what_is_certain_goes_first(self) -> None:
        got = verdict(self.LOG, limiting(), rules=[RULE])
        assert got is not None
        assert got.attributed == "plugins"


class TestHeaders:
    def test_they_go_before_plugins(self) -> None:
        termination = plugin("request-termination", status_code=429)
        theirs = LimitVerdict("rate-limiting", ExceededLimit(3, "minute", retry_after=5), "headers")
        assert verdict(serialized(), termination, plugin("my-plugin"), limiting(hide_client_headers=False)) == theirs
        assert verdict(serialized(), termination) == theirs  # the list of plugins is old

    def test_they_prove_nothing_beside_a_plugin_that_can_forge_them(self) -> None:
        for forger in (plugin("my-plugin"), plugin("pre-function", access=["..."])):
            assert verdict(serialized(), forger) is None
            assert verdict(serialized(), forger, limiting(hide_client_headers=False, minute=4)) is None

    def test_limits_that_are_unknown_cannot_be_compared(self) -> None:
        groups = limiting("rate-limiting-advanced", hide_client_headers=False, limit=[9], window_size=[60],
                          enforce_consumer_groups=True)  # fmt: skip
        got = verdict(serialized(), groups, plugin("my-plugin"))
        assert got == LimitVerdict("rate-limiting-advanced", ExceededLimit(3, "minute", retry_after=5), "headers")

    def test_a_configured_status_counts(self) -> None:
        shown = limiting(hide_client_headers=False, error_code=503)
        log = serialized(response={"status": 503, "headers": refused(minute=3)})
        assert verdict(log, shown, status=503) == LimitVerdict(
            "rate-limiting", ExceededLimit(3, "minute", retry_after=5), "headers"
        )
        assert verdict(log, status=503) is None


class CountedPlugins:
    """The plugins in force, and how often they were asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self._index = plugins_of(limiting())

    def on(self, *ids: str | None) -> Any:
        self.asked += 1
        return self._index.on(*ids)

    def every(self) -> Any:
        return self._index.every()


class TestSharing:
    def test_a_verdict_is_reached_once_for_all_sources(self) -> None:
        plugins = CountedPlugins()
        attribution = Attribution([RULE], plugins)
        log = decode(seen(serialized(response=SILENT)).serialized)
        told = [attribution.verdict(log, 429) for _ in range(5)]
        assert told == [LimitVerdict("rate-limiting", ExceededLimit(3, "minute"), "plugins")] * 5
        assert plugins.asked == 1

    def test_no_verdict_is_reached_once_as_well(self) -> None:
        plugins = CountedPlugins()
        attribution = Attribution((), plugins)
        log = decode(seen(serialized(response={"status": 401, "headers": {}})).serialized)
        assert [attribution.verdict(log, 401) for _ in range(3)] == [None] * 3
        assert plugins.asked == 1

    def test_every_request_and_every_status_has_a_verdict_of_its_own(self) -> None:
        attribution = Attribution((), plugins_of(limiting()))
        silent = decode(seen(serialized(response=SILENT)).serialized)
        other = decode(seen(serialized(response=SILENT) | {"source": "upstream"}).serialized)
        verdicts = [
            attribution.verdict(log, status)
            for log, status in ((silent, 429), (silent, 420), (other, 429), (silent, 429))
        ]
        assert [each and each.attributed for each in verdicts] == ["plugins", None, None, "plugins"]


class TestStatuses:
    def test_they_follow_the_plugins(self) -> None:
        index = plugins_of(limiting(error_code=420), limiting("rate-limiting-advanced", error_code=503, route="x"))
        attribution = Attribution([InferRule("route", "x", 403)], index)
        assert attribution.statuses("rate-limiting") == {403, 420, 429}
        assert attribution.statuses("rate-limiting-advanced") == {429, 503}
        assert attribution.statuses("service-protection") == {429}
        index.replace_list(index.listed([]))
        assert attribution.statuses("rate-limiting") == {403, 429}

"""Which limit broke, as the headers of Kong's two plugins say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sources.requests.kong_log import KongLog, LogResponse
from kong_eventhooks_plugin.sources.requests.rate_headers import (
    WINDOWS,
    ExceededLimit,
    by_rate_limiting,
    by_response_rate_limiting,
    shows_limits,
)
from tests.support.events import refused

SMS = {"x-ratelimit-limit-sms-minute": "1", "x-ratelimit-remaining-sms-minute": "0", "x-ratelimit-remaining-sms": "0"}


def limits(windows: dict[str, int]) -> dict[str, str]:
    return refused("5", **windows)


def before_service(headers: dict[str, Any]) -> KongLog:
    return KongLog(source="kong", upstream_status="", response=LogResponse(headers))


def after_service(headers: dict[str, Any]) -> KongLog:
    return KongLog(source="kong", upstream_status="200", response=LogResponse(headers), asked_service=True)


class TestRateLimiting:
    @pytest.mark.parametrize("window", WINDOWS)
    def test_every_window(self, window: str) -> None:
        broken = by_rate_limiting(before_service(limits({window: 3})))
        assert broken == ExceededLimit(3, window, None, 5)
        assert broken.rate == 4

    @pytest.mark.parametrize("longer", range(len(WINDOWS) - 1))
    def test_of_several_the_longest(self, longer: int) -> None:
        windows = dict.fromkeys(WINDOWS[longer:], 10)
        broken = by_rate_limiting(before_service(limits(windows)))
        assert broken is not None
        assert broken.window == WINDOWS[longer]

    def test_a_longer_window_that_has_room_did_not_break(self) -> None:
        headers = refused(minute=2) | {"x-ratelimit-limit-hour": "100", "x-ratelimit-remaining-hour": "98"}
        assert by_rate_limiting(before_service(headers)) == ExceededLimit(2, "minute", None, 5)

    def test_without_retry_after_the_request_was_let_through(self) -> None:
        headers = refused(minute=3)
        del headers["retry-after"]
        assert by_rate_limiting(before_service(headers)) is None

    def test_without_any_time_to_come_back_either(self) -> None:
        headers = {"x-ratelimit-limit-minute": "3", "x-ratelimit-remaining-minute": "0"}
        assert by_rate_limiting(before_service(headers)) is None

    def test_a_retry_after_of_another_plugin_proves_nothing(self) -> None:
        assert by_rate_limiting(before_service(refused(minute=3) | {"retry-after": "120"})) is None

    def test_a_reset_header_that_somebody_removed_is_not_needed(self) -> None:
        headers = refused(minute=3)
        del headers["ratelimit-reset"]
        assert by_rate_limiting(before_service(headers)) == ExceededLimit(3, "minute", None, 5)

    def test_it_never_answers_after_the_service_did(self) -> None:
        assert by_rate_limiting(after_service(refused(minute=3))) is None

    def test_a_remainder_without_its_limit_is_not_kongs(self) -> None:
        headers = refused(minute=3)
        del headers["x-ratelimit-limit-minute"]
        assert by_rate_limiting(before_service(headers)) is None

    @pytest.mark.parametrize(
        ("text", "limit", "rate"), [("3", 3, 4), ("2.5", 2.5, 4), ("1e+15", 10**15, 10**15 + 1), ("7.0", 7, 8)]
    )
    def test_limits_as_lua_writes_them(self, text: str, limit: float, rate: int) -> None:
        broken = by_rate_limiting(before_service(refused(minute=1) | {"x-ratelimit-limit-minute": text}))
        assert broken is not None
        assert (broken.limit, broken.rate, type(broken.limit)) == (limit, rate, type(limit))

    @pytest.mark.parametrize(
        "text",
        ["", "0", "-3", "x", "1_0", " 3", "3 ", "٣", "nan", "inf", "1e99", "9" * 30, "9" * 5000, "0x10", "3;w=60"],
    )
    def test_what_is_no_limit_is_not_read(self, text: str) -> None:
        assert by_rate_limiting(before_service(refused(minute=1) | {"x-ratelimit-limit-minute": text})) is None

    @pytest.mark.parametrize(("text", "seconds"), [("5", 5), ("x", None), ("-5", None), ("", None), ("9" * 30, None)])
    def test_retry_after_is_in_seconds(self, text: str, seconds: int | None) -> None:
        broken = by_rate_limiting(before_service(refused(text, minute=3)))
        assert broken is not None
        assert broken.retry_after == seconds

    def test_repeated_headers_count_by_their_first_value(self) -> None:
        headers: dict[str, Any] = {name: [value, "9"] for name, value in refused(minute=3).items()}
        assert by_rate_limiting(before_service(headers)) == ExceededLimit(3, "minute", None, 5)


class TestResponseRateLimiting:
    def test_a_named_limit(self) -> None:
        assert by_response_rate_limiting(after_service(SMS)) == ExceededLimit(1, "minute", "sms")

    def test_it_never_answers_before_the_service_did(self) -> None:
        assert by_response_rate_limiting(before_service(SMS)) is None

    @pytest.mark.parametrize("name", ["sms", "sms-eu", "minute", "a-minute-b", "x-ratelimit", "limit-"])
    def test_names_may_hold_anything(self, name: str) -> None:
        headers = {f"x-ratelimit-limit-{name}-hour": "9", f"x-ratelimit-remaining-{name}-hour": "0"}
        assert by_response_rate_limiting(after_service(headers)) == ExceededLimit(9, "hour", name)

    def test_of_several_the_longest_window_then_the_first_name(self) -> None:
        headers: dict[str, str] = {}
        for name, window in [("a", "minute"), ("c", "day"), ("b", "day"), ("d", "hour")]:
            headers |= {f"x-ratelimit-limit-{name}-{window}": "2", f"x-ratelimit-remaining-{name}-{window}": "0"}
        assert by_response_rate_limiting(after_service(headers)) == ExceededLimit(2, "day", "b")

    def test_what_this_answer_used_up_is_not_exceeded_yet(self) -> None:
        mail = {
            "x-ratelimit-limit-mail-year": "9",
            "x-ratelimit-remaining-mail-year": "0",
            "x-ratelimit-remaining-mail": "2",
        }
        assert by_response_rate_limiting(after_service(SMS | mail)) == ExceededLimit(1, "minute", "sms")

    def test_it_may_have_been_overdrawn(self) -> None:
        assert by_response_rate_limiting(after_service(SMS | {"x-ratelimit-remaining-sms": "-4"})) is not None

    def test_kong_before_3_8_does_not_say_what_remained_before(self) -> None:
        headers = {name: value for name, value in SMS.items() if name != "x-ratelimit-remaining-sms"}
        assert by_response_rate_limiting(after_service(headers)) == ExceededLimit(1, "minute", "sms")

    def test_room_is_room(self) -> None:
        assert by_response_rate_limiting(after_service(SMS | {"x-ratelimit-remaining-sms-minute": "1"})) is None

    def test_headers_of_rate_limiting_beside_it_are_not_its_own(self) -> None:
        assert by_response_rate_limiting(after_service(refused(minute=3))) is None
        assert by_response_rate_limiting(after_service(refused(hour=3) | SMS)) == ExceededLimit(1, "minute", "sms")


def test_windows_are_all_of_kongs_longest_first() -> None:
    assert WINDOWS == ("year", "month", "day", "hour", "minute", "second")


def test_visible_limits() -> None:
    assert shows_limits(before_service({"x-ratelimit-limit-hour": "9"}))
    assert not shows_limits(before_service({"x-ratelimit-limit-sms-hour": "9", "retry-after": "5"}))


header_names = st.sampled_from(
    [
        "retry-after",
        "ratelimit-reset",
        *limits(dict.fromkeys(WINDOWS, 1)),
        *SMS,
        "x-ratelimit-remaining--minute",
        "x-ratelimit-remaining-",
        "x-ratelimit-limit-",
    ]
) | st.text(max_size=30).map("x-ratelimit-remaining-".__add__)
header_values = (
    st.sampled_from(["0", "1", "5", "-0", "00", ""])
    | st.text(max_size=8)
    | st.floats()
    | st.integers()
    | st.none()
    | st.booleans()
    | st.lists(st.text(max_size=3) | st.lists(st.text(max_size=1)), max_size=2)
    | st.dictionaries(st.text(max_size=2), st.none(), max_size=1)
)


@given(st.dictionaries(header_names, header_values, max_size=10), st.booleans())
def test_any_headers_are_read_without_error(headers: dict[str, Any], asked: bool) -> None:
    log = after_service(headers) if asked else before_service(headers)
    for broken in (by_rate_limiting(log), by_response_rate_limiting(log)):
        if broken is not None:
            assert broken.window in WINDOWS
            assert 0 < broken.limit <= 2**53
            assert broken.limit < broken.rate <= broken.limit + 2
            assert broken.retry_after is None or broken.retry_after >= 0
    assert by_rate_limiting(log) is None or by_response_rate_limiting(log) is None


@given(st.dictionaries(st.sampled_from(WINDOWS), st.tuples(st.integers(1, 9), st.integers(0, 2)), min_size=1))
def test_the_exceeded_window_is_the_longest_that_is_used_up(windows: dict[str, tuple[int, int]]) -> None:
    headers = {"retry-after": "9", "ratelimit-reset": "9"}
    for window, (limit, left) in windows.items():
        headers |= {f"x-ratelimit-limit-{window}": str(limit), f"x-ratelimit-remaining-{window}": str(left)}
    seconds = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": 2_592_000, "year": 31_536_000}
    used_up = sorted((window for window, (_, left) in windows.items() if left == 0), key=lambda each: seconds[each])
    broken = by_rate_limiting(before_service(headers))
    assert (broken and broken.window) == (used_up[-1] if used_up else None)


def test_a_window_in_seconds_does_not_hide_rate_limitings_own() -> None:
    headers = refused(minute=3) | {"x-ratelimit-limit-86400": "9", "x-ratelimit-remaining-86400": "0"}
    exceeded = by_rate_limiting(KongLog(response=LogResponse(headers=headers)))
    assert exceeded == ExceededLimit(3, "minute", retry_after=5)

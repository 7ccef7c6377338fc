"""The limits in a plugin's configuration."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sources.requests.plugin_limits import (
    LIMITS,
    SECONDS,
    Limit,
    of_names,
    of_periods,
    of_providers,
    of_windows,
    seconds_of,
    window_of,
)


def test_periods_are_rate_limitings() -> None:
    config = {"second": None, "minute": 3, "hour": 2.5, "day": 7.0, "policy": "local"}
    assert set(of_periods(config)) == {Limit(3, "minute"), Limit(2.5, "hour"), Limit(7, "day")}
    assert all(type(each.limit) is int for each in of_periods({"day": 7.0}))


def test_names_are_response_ratelimitings() -> None:
    config = {"limits": {"sms": {"minute": 3, "hour": None}, "mail": {"day": 1}}}
    assert set(of_names(config)) == {Limit(3, "minute", "sms"), Limit(1, "day", "mail")}


def test_windows_are_enterprises() -> None:
    config = {"limit": [10, 100, 5], "window_size": [60, 3600, 30]}
    assert of_windows(config) == (Limit(10, "minute"), Limit(100, "hour"), Limit(5, "30"))


def test_providers_are_those_of_the_ai_plugin() -> None:
    config: dict[str, Any] = {
        "llm_providers": [
            {"name": "azure", "limit": [1000, 5], "window_size": [30, 60]},
            {"name": "cohere", "limit": 7, "window_size": 86400},  # as in 3.7 and 3.8
        ]
    }
    assert of_providers(config) == (Limit(1000, "30", "azure"), Limit(5, "minute", "azure"), Limit(7, "day", "cohere"))
    policies = {"policies": [{"match": [], "limits": [{"limit": 100, "window_size": 60}]}]}  # as in 3.14
    assert of_providers(policies) == (Limit(100, "minute"),)


def test_more_than_are_of_use_are_none() -> None:
    assert len(of_windows({"limit": [1] * LIMITS, "window_size": [60] * LIMITS})) == LIMITS
    assert of_windows({"limit": [1] * (LIMITS + 1), "window_size": [60] * (LIMITS + 1)}) == ()


@pytest.mark.parametrize(("window", "seconds"), [*SECONDS.items(), ("30", 30), ("31536000", 31536000)])
def test_a_windows_length(window: str, seconds: int) -> None:
    assert seconds_of(window) == seconds
    assert seconds_of(window_of(seconds)) == seconds


@pytest.mark.parametrize("window", ["", "0", "-1", "sms", "sms-minute", "٣", "9" * 10, "1.5", " 1"])
def test_what_is_no_window(window: str) -> None:
    assert seconds_of(window) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["limit", "window_size", "limits", "llm_providers", "policies", "minute", "name"])


@given(st.dictionaries(fields, json_values | st.lists(st.dictionaries(fields, json_values, max_size=3), max_size=2)))
def test_any_config_is_read(config: dict[str, Any]) -> None:
    for read in (of_periods, of_names, of_windows, of_providers):
        for limit in read(config):
            assert limit.limit > 0
            assert seconds_of(limit.window) is not None
        hash(read(config))

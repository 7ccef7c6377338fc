"""The source ``rate-limit-approaching``: how much of a window is used."""

from typing import Any

import pytest

from kong_eventhooks_plugin.dispatch.digest import digest
from kong_eventhooks_plugin.sources.requests.attribution import HEADERS_ALONE, Attribution
from kong_eventhooks_plugin.sources.requests.rate_limit_approaching import WINDOWS, RateLimitApproaching
from tests.support.events import events, refused, seen, serialized
from tests.support.recorded_logs import plugin, plugins_of


def passed(status: int = 200, /, answered: dict[str, Any] | None = None, **windows: tuple[Any, Any]) -> dict[str, Any]:
    """An answer of the service; a window is (remaining, limit)."""
    headers: dict[str, str] = {}
    for window, (remaining, limit) in windows.items():
        window = window.strip("_")
        headers |= {f"x-ratelimit-remaining-{window}": str(remaining), f"x-ratelimit-limit-{window}": str(limit)}
    response = {"response": {"status": status, "headers": headers}}
    return serialized(source="upstream", upstream_status=str(status), **(response | (answered or {})))


def made(log: dict[str, Any], percent: float = 80, *plugins: dict[str, Any], status: int = 200) -> list[Any]:
    source = RateLimitApproaching(
        Attribution(plugins=plugins_of(*plugins)) if plugins else HEADERS_ALONE, percent=percent
    )
    return events(source, seen(log, status))


def test_the_fields_of_its_event() -> None:
    (event,) = made(passed(minute=(1, 8)))
    assert (event.source, event.event) == ("rate-limit-approaching", "rate-limit-approaching")
    names = ("used", "limit", "remaining", "window", "percent")
    assert [event.data[name] for name in names] == [7, 8, 1, "minute", 87]
    assert list(event.data) == ["consumer", "ip", "service", *names, "route", "request", "node"]


@pytest.mark.parametrize(
    ("remaining", "limit", "percent", "is_near"),
    [
        (20, 100, 80, True),
        (21, 100, 80, False),
        (1, 3, 80, False),
        (0, 1, 80, True),
        (45, 100, 55, True),  # 55 / 100 * 100 is more than 55
        (93, 100, 7, True),
        (1, 3, 66.6, True),
        (100, 100, 0, True),
        (1, 100, 100, False),
        (0, 100, 100, True),
        ("0.5", "2.5", 80, True),
        (7, 5, 1, False),  # more left than there is: another plugin's idea of these headers
    ],
)
def test_the_threshold(remaining: Any, limit: Any, percent: float, is_near: bool) -> None:
    assert bool(made(passed(hour=(remaining, limit)), percent)) is is_near


def test_each_window_that_is_near_is_an_event_of_its_own() -> None:
    got = made(passed(minute=(1, 10), hour=(90, 100), day=(0, 5), _30=(1, 100)))
    assert [event.data["window"] for event in got] == ["day", "30", "minute"]  # the fullest first
    assert len({event.id for event in got}) == 3


def test_there_are_no_more_than_its_limit() -> None:
    many = {f"_{seconds}": (0, 1) for seconds in range(2, 50)}
    assert len(made(passed(**many))) == WINDOWS


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-remaining-minute": "0"},
        {"x-ratelimit-limit-minute": "5"},
        {"x-ratelimit-remaining-minute": "x", "x-ratelimit-limit-minute": "5"},
        {"x-ratelimit-remaining-minute": "-1", "x-ratelimit-limit-minute": "5"},
        {"x-ratelimit-remaining-sms-minute": "0", "x-ratelimit-limit-sms-minute": "5"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-limit": "5"},
        {"ratelimit-remaining": "0", "ratelimit-limit": "5"},
    ],
)
def test_what_is_not_read(headers: dict[str, str]) -> None:
    assert made(passed(answered={"response": {"status": 200, "headers": headers}})) == []


def test_a_refusal_is_not_it() -> None:
    log = serialized(response={"status": 429, "headers": refused(minute=3)})
    assert made(log, 80, status=429) == []
    assert made(log, 80, plugin("rate-limiting", minute=3), status=429) == []


def test_what_kong_answers_after_letting_it_through_is() -> None:
    stopped = passed(403, minute=(0, 3)) | {"source": "kong", "upstream_status": ""}
    assert len(made(stopped, status=403)) == 1


def test_a_services_own_headers_are_not_it_where_the_plugins_are_known() -> None:
    near = passed(minute=(0, 3))
    assert len(made(near)) == 1
    assert len(made(near, 80, plugin("rate-limiting", minute=3))) == 1
    assert len(made(near, 80, plugin("rate-limiting-advanced"))) == 1
    assert made(near, 80, plugin("cors")) == []
    assert made(near, 80, plugin("rate-limiting", minute=3, hide_client_headers=True)) == []
    assert made(near, 80, plugin("rate-limiting", minute=3, route="elsewhere")) == []


def test_on_change_compares_client_service_and_window() -> None:
    before = digest(made(passed(minute=(1, 10)))[0])
    assert digest(made(passed(404, minute=(0, 10)), status=404)[0]) == before
    assert digest(made(passed(hour=(1, 10)))[0]) != before
    assert digest(made(passed(minute=(1, 20)))[0]) != before
    assert digest(made(passed(answered={"client_ip": "192.0.2.8"}, minute=(1, 10)))[0]) != before


def test_it_needs_every_answered_status() -> None:
    assert RateLimitApproaching(percent=80).statuses() == set(range(200, 500))

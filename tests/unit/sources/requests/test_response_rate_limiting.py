"""The source ``response-ratelimiting``."""

import pytest

from kong_eventhooks_plugin.sources.requests.response_rate_limiting import ResponseRateLimiting
from tests.support.events import answered, events, seen, serialized

SOURCE = ResponseRateLimiting()


def test_the_fields_of_its_event() -> None:
    (event,) = events(SOURCE, seen(answered()))
    assert (event.source, event.event) == ("response-ratelimiting", "rate-limit-exceeded")
    told = {name: event.data[name] for name in ("rate", "limit", "window", "limit_name", "retry_after", "attributed")}
    assert told == {
        "rate": 2, "limit": 1, "window": "minute", "limit_name": "sms", "retry_after": None, "attributed": "headers",
    }  # fmt: skip


def test_a_retry_after_of_the_service_is_not_in_the_event() -> None:
    log = answered()
    log["response"]["headers"] |= {"retry-after": "120"}
    assert events(SOURCE, seen(log))[0].data["retry_after"] is None


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"source": "upstream"}, 429),  # the service's own, look-alike headers and all
        ({"upstream_status": ""}, 429),  # Kong answered before the service was asked: request-termination
        ({"response": {"headers": {}}}, 429),
        ({}, 503),
        ({}, 200),
    ],
)
def test_what_is_not_it(change: dict[str, object], status: int) -> None:
    assert events(SOURCE, seen(answered(**change), status)) == []


def test_what_rate_limiting_refused_is_not_it() -> None:
    assert events(SOURCE, seen(serialized())) == []


def test_it_cares_for_429_alone() -> None:
    assert SOURCE.statuses() == {429}

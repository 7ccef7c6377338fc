"""The catalogue: what hooks may name, and that it is light."""

import subprocess
import sys

import pytest

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.sources import catalogue
from kong_eventhooks_plugin.sources.catalogue import (
    AVAILABLE,
    BY_NAME,
    PLANNED,
    SOURCES,
    events_of,
    heard_by,
    unique_fields,
)
from kong_eventhooks_plugin.sources.rate_limiting import RateLimiting
from kong_eventhooks_plugin.sources.response_rate_limiting import ResponseRateLimiting

ENTERPRISE = {"crud", "dao:crud", "balancer", "rate-limiting-advanced", "ai-rate-limiting-advanced",
              "service-protection", "oas-validation"}  # fmt: skip


def test_every_source_of_kong_enterprise_has_a_name() -> None:
    assert BY_NAME.keys() >= ENTERPRISE
    assert len(BY_NAME) == len(SOURCES)


def test_what_is_there_in_this_release() -> None:
    assert AVAILABLE == ("rate-limiting", "response-ratelimiting", "rate-limiting-advanced", "custom")
    assert set(PLANNED) == ENTERPRISE - {"rate-limiting-advanced"}
    assert all(source.since <= __version__ for source in SOURCES if source.since)


@pytest.mark.parametrize("name", [name for name in AVAILABLE if name != "custom"])
def test_the_fields_of_kong_enterprise_come_first(name: str) -> None:
    (event,) = BY_NAME[name].events
    assert [field.name for field in event.fields][:6] == ["consumer", "ip", "service", "rate", "limit", "window"]
    assert event.unique == unique_fields(name, event.name) == ("consumer", "ip", "service")
    assert all(field.description.endswith(".") for field in event.fields)


@pytest.mark.parametrize("source", [RateLimiting(), ResponseRateLimiting()], ids=lambda source: source.name)
def test_a_source_has_its_entry(source: RateLimiting | ResponseRateLimiting) -> None:
    assert source.name in AVAILABLE
    assert heard_by(source.name) == (source.name,)


def test_rate_limiting_advanced_hears_both() -> None:
    assert set(heard_by("rate-limiting-advanced")) == {
        "rate-limiting-advanced", "rate-limiting", "response-ratelimiting",
    }  # fmt: skip


def test_custom_takes_any_event() -> None:
    assert events_of("custom") == ()
    assert heard_by("custom") == ("custom",)


def test_an_unknown_source_hears_itself_and_has_no_events() -> None:
    assert heard_by("x") == ("x",)
    assert events_of("x") == ()
    assert unique_fields("x", "y") == unique_fields("rate-limiting", "y") == ()


def test_its_import_is_light() -> None:
    # plugin-info is run by Kong at its start, which waits for it.
    code = (
        f"import sys, typing; before = set(sys.modules); import {catalogue.__name__}; print(*set(sys.modules) - before)"
    )
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    assert set(got.split()) == {
        "kong_eventhooks_plugin", "kong_eventhooks_plugin.sources", "kong_eventhooks_plugin.sources.catalogue",
    }  # fmt: skip

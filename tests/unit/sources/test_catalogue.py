"""The catalogue: what hooks may name, and that it is light."""

import json
import re
import subprocess
import sys
from pkgutil import resolve_name

import pytest

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.kong.admin_api.entity_metadata import PATH_NAMES
from kong_eventhooks_plugin.sources import catalogue
from kong_eventhooks_plugin.sources.catalogue import (
    BY_NAME,
    SOURCES,
    entry_of,
    events_of,
    matching_sources,
    patterns_of,
    unique_fields,
)
from kong_eventhooks_plugin.sources.changes.catalogue import ENTITIES
from kong_eventhooks_plugin.sources.entry import SourceEntry
from kong_eventhooks_plugin.sources.pollers.poller import Poller
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from kong_eventhooks_plugin.sources.requests.response_rate_limiting import ResponseRateLimiting
from kong_eventhooks_plugin.sources.state import state_of

ENTERPRISE = {"crud", "dao:crud", "balancer", "rate-limiting-advanced", "ai-rate-limiting-advanced",
              "service-protection", "oas-validation"}  # fmt: skip


def test_every_source_of_kong_enterprise_is_there() -> None:
    assert BY_NAME.keys() >= ENTERPRISE
    assert len(BY_NAME) == len(SOURCES)
    assert all(source.since <= __version__ for source in SOURCES)


LIMITS = ("rate-limiting", "response-ratelimiting", "rate-limiting-advanced", "ai-rate-limiting-advanced")


@pytest.mark.parametrize(
    ("name", "fields", "unique"),
    [
        *((name, "consumer ip service rate limit window", "consumer ip service") for name in LIMITS),
        ("service-protection", "service rate limit window", "service"),
        ("oas-validation", "consumer ip service err", "consumer ip service"),
        ("balancer", "upstream_id ip port hostname health", None),
        ("crud", "operation entity old_entity schema", None),
        ("dao:crud", "operation entity old_entity schema", None),
    ],
)
def test_the_fields_of_kong_enterprise_come_first(name: str, fields: str, unique: str | None) -> None:
    for event in BY_NAME[name].events:
        names = [field.name for field in event.fields]
        assert names[: len(fields.split())] == fields.split()
        assert event.unique == unique_fields(name, event.name)
        assert unique is None or event.unique == tuple(unique.split())


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_an_entry_is_whole(source: SourceEntry) -> None:
    for event in (*source.events, *(family.entry for family in source.families)):
        assert event.description.endswith(".")
        names = [field.name for field in event.fields]
        assert len(set(names)) == len(names)
        assert set(event.unique) <= set(names)
        assert all(field.description.endswith(".") for field in event.fields), event.name
    assert all(note.endswith(".") for note in source.notes)


def test_crud_lists_every_entity_that_is_known() -> None:
    assert PATH_NAMES.keys() <= set(ENTITIES)
    assert list(ENTITIES) == sorted(ENTITIES)


def test_events_of_crud_follow_their_patterns() -> None:
    assert {"consumers", "consumers:create", "targets:delete"} <= set(events_of("crud"))
    assert [shown for shown, _ in patterns_of("crud")] == [
        "<entity>", "<entity>:create", "<entity>:update", "<entity>:delete",
    ]  # fmt: skip
    for event in events_of("crud"):
        assert sum(re.fullmatch(pattern, event) is not None for _, pattern in patterns_of("crud")) == 1
    of_a_plugin = entry_of("crud", "my_entities:update")
    assert of_a_plugin is not None
    assert of_a_plugin.name == "<entity>:update"
    assert entry_of("crud", "my_entities:updated") is None
    assert entry_of("nothing", "x") is None


@pytest.mark.parametrize("source", [RateLimiting(), ResponseRateLimiting()], ids=lambda source: source.name)
def test_a_source_has_its_entry(source: RateLimiting | ResponseRateLimiting) -> None:
    assert source.name in BY_NAME
    assert matching_sources(source.name) == (source.name,)


def test_rate_limiting_advanced_matches_both() -> None:
    assert set(matching_sources("rate-limiting-advanced")) == {
        "rate-limiting-advanced", "rate-limiting", "response-ratelimiting",
    }  # fmt: skip


def test_custom_accepts_any_event() -> None:
    assert events_of("custom") == ()
    assert matching_sources("custom") == ("custom",)


def test_an_unknown_source_matches_itself_and_has_no_events() -> None:
    assert matching_sources("x") == ("x",)
    assert events_of("x") == ()
    assert unique_fields("x", "y") == unique_fields("rate-limiting", "y") == ()


def test_its_import_is_light() -> None:
    # plugin-info is run by Kong at its start, which waits for it.
    code = (
        f"import sys, re, typing, collections.abc; before = set(sys.modules); import {catalogue.__name__};"
        "print(*set(sys.modules) - before)"
    )
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    assert all(name.startswith("kong_eventhooks_plugin") for name in got.split())
    assert "kong_eventhooks_plugin.model" not in got


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_an_example_has_every_field_and_its_unique_ones_are_set(source: SourceEntry) -> None:
    for event in source.events:
        example = event.example()
        assert [*example] == [field.name for field in event.fields]
        assert json.loads(json.dumps(example)) == example
        if not source.name.endswith("crud"):
            assert all(example[name] is not None for name in event.unique)


def test_every_state_has_an_end_and_examples_with_one_key() -> None:
    for source in SOURCES:
        shown = [(event, event.example()) for event in source.events if event.state is not None]
        assert all(example | state_of(source.name, event, example) == example for event, example in shown)
        assert len({example["state_key"] for _, example in shown}) <= 1
        ends = [event.state.resolved for event, _ in shown if event.state is not None]
        assert any(ends) or not ends


def test_each_poller_is_found() -> None:
    for source in SOURCES:
        if source.poller is not None:
            assert issubclass(resolve_name(f"kong_eventhooks_plugin.sources.{source.poller}"), Poller)
            assert source.needs_admin_api

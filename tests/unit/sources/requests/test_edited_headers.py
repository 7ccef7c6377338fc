"""Rate-limit headers that are not Kong's alone: removed, replaced, repeated, forged, or sent by the service itself.

Recorded on a Kong 3.9.1 (tests/captures/logs/edited.json): what each request becomes with the node's plugins known.
"""

import json
from typing import Any

import pytest

from kong_eventhooks_plugin.kong.admin_api.active_plugins import ActivePlugins
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.catalogue import REQUEST_SOURCES
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.plugin_answers import Answers
from tests.support.events import events
from tests.support.recorded_logs import UNKNOWN_PLUGINS, edited_logs, plugin_list, plugins_of

KNOWN = plugins_of(*plugin_list("edited-plugins.json"))
Told = tuple[Any, ...]


def limit(source: str, limit: int, window: str, attributed: str, retry_after: int | None = None) -> Told:
    return (source, limit, window, attributed, retry_after)


def near(used: int, limit: int, window: str) -> Told:
    return ("rate-limit-approaching", used, limit, window)


BECOMES: dict[str, list[Told]] = {
    # The service sends hour 9 of 9 and minute 99 of 100; the route's limit is 2 a minute.
    "near-upstream-1": [],
    "near-upstream-2": [near(2, 2, "minute")],
    "near-upstream-3": [limit("rate-limiting", 2, "minute", "headers", 60)],
    "upstream-only-1": [],
    "upstream-hidden-1": [],
    # response-transformer on a route with one an hour.
    "removed-1": [],
    "removed-2": [limit("rate-limiting", 1, "hour", "plugins")],
    "retry-removed-1": [near(1, 1, "hour")],
    "retry-removed-2": [limit("rate-limiting", 1, "hour", "plugins")],
    "replaced-1": [],
    "replaced-2": [limit("rate-limiting", 1, "hour", "plugins")],
    "appended-1": [near(1, 1, "hour")],
    "appended-2": [limit("rate-limiting", 1, "hour", "headers", 179)],
    # A header_filter that writes 1 of 9 for one an hour: the function can have answered, too.
    "post-forged-1": [],
    "post-forged-2": [],
    "pre-forged-1": [],
    "pre-forged-2": [],
    # A pre-function that answers 429 with all headers, without a limit and with 7 an hour.
    "all-forged-1": [],
    "all-forged-limited-1": [],
    "names-repeated-1": [],
    "names-repeated-2": [limit("response-ratelimiting", 1, "minute", "headers")],
    "names-removed-1": [],
    "names-removed-2": [limit("response-ratelimiting", 1, "hour", "plugins")],
    "status-changed-1": [near(1, 1, "hour")],
    "status-changed-2": [],  # a refusal that a function made a 200
    "near-forged-1": [],  # 0 of 100 remain, says the function; Kong's RateLimit-Remaining says 99
    "near-forged-window-1": [],  # a day that no plugin counts
}


def made(seen: LogObservation, plugins: ActivePlugins[Answers] = KNOWN) -> list[Told]:
    told: list[Told] = []
    for kind in REQUEST_SOURCES:
        source = kind(Attribution(plugins=plugins), 80)
        for event in events(source, seen) if seen.status in source.statuses() else ():
            data = event.data
            if event.source == "rate-limit-approaching":
                told.append(near(data["used"], data["limit"], data["window"]))
            else:
                told.append(limit(event.source, data["limit"], data["window"], data["attributed"], data["retry_after"]))
    return told


def test_the_table_has_every_recorded_request() -> None:
    assert edited_logs().keys() == BECOMES.keys()


@pytest.mark.parametrize("name", BECOMES)
def test_it_becomes(name: str) -> None:
    assert made(edited_logs()[name]) == BECOMES[name]


def turned(seen: LogObservation) -> LogObservation:
    """Return the same request with each repeated header the other way round."""
    log = json.loads(seen.serialized)
    headers = log["response"]["headers"]
    repeated = {name: value[::-1] for name, value in headers.items() if isinstance(value, list)}
    headers.update(repeated)
    return LogObservation(seen.plugin, seen.status, json.dumps(log), seen.seen_at)


@pytest.mark.parametrize("name", [name for name, seen in edited_logs().items() if turned(seen) != seen])
def test_the_order_of_a_repeated_header_does_not_matter(name: str) -> None:
    assert made(turned(edited_logs()[name])) == BECOMES[name]


@pytest.mark.parametrize("name", ["near-upstream-3", "appended-2"])
def test_a_repeated_header_proves_a_refusal_where_the_plugins_are_unknown(name: str) -> None:
    seen = edited_logs()[name]
    assert made(seen, UNKNOWN_PLUGINS) == made(turned(seen), UNKNOWN_PLUGINS) == BECOMES[name]


@pytest.mark.parametrize("name", ["post-forged-2", "pre-forged-2", "replaced-2"])
def test_a_429_of_kongs_own_approaches_no_limit_where_the_plugins_are_unknown(name: str) -> None:
    assert made(edited_logs()[name], UNKNOWN_PLUGINS) == []

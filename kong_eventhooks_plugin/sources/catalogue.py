"""Every source of events: where it is registered, and one piece of data for validation, the docs and the API.

A source is one file of ``requests/``, registered in ``REQUEST_SOURCES``, or one folder with a ``catalogue.py``,
registered in ``SOURCES``.

What is here is checked by ``kong-event-hooks plugin-info``, which Kong runs at its start and waits for, so
this imports nothing but ``typing`` and ``re``. ``sources/document.py`` writes docs/sources.md from it.

Fields, events and ``unique`` are those of Kong Enterprise's event hooks where it has the source; the fields that we
add come last.
"""

import re
from collections.abc import Mapping

from kong_eventhooks_plugin.sources.balancer import catalogue as balancer
from kong_eventhooks_plugin.sources.certificates import catalogue as certificates
from kong_eventhooks_plugin.sources.changes import catalogue as changes
from kong_eventhooks_plugin.sources.entry import EventEntry, SourceEntry
from kong_eventhooks_plugin.sources.own import catalogue as own
from kong_eventhooks_plugin.sources.reachability import catalogue as reachability
from kong_eventhooks_plugin.sources.requests.ai_rate_limiting_advanced import AiRateLimitingAdvanced
from kong_eventhooks_plugin.sources.requests.auth import AuthFailed
from kong_eventhooks_plugin.sources.requests.oas_validation import OasValidation
from kong_eventhooks_plugin.sources.requests.rate_limit_approaching import RateLimitApproaching
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from kong_eventhooks_plugin.sources.requests.rate_limiting_advanced import RateLimitingAdvanced
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource
from kong_eventhooks_plugin.sources.requests.response_rate_limiting import ResponseRateLimiting
from kong_eventhooks_plugin.sources.requests.service_protection import ServiceProtection
from kong_eventhooks_plugin.sources.requests.upstream import UpstreamError

REQUEST_SOURCES: tuple[type[RequestSource], ...] = (
    RateLimiting,
    ResponseRateLimiting,
    RateLimitingAdvanced,
    AiRateLimitingAdvanced,
    ServiceProtection,
    OasValidation,
    RateLimitApproaching,
    AuthFailed,
    UpstreamError,
)
"""The sources of the log phase, in the order in which they see a request."""

CUSTOM = "custom"
"""The source of events that somebody publishes through our API; who publishes names them."""

_ANY_EVENT = (
    "Whoever publishes names the event and its fields (docs/api.md), so a hook may name any event here, or none "
    "to receive them all."
)

_CUSTOM_SOURCE = SourceEntry(
    CUSTOM, "An event that you publish yourself, through the API.", "0.1.0", (), notes=(_ANY_EVENT,)
)

SOURCES: tuple[SourceEntry, ...] = (
    *changes.SOURCES,
    *(source.entry for source in REQUEST_SOURCES),
    balancer.ENTRY,
    certificates.ENTRY,
    reachability.ENTRY,
    own.ENTRY,
    _CUSTOM_SOURCE,
)

BY_NAME: Mapping[str, SourceEntry] = {source.name: source for source in SOURCES}


def events_of(source: str) -> tuple[str, ...]:
    """Return the names of the source's events; empty for an unknown source, and for one that accepts any."""
    entry = BY_NAME.get(source)
    return tuple(event.name for event in entry.events) if entry else ()


def patterns_of(source: str) -> tuple[tuple[str, str], ...]:
    """Return what other events the source has, as (name for people, regular expression)."""
    entry = BY_NAME.get(source)
    return tuple((family.shown, family.pattern) for family in entry.families) if entry else ()


def entry_of(source: str, event: str) -> EventEntry | None:
    """Return an event's entry, for a family's member the family's; None where it is unknown."""
    entry = BY_NAME.get(source)
    if entry is None:
        return None
    listed = next((each for each in entry.events if each.name == event), None)
    if listed is not None:
        return listed
    return next((each.entry for each in entry.families if re.fullmatch(each.pattern, event)), None)


def matching_sources(source: str) -> tuple[str, ...]:
    """Return the sources whose events a hook on ``source`` receives; for an unknown one, itself."""
    entry = BY_NAME.get(source)
    return (source, *entry.also_matches) if entry else (source,)


def is_named_only(source: str, event: str) -> bool:
    """Return whether the event reaches only hooks that name it."""
    entry = BY_NAME.get(source)
    return entry is not None and entry.named_only is not None and re.fullmatch(entry.named_only, event) is not None


def unique_fields(source: str, event: str) -> tuple[str, ...]:
    """Return the fields of the event that on_change looks at; empty (all of them) for an unknown event."""
    entry = entry_of(source, event)
    return entry.unique if entry else ()

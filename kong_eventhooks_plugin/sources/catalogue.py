"""Every source of events and what it tells: one piece of data, read by validation, the docs and the API.

What is here is checked by ``kong-event-hooks plugin-info``, which Kong runs at its start and waits for, so
this module imports nothing but ``typing``. ``sources/document.py`` writes docs/sources.md from it.

A source that is *planned* has a name here so that a definition which names it is told "not yet" instead of
"unknown". Fields, events and ``unique`` are those of Kong Enterprise's event hooks where it has the source;
the fields that we add come last.
"""

from typing import NamedTuple


class Field(NamedTuple):
    """One field of an event's data."""

    name: str
    description: str


class EventEntry(NamedTuple):
    """One event of a source. ``unique`` names the fields that on_change looks at; empty: all of them."""

    name: str
    description: str
    fields: tuple[Field, ...]
    unique: tuple[str, ...]


class SourceEntry(NamedTuple):
    """One source.

    ``since`` is the first release that has it, None where it is planned. ``tells`` names the sources whose
    events a hook on this one hears, its own among them; several make it an alias. ``notes`` are paragraphs
    for docs/sources.md.
    """

    name: str
    description: str
    since: str | None
    tells: tuple[str, ...]
    events: tuple[EventEntry, ...]
    notes: tuple[str, ...] = ()


CUSTOM = "custom"
"""The source of events that somebody publishes through our API; who publishes names them."""

RATE_LIMIT_EXCEEDED = "rate-limit-exceeded"

_UNIQUE = ("consumer", "ip", "service")

_EXCEEDED_FIELDS = (
    Field(
        "consumer",
        "Who was limited: `id`, `username`, `custom_id` (null where unset). `{}` for an anonymous client.",
    ),
    Field("ip", "The client's address, as Kong sees it (after `trusted_ips` and `real_ip_header`)."),
    Field(
        "service",
        "The service that was asked for: `id`, `name`, `host`, `port`, `protocol`, `path`. `{}` where the route has "
        "none.",
    ),
    Field(
        "rate",
        "The usage that broke the limit: one more than the limit lets through. Kong does not say how often the client "
        "has asked since, so it stays the same until the window ends. null where the limit is not known.",
    ),
    Field("limit", "The limit of the window that broke. null where it is not known."),
    Field(
        "window",
        "The period that broke: `second`, `minute`, `hour`, `day`, `month` or `year`; the longest where several are "
        "used up. null where it is not known.",
    ),
    Field("route", "The route that was asked for: `id`, `name`. `{}` where there is none."),
    Field(
        "request",
        "`method`, `path` (without the query string, which may carry a key; at most 2,048 characters) and Kong's "
        "request `id`. Never headers.",
    ),
    Field("retry_after", "Seconds after which Kong told the client to come back, null where it told none."),
    Field(
        "limit_name",
        "The named limit of response-ratelimiting that broke, spelled as in the response header (lower case). null "
        "else.",
    ),
    Field(
        "attributed",
        "How we know that it was a rate limit: `headers` where Kong's rate-limit headers prove it, `inferred` where a "
        "setting says that this status on this route or service means one.",
    ),
)


_HOW_RATE_LIMITING_IS_TOLD = (
    "Kong's plugin tells it by its response headers: `x-ratelimit-remaining-<window>: 0` together with the "
    "`retry-after` that it sets only when it refuses. With `hide_client_headers: true` nothing in the answer says that "
    "it was a rate limit (request-termination can answer 429 too), and with another `error_code` than 429 Kong is not "
    "even asked for it. Such an answer is this event only where the setting `infer_rate_limits_on` names its route or "
    "service: `route:NAME`, `service:NAME`, or with another status `route:NAME@503`; NAME may be an id. Where its "
    "headers prove nothing, `rate`, `limit`, `window` and `retry_after` are null, and `attributed` is `inferred`."
)
_WHAT_IS_NOT_INFERRED = (
    "Where a status other than 429 is named, an answer that came after the service was asked, or that carries "
    "rate-limit headers which leave room, is not taken for a rate limit."
)
_WHICH_NAMED_LIMIT = (
    "The service's answers say how much they cost (`x-kong-limit: sms=1`). Where several named limits are used up, "
    "Kong does not say which of them ended the request: the one with the longest window is told."
)
_BLOCKED_AT_ONCE = (
    "With `block_on_first_violation: true` Kong answers before it writes its headers, and with "
    "`hide_client_headers: true` it writes none: such an answer is an event of `rate-limiting`, with `attributed` "
    "`inferred`, and only where the setting `infer_rate_limits_on` names its route or service."
)
_ALIAS = (
    "The open-source gateway has no rate-limiting-advanced plugin. What a hook on this source receives says "
    "`rate-limiting-advanced`, as the hook named it."
)

_ANY_EVENT = (
    "Whoever publishes names the event and gives its fields (docs/api.md), so a hook may name any event here, or none "
    "to hear them all."
)


def _exceeded(description: str) -> EventEntry:
    return EventEntry(RATE_LIMIT_EXCEEDED, description, _EXCEEDED_FIELDS, _UNIQUE)


def _planned(name: str, description: str) -> SourceEntry:
    return SourceEntry(name, description, None, (name,), ())


SOURCES: tuple[SourceEntry, ...] = (
    SourceEntry(
        "rate-limiting",
        "Kong's rate-limiting plugin refused a request.",
        "0.1.0",
        ("rate-limiting",),
        (_exceeded("A client asked more often than rate-limiting allows."),),
        notes=(_HOW_RATE_LIMITING_IS_TOLD, _WHAT_IS_NOT_INFERRED),
    ),
    SourceEntry(
        "response-ratelimiting",
        "Kong's response-ratelimiting plugin refused an answer.",
        "0.1.0",
        ("response-ratelimiting",),
        (_exceeded("A client used up a limit that the service counts in its answers."),),
        notes=(_WHICH_NAMED_LIMIT, _BLOCKED_AT_ONCE),
    ),
    SourceEntry(
        "rate-limiting-advanced",
        "A name that hears rate-limiting and response-ratelimiting: hooks from Kong Enterprise name it.",
        "0.1.0",
        ("rate-limiting-advanced", "rate-limiting", "response-ratelimiting"),
        (_exceeded("A client broke a limit of either plugin."),),
        notes=(_ALIAS,),
    ),
    SourceEntry(
        CUSTOM,
        "Something that you publish yourself, through the API.",
        "0.1.0",
        (CUSTOM,),
        (),
        notes=(_ANY_EVENT,),
    ),
    _planned("crud", "An entity of Kong was created, changed or deleted."),
    _planned("dao:crud", "The same as crud, with the operation as the event."),
    _planned("balancer", "A target of an upstream became healthy or unhealthy."),
    _planned("ai-rate-limiting-advanced", "A limit of the ai-rate-limiting-advanced plugin was broken."),
    _planned("service-protection", "A limit of the service-protection plugin was broken."),
    _planned("oas-validation", "A request or an answer broke its OpenAPI specification."),
)

BY_NAME: dict[str, SourceEntry] = {source.name: source for source in SOURCES}
AVAILABLE: tuple[str, ...] = tuple(source.name for source in SOURCES if source.since is not None)
PLANNED: tuple[str, ...] = tuple(source.name for source in SOURCES if source.since is None)


def events_of(source: str) -> tuple[str, ...]:
    """Return the names of the events that a hook on ``source`` can name; empty where there is none yet."""
    entry = BY_NAME.get(source)
    return tuple(event.name for event in entry.events) if entry else ()


def heard_by(source: str) -> tuple[str, ...]:
    """Return the sources whose events a hook on ``source`` hears; an unknown one hears itself."""
    entry = BY_NAME.get(source)
    return entry.tells if entry else (source,)


def unique_fields(source: str, event: str) -> tuple[str, ...]:
    """Return the fields of the event that on_change looks at; empty (all of them) where it is not known."""
    entry = BY_NAME.get(source)
    return next((each.unique for each in entry.events if each.name == event), ()) if entry else ()

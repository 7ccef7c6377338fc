"""What the catalogue says of broken rate limits, whichever plugin found them."""

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, SourceEntry

RATE_LIMIT_EXCEEDED = "rate-limit-exceeded"

_UNIQUE = ("consumer", "ip", "service")

_EXCEEDED_FIELDS = (
    EventField(
        "consumer",
        "Who was limited: `id`, `username`, `custom_id` (null where unset). `{}` for an anonymous client.",
    ),
    EventField("ip", "The client's address, as Kong sees it (after `trusted_ips` and `real_ip_header`)."),
    EventField(
        "service",
        "The service that was asked for: `id`, `name`, `host`, `port`, `protocol`, `path`. `{}` where the route has "
        "none.",
    ),
    EventField(
        "rate",
        "The usage that broke the limit: one more than the limit lets through. Kong does not say how often the "
        "client has asked since, so it stays the same until the window ends. null where the limit is not known.",
    ),
    EventField("limit", "The limit of the window that broke. null where it is not known."),
    EventField(
        "window",
        "The period that broke: `second`, `minute`, `hour`, `day`, `month` or `year`, or its seconds (`30`) for "
        "rate-limiting-advanced; the longest where several are used up. null where it is not known.",
    ),
    EventField("route", "The route that was asked for: `id`, `name`. `{}` where there is none."),
    EventField(
        "request",
        "`method`, `path` (without the query string, which may carry a key; at most 2,048 characters) and Kong's "
        "request `id`. Never headers.",
    ),
    EventField("retry_after", "Seconds after which Kong told the client to come back, null where it told none."),
    EventField(
        "limit_name",
        "The named limit of response-ratelimiting that broke, spelled as in the response header (lower case). null "
        "else.",
    ),
    EventField(
        "attributed",
        "How we know that it was a rate limit: `headers` where Kong's rate-limit headers prove it; `plugins` where "
        "no header says it, but of the plugins in force on the request (setting `admin_url`) only this one can have "
        "answered so; `inferred` where a setting says that this status on this route or service means one.",
    ),
)


_HOW_RATE_LIMITING_IS_IDENTIFIED = (
    "Kong's plugin tells it by its response headers: `x-ratelimit-remaining-<window>: 0` together with the "
    "`retry-after` that it sets only when it refuses. With `hide_client_headers: true` nothing in the answer says "
    "that it was a rate limit (request-termination can answer 429 too), and with another `error_code` than 429 Kong "
    "is not even asked for it. With the setting `admin_url` the plugins are known: such an answer is this event "
    "where this plugin alone can have given it, `attributed` is `plugins`, and `rate`, `limit` and `window` are "
    "filled where its configuration has one limit. That is never certain with a status that Kong answers by itself "
    "(503 among them), nor beside a plugin that can answer with anything (pre-function, one of your own). Otherwise "
    "the setting `infer_rate_limits_on` has to name its route or service: `route:NAME`, `service:NAME`, or with "
    "another status `route:NAME@503`; NAME may be an id. Where its headers prove nothing, `rate`, `limit`, `window` "
    "and `retry_after` are null then, and `attributed` is `inferred`."
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
    "With `block_on_first_violation: true` Kong answers before it writes its headers, and with `hide_client_headers: "
    "true` it writes none: such an answer is known by the plugins in force. Where they leave it open it needs "
    "`infer_rate_limits_on`, and is then an event of `rate-limiting` where it came before the service was asked."
)
_ALIAS = (
    "A hook on this source hears the events of `rate-limiting` and `response-ratelimiting` as well, each refusal once; "
    "what it receives says `rate-limiting-advanced`, as the hook named it. The open-source gateway has no plugin of "
    "this name. Under Kong Enterprise its headers are those of rate-limiting: with the setting `admin_url` we know "
    "which of the two is in force, in the workspace `default`; without it the event is one of `rate-limiting`."
)


ON_GROUPS = (
    "Kong's log does not say which consumer groups a client is in: a plugin on a group may have run for any client, so "
    "where such plugins leave it open an answer without headers is not told, and `limit` and `window` are null where "
    "they differ."
)


def _exceeded(description: str) -> EventEntry:
    return EventEntry(RATE_LIMIT_EXCEEDED, description, _EXCEEDED_FIELDS, _UNIQUE)


SOURCES: tuple[SourceEntry, ...] = (
    SourceEntry(
        "rate-limiting",
        "Kong's rate-limiting plugin refused a request.",
        "0.1.0",
        ("rate-limiting",),
        (_exceeded("A client asked more often than rate-limiting allows."),),
        notes=(_HOW_RATE_LIMITING_IS_IDENTIFIED, _WHAT_IS_NOT_INFERRED),
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
        "Kong's rate-limiting, response-ratelimiting or, under Kong Enterprise, rate-limiting-advanced plugin refused.",
        "0.1.0",
        ("rate-limiting-advanced", "rate-limiting", "response-ratelimiting"),
        (_exceeded("A client broke a limit of rate-limiting-advanced, rate-limiting or response-ratelimiting."),),
        notes=(_ALIAS, ON_GROUPS),
    ),
)

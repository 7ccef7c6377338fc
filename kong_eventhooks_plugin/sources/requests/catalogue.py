"""What the catalogue says of refused and failed requests, beyond the limits of the open-source plugins."""

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, SourceEntry
from kong_eventhooks_plugin.sources.requests import limits_catalogue
from kong_eventhooks_plugin.sources.requests.limits_catalogue import ON_GROUPS, RATE_LIMIT_EXCEEDED

_EXCEEDED = {field.name: field for field in limits_catalogue.SOURCES[0].events[0].fields}
_CONSUMER = EventField(
    "consumer", "Who asked: `id`, `username`, `custom_id` (null where unset). `{}` for an anonymous client."
)
_IP, _SERVICE, _ROUTE, _REQUEST = (_EXCEEDED[name] for name in ("ip", "service", "route", "request"))
_LIMIT, _RETRY_AFTER, _ATTRIBUTED = (_EXCEEDED[name] for name in ("limit", "retry_after", "attributed"))

_SECONDS_AS_WINDOW = (
    "The period that broke: `second`, `minute`, `hour`, `day`, `month`, `year`, or its seconds (`30`); the longest "
    "where several are used up. null where it is not known."
)
_FROM_THE_DOCUMENTATION = (
    "The open-source gateway does not have this plugin: what its answers look like is taken from Kong's public "
    "documentation and was not tried. The plugins of the workspace `default` are known, of other workspaces none."
)
_HIDDEN = (
    "With `hide_client_headers: true`, and with another `error_code` than 429, it is told where the setting "
    "`admin_url` lets us know that this plugin is in force and no other can have answered so."
)

AI_RATE_LIMITING_ADVANCED = SourceEntry(
    "ai-rate-limiting-advanced",
    "Kong Enterprise's ai-rate-limiting-advanced plugin refused a request.",
    "0.1.0",
    ("ai-rate-limiting-advanced",),
    (
        EventEntry(
            RATE_LIMIT_EXCEEDED,
            "A client used up what it may spend on an AI provider.",
            (
                _EXCEEDED["consumer"],
                _IP,
                _SERVICE,
                EventField("rate", "null: the plugin does not say how much was used beyond the limit."),
                _LIMIT,
                EventField("window", _SECONDS_AS_WINDOW),
                _ROUTE,
                _REQUEST,
                _RETRY_AFTER,
                _ATTRIBUTED,
                EventField(
                    "provider",
                    "The provider whose limit broke, spelled as in the response header (lower case), the first in "
                    "the alphabet where several with this window are used up. null where it is not known.",
                ),
                EventField(
                    "strategy",
                    "What is counted: the plugin's `tokens_count_strategy` (`total_tokens`, `prompt_tokens`, "
                    "`completion_tokens`, `cost`). null where its configuration is not known.",
                ),
                EventField("query_cost", "What this request would have cost (provider `requestPrompt`). null else."),
            ),
            ("consumer", "ip", "service"),
        ),
    ),
    notes=(
        (
            "The plugin tells it by its own response headers: `x-ai-ratelimit-remaining-<window>-<provider>: 0` "
            "together with `x-ai-ratelimit-retry-after`. It counts what an answer cost at the next request, which it "
            "refuses."
        ),
        _HIDDEN,
        ON_GROUPS,
        _FROM_THE_DOCUMENTATION,
    ),
)

SERVICE_PROTECTION = SourceEntry(
    "service-protection",
    "Kong Enterprise's service-protection plugin refused a request.",
    "0.1.0",
    ("service-protection",),
    (
        EventEntry(
            RATE_LIMIT_EXCEEDED,
            "All clients together asked a service more often than service-protection allows.",
            (
                _SERVICE,
                _EXCEEDED["rate"],
                _LIMIT,
                EventField("window", _SECONDS_AS_WINDOW),
                _ROUTE,
                _REQUEST,
                _RETRY_AFTER,
                _ATTRIBUTED,
            ),
            ("service",),
        ),
    ),
    notes=(
        (
            "Its response headers are those of rate-limiting, so it needs the setting `admin_url`: it is told where "
            "the plugin is in force on the service. Where rate-limiting or rate-limiting-advanced is in force beside "
            "it, it is the one whose configuration has the limit that broke."
        ),
        _HIDDEN,
        _FROM_THE_DOCUMENTATION,
    ),
)

OAS_VALIDATION = SourceEntry(
    "oas-validation",
    "Kong Enterprise's oas-validation plugin refused a request, or a service's answer.",
    "0.1.0",
    ("oas-validation",),
    (
        EventEntry(
            "validation-failed",
            "A request or an answer is not as the API specification says.",
            (
                _CONSUMER,
                _IP,
                _SERVICE,
                EventField(
                    "err",
                    "null: what was wrong is in the answer's body only (with `verbose_response`), and Kong's log "
                    "does not have it.",
                ),
                EventField(
                    "phase", "`request` where the request was refused, `response` where the service's answer was."
                ),
                EventField("status", "What the client got: 400 or 406."),
                _ROUTE,
                _REQUEST,
            ),
            ("consumer", "ip", "service"),
        ),
    ),
    notes=(
        (
            "It needs the setting `admin_url`: it is told where the plugin is in force on the request and no other "
            "plugin in force can have answered so. A refused request is a 400 that Kong answered before it asked the "
            "service, a refused answer a 406 after that (with `validate_response_body`)."
        ),
        (
            "With `notify_only_request_validation_failure` and `notify_only_response_body_validation_failure` Kong "
            "Enterprise itself has an event and lets the request pass: nothing can be seen of it here."
        ),
        _FROM_THE_DOCUMENTATION,
    ),
)

RATE_LIMIT_APPROACHING = SourceEntry(
    "rate-limit-approaching",
    "A client has used up most of what rate-limiting allows it.",
    "0.1.0",
    ("rate-limit-approaching",),
    (
        EventEntry(
            "rate-limit-approaching",
            "A request was let through, and at least so much of a window is used.",
            (
                _CONSUMER,
                _IP,
                _SERVICE,
                EventField("used", "How much of the limit is used, this request with it."),
                EventField("limit", "The window's limit."),
                EventField("remaining", "How much is left."),
                EventField("window", "`second`, `minute`, `hour`, `day`, `month`, `year`, or its seconds (`30`)."),
                EventField("percent", "The share that is used, rounded down to a whole number."),
                _ROUTE,
                _REQUEST,
            ),
            ("consumer", "ip", "service", "limit", "window"),
        ),
    ),
    notes=(
        (
            "It is told for every request from the threshold on (`rate_limit_approaching_percent`, 80 by default), one "
            "event for each window that has reached it: give the hook a `snooze`, and `on_change` beside it, so that "
            "each client and window is told once in that time."
        ),
        (
            "It is read from the headers `x-ratelimit-limit-<window>` and `x-ratelimit-remaining-<window>` of "
            "rate-limiting and rate-limiting-advanced, so hidden headers hide it, and a service that sends such "
            "headers itself is taken for Kong unless the setting `admin_url` lets us know the plugins. The named "
            "limits of response-ratelimiting are not told."
        ),
        "While a hook names it, Kong is asked for the log of every request that ends with 200 to 499.",
    ),
)

AUTH = SourceEntry(
    "auth",
    "Kong turned a client away.",
    "0.1.0",
    ("auth",),
    (
        EventEntry(
            "failed",
            "Kong itself answered 401 or 403, without asking the service.",
            (
                EventField("status", "401 or 403."),
                _CONSUMER,
                _IP,
                _SERVICE,
                _ROUTE,
                _REQUEST,
                EventField(
                    "plugins",
                    "The plugins in force on the request that can have answered so, in alphabetical order: those of "
                    "Kong for authentication and access, and others that can answer with anything. null where the "
                    "plugins are not known (no `admin_url`).",
                ),
                EventField(
                    "www_authenticate",
                    "The answer's `www-authenticate` header, which names the scheme and the realm; at most 256 "
                    "characters. null where there is none.",
                ),
            ),
            ("status", "consumer", "ip", "service"),
        ),
    ),
    notes=(
        (
            "A 401 or 403 of the service's own is not told. Nor is one that is a broken rate limit, or one that, of "
            "the plugins in force, only one with another purpose can have answered (request-termination with "
            "`status_code: 403`)."
        ),
        "Clients cause these events at will: give the hook an `on_change` and a `snooze`.",
    ),
)

UPSTREAM = SourceEntry(
    "upstream",
    "Kong could not get an answer from a service.",
    "0.1.0",
    ("upstream",),
    (
        EventEntry(
            "error",
            "Kong itself answered 502, 503 or 504: the service refused the connection, broke it off or took too "
            "long, or there was no target to ask.",
            (
                EventField("status", "What the client got: 502, 503 or 504."),
                _SERVICE,
                EventField(
                    "upstream_status",
                    "What each try came to, as Kong's log has it (`502, 502`; at most 256 characters). null where "
                    "none was made or Kong buffered the answer.",
                ),
                EventField(
                    "tries",
                    "The tries, oldest first, at most 16: `ip`, `port`, `balancer_latency` (milliseconds), `state` "
                    "and `code` (null where it did not fail). Empty where no target was found: none is configured "
                    "or healthy, or the name did not resolve.",
                ),
                EventField("try_count", "How many tries there were."),
                _CONSUMER,
                _IP,
                _ROUTE,
                _REQUEST,
            ),
            ("status", "service"),
        ),
    ),
    notes=(
        (
            "A 502, 503 or 504 that the service answered is not told, nor one that a plugin put in the place of the "
            "service's answer, nor one on a route without a service. An answer without any try is not told where it "
            "is a broken rate limit, or where a plugin in force is configured to answer so (request-termination, "
            "whose `status_code` is 503 by default): that needs the setting `admin_url`."
        ),
    ),
)

SOURCES: tuple[SourceEntry, ...] = (
    AI_RATE_LIMITING_ADVANCED,
    SERVICE_PROTECTION,
    OAS_VALIDATION,
    RATE_LIMIT_APPROACHING,
    AUTH,
    UPSTREAM,
)

"""The fields that the events of several request sources share, with the values of one recorded request."""

from typing import Final

from kong_eventhooks_plugin.sources.entry import EventField

RATE_LIMIT_EXCEEDED: Final = "rate-limit-exceeded"
CLIENT_AND_SERVICE: Final = ("consumer", "ip", "service")
"""The ``unique`` fields of most events."""

CONSUMER: Final = EventField(
    "consumer",
    "The authenticated consumer: `id`, `username`, `custom_id` (null where unset). `{}` for an anonymous client.",
    {"id": "100315c7-51e7-55e6-b065-e6ddc0571148", "username": "Joe", "custom_id": None},
)
IP: Final = EventField(
    "ip", "The client's address, as Kong sees it (after `trusted_ips` and `real_ip_header`).", "127.0.0.1"
)
SERVICE: Final = EventField(
    "service",
    "The requested service: `id`, `name`, `host`, `port`, `protocol`, `path`. `{}` where the route has none.",
    {
        "id": "9ac1131b-7f5c-52be-86cd-f1b6c8a84204",
        "name": "secured",
        "host": "127.0.0.1",
        "port": 9190,
        "protocol": "http",
        "path": "/secured",
    },
)
RATE: Final = EventField(
    "rate",
    "The usage that exceeded the limit: one more than the limit allows. Kong does not report how many requests "
    "followed, so the value stays the same until the window ends. null where the limit is unknown.",
    3,
)
LIMIT: Final = EventField("limit", "The limit of the exceeded window. null where it is unknown.", 2)
WINDOW: Final = EventField(
    "window",
    "The exceeded window: `second`, `minute`, `hour`, `day`, `month` or `year`, or its seconds (`30`) for Enterprise's "
    "plugins; the longest where several are used up. null where it is unknown.",
    "minute",
)
ROUTE: Final = EventField(
    "route",
    "The matched route: `id`, `name`. `{}` where there is none.",
    {"id": "c294447b-97f7-5a3e-ac5c-bbf43d62fb4d", "name": "secured"},
)
REQUEST: Final = EventField(
    "request",
    "`method`, `path` (without the query string, which may hold a key; at most 2,048 characters) and Kong's request "
    "`id`. Never headers.",
    {"method": "GET", "path": "/secured", "id": "7d051d5703285456c4efb40f48ccda0c"},
)
RETRY_AFTER: Final = EventField(
    "retry_after", "The seconds after which Kong lets the client retry. null where it names none.", 5
)
LIMIT_NAME: Final = EventField(
    "limit_name",
    "The exceeded named limit of response-ratelimiting, spelled as in the response header (lower case). null "
    "otherwise.",
)
ATTRIBUTED: Final = EventField(
    "attributed",
    "The evidence: `headers` where Kong's rate-limit headers prove a refusal; `plugins` where no header does, but of "
    "the plugins that run on the request (setting `admin_url`) only this one can have answered so; `inferred` where "
    "the setting `infer_rate_limits_on` says that this status on this route or service means a rate limit.",
    "headers",
)

NOT_TRIED: Final = (
    "The open-source gateway does not have this plugin: its answers are modelled on Kong's public documentation and "
    "were not tried. Only the plugins of the workspace `default` are known."
)
HIDDEN_HEADERS: Final = (
    "With `hide_client_headers: true`, and with another `error_code` than 429, the event needs the setting "
    "`admin_url`, which shows that this plugin runs on the request and no other can have answered so."
)
CONSUMER_GROUPS: Final = (
    "Kong's log does not name a client's consumer groups: a plugin on a group may have run for any client. Where such "
    "plugins leave the cause open, an answer without headers is no event, and `limit` and `window` are null where "
    "their configurations differ."
)

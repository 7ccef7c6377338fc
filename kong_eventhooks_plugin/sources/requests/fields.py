"""The fields that the events of several request sources share, with the values of one recorded request."""

from typing import Final

from kong_eventhooks_plugin.sources import node_field
from kong_eventhooks_plugin.sources.entry import EventField

RATE_LIMIT_EXCEEDED: Final = "rate-limit-exceeded"
CLIENT_AND_SERVICE: Final = ("consumer", "ip", "service")
"""The ``unique`` fields of most events."""

LIMIT_API_DESCRIPTION: Final = "Run an event when a rate limit has been exceeded"
"""Of Enterprise's limits: Kong's published OpenAPI; of ai-rate-limiting-advanced and service-protection assumed."""

CONSUMER: Final = EventField(
    "consumer",
    "The authenticated consumer, as Kong's log has it: `id`, `username`, `custom_id`, `tags`, `created_at`, "
    "`updated_at` and, under Kong Enterprise, `type` and `ws_id`; a field that is not set is absent. `{}` for an "
    "anonymous client. on_change compares `id`, `username` and `custom_id`.",
    {
        "id": "100315c7-51e7-55e6-b065-e6ddc0571148",
        "username": "Joe",
        "created_at": 1795278761,
        "updated_at": 1795278761,
    },
    {
        **dict.fromkeys(("id", "username", "custom_id", "ws_id"), "text"),
        **dict.fromkeys(("created_at", "updated_at"), "number"),
        "tags": ["text"],
        "type": "any",
        "...": "any",
    },
)
IP: Final = EventField(
    "ip", "The client's address, as Kong sees it (after `trusted_ips` and `real_ip_header`).", "127.0.0.1"
)
SERVICE: Final = EventField(
    "service",
    "The requested service, as Kong's log has it: `id`, `name`, `host`, `port`, `protocol`, `path`, `retries`, "
    "`enabled`, `connect_timeout`, `read_timeout`, `write_timeout`, `tags`, `client_certificate` (its `id`), "
    "`ca_certificates`, `tls_verify`, `tls_verify_depth`, `ws_id`, `created_at`, `updated_at`; a field that is not set "
    "is absent. `{}` where the route has none. on_change compares the first six.",
    {
        "id": "9ac1131b-7f5c-52be-86cd-f1b6c8a84204",
        "name": "secured",
        "host": "127.0.0.1",
        "port": 9190,
        "protocol": "http",
        "path": "/secured",
        "retries": 5,
        "enabled": True,
        "connect_timeout": 60000,
        "read_timeout": 60000,
        "write_timeout": 60000,
        "ws_id": "0dc6f45b-8f8d-40d2-a504-473544ee190b",
        "created_at": 1795278761,
        "updated_at": 1795278761,
    },
    {
        **dict.fromkeys(("id", "name", "host", "protocol", "path", "ws_id"), "text"),
        **dict.fromkeys(
            (
                "port", "retries", "connect_timeout", "read_timeout", "write_timeout", "tls_verify_depth",
                "created_at", "updated_at",
            ),
            "number",
        ),
        **dict.fromkeys(("enabled", "tls_verify"), "boolean"),
        "tags": ["text"],
        "ca_certificates": ["text"],
        "client_certificate": {"id": "text"},
        "...": "any",
    },
)  # fmt: skip
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
    kind="text",
)
ATTRIBUTED: Final = EventField(
    "attributed",
    "The evidence: `headers` where Kong's rate-limit headers prove a refusal; `plugins` where no header does, but of "
    "the plugins that run on the request (setting `admin_url`) only this one can have answered so; `inferred` where "
    "the setting `infer_rate_limits_on` says that this status on this route or service means a rate limit.",
    "headers",
)

NODE: Final = node_field.NODE

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

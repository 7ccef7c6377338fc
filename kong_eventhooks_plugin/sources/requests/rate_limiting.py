"""The source ``rate-limiting``: Kong's plugin of that name refused a request.

It is also the source of a refusal with its headers where nothing is known of the node's plugins, though Enterprise's
rate-limiting-advanced writes the same, and of a refusal before the service was asked that only a setting names.
"""

from kong_eventhooks_plugin.sources.entry import SourceEntry
from kong_eventhooks_plugin.sources.requests.limit_source import LimitSource, exceeded_event
from kong_eventhooks_plugin.sources.requests.plugin_answers import RATE_LIMITING

_HOW_IT_IS_IDENTIFIED = (
    "The plugin identifies a rate limit from Kong's response headers: `x-ratelimit-remaining-<window>: 0` together "
    "with the `retry-after` that Kong's plugin sets only when it refuses. With `hide_client_headers: true` nothing in "
    "the answer says that it was a rate limit (request-termination can answer 429 too), and with another `error_code` "
    "than 429 Kong is not even asked for it. With the setting `admin_url` the plugins are known: such an answer is "
    "this event where this plugin alone can have given it, `attributed` is `plugins`, and `rate`, `limit` and `window` "
    "are set where its configuration has one limit. That is never certain with a status that Kong answers by itself "
    "(503 among them), nor beside a plugin that can answer with anything (pre-function, one of your own). Otherwise "
    "the setting `infer_rate_limits_on` has to name its route or service: `route:NAME`, `service:NAME`, or with "
    "another status `route:NAME@503`; NAME may be an id. Where its headers prove nothing, `rate`, `limit`, `window` "
    "and `retry_after` are null then, and `attributed` is `inferred`."
)
_EDITED_HEADERS = (
    "With the setting `admin_url`, a refusal is identified also where response-transformer removes or replaces the "
    "headers; and headers that another plugin on the request can have written (response-transformer, pre-function or "
    "post-function, one of your own) count only for a limit that a rate-limiting plugin there is configured with."
)
_WHAT_IS_NOT_INFERRED = (
    "Where a status other than 429 is named, an answer that came after the service was asked, or that carries "
    "rate-limit headers which leave room, is not taken for a rate limit."
)

ENTRY = SourceEntry(
    RATE_LIMITING,
    "Kong's rate-limiting plugin refused a request.",
    "0.1.0",
    (exceeded_event("A client exceeded a limit of rate-limiting."),),
    notes=(_HOW_IT_IS_IDENTIFIED, _EDITED_HEADERS, _WHAT_IS_NOT_INFERRED),
)


class RateLimiting(LimitSource):
    entry = ENTRY

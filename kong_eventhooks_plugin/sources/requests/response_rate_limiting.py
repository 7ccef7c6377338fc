"""The source ``response-ratelimiting``: Kong's plugin of that name refused an answer.

It answers 429 after the service did: Kong's log then says that Kong answered, and has the service's status beside
it. With ``block_on_first_violation`` it answers before the service, without headers.
"""

from kong_eventhooks_plugin.sources.entry import SourceEntry
from kong_eventhooks_plugin.sources.requests.limit_source import LimitSource, exceeded_event
from kong_eventhooks_plugin.sources.requests.plugin_answers import RESPONSE_RATE_LIMITING

_WHICH_NAMED_LIMIT = (
    "The service's answers say how much they cost (`x-kong-limit: sms=1`). Where several named limits are used up, "
    "Kong does not say which of them ended the request: the event has the one with the longest window."
)
_BLOCKED_AT_ONCE = (
    "With `block_on_first_violation: true` Kong answers before it writes its headers, and with `hide_client_headers: "
    "true` it writes none: such an answer is identified by the plugins that run. Where they leave it open it needs "
    "`infer_rate_limits_on`, and is then an event of `rate-limiting` where it came before the service was asked."
)

ENTRY = SourceEntry(
    RESPONSE_RATE_LIMITING,
    "Kong's response-ratelimiting plugin refused an answer.",
    "0.1.0",
    (exceeded_event("A client used up a limit that the service counts in its answers."),),
    notes=(_WHICH_NAMED_LIMIT, _BLOCKED_AT_ONCE),
)


class ResponseRateLimiting(LimitSource):
    entry = ENTRY

"""The source ``response-ratelimiting``: Kong's plugin of that name refused an answer.

It answers 429 after the service did: Kong's log then says that Kong answered, and has the service's status beside
it. With ``block_on_first_violation`` it answers before the service, without headers.
"""

from kong_eventhooks_plugin.sources.requests.limit_source import LimitSource
from kong_eventhooks_plugin.sources.requests.plugin_answers import RESPONSE_RATE_LIMITING


class ResponseRateLimiting(LimitSource):
    """Hears 429."""

    name = RESPONSE_RATE_LIMITING

"""The source ``rate-limiting``: Kong's plugin of that name refused a request.

It is also the source of a refusal with its headers where nothing is known of the node's plugins, though Enterprise's
rate-limiting-advanced writes the same, and of a refusal before the service was asked that only a setting names.
"""

from kong_eventhooks_plugin.sources.requests.limit_source import LimitSource
from kong_eventhooks_plugin.sources.requests.plugin_answers import RATE_LIMITING


class RateLimiting(LimitSource):
    """Hears 429, the statuses that rules name and those that the plugin is configured with."""

    name = RATE_LIMITING

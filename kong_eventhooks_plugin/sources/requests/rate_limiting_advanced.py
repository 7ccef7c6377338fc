"""The source ``rate-limiting-advanced``: Kong Enterprise's plugin of that name refused a request.

Its events need to know that it is in force: by its headers alone it cannot be told from rate-limiting. A hook on it
hears rate-limiting and response-ratelimiting as well (the catalogue's ``tells``).
"""

from kong_eventhooks_plugin.sources.requests.limit_source import LimitSource
from kong_eventhooks_plugin.sources.requests.plugin_answers import RATE_LIMITING_ADVANCED


class RateLimitingAdvanced(LimitSource):
    """Hears 429 and the statuses that the plugin is configured with."""

    name = RATE_LIMITING_ADVANCED

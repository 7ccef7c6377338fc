"""The source ``rate-limiting-advanced``: Kong Enterprise's plugin of that name refused a request.

Its events need the node's plugins: its headers alone do not distinguish it from rate-limiting. A hook on it receives
the events of rate-limiting and response-ratelimiting as well (the entry's ``also_matches``).
"""

from kong_eventhooks_plugin.sources.entry import SourceEntry
from kong_eventhooks_plugin.sources.requests.fields import CONSUMER_GROUPS, LIMIT_API_DESCRIPTION
from kong_eventhooks_plugin.sources.requests.limit_source import LimitSource, exceeded_event
from kong_eventhooks_plugin.sources.requests.plugin_answers import (
    RATE_LIMITING,
    RATE_LIMITING_ADVANCED,
    RESPONSE_RATE_LIMITING,
)

_ALIAS = (
    "A hook on this source receives the events of `rate-limiting` and `response-ratelimiting` as well, each refusal "
    "once; what it receives says `rate-limiting-advanced`, as the hook named it. The open-source gateway has no plugin "
    "of this name. Kong Enterprise's plugin writes the headers of rate-limiting: with the setting `admin_url` we know "
    "which of the two runs, in the workspace `default`; without it the event is one of `rate-limiting`."
)

ENTRY = SourceEntry(
    RATE_LIMITING_ADVANCED,
    "Kong's rate-limiting, response-ratelimiting or, under Kong Enterprise, rate-limiting-advanced plugin refused.",
    "0.1.0",
    (
        exceeded_event(
            "A client exceeded a limit of rate-limiting-advanced, rate-limiting or response-ratelimiting.",
            LIMIT_API_DESCRIPTION,
        ),
    ),
    notes=(_ALIAS, CONSUMER_GROUPS),
    also_matches=(RATE_LIMITING, RESPONSE_RATE_LIMITING),
)


class RateLimitingAdvanced(LimitSource):
    entry = ENTRY

"""The source ``ai-rate-limiting-advanced``: Kong Enterprise's plugin of that name refused a request.

It has headers of its own (``ai_rate_headers``), which identify it also where the node's plugins are unknown.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, SourceEntry
from kong_eventhooks_plugin.sources.requests import fields
from kong_eventhooks_plugin.sources.requests.ai_rate_headers import query_cost
from kong_eventhooks_plugin.sources.requests.limit_source import LimitSource
from kong_eventhooks_plugin.sources.requests.plugin_answers import AI_RATE_LIMITING_ADVANCED

if TYPE_CHECKING:
    from kong_eventhooks_plugin.sources.requests.attribution import LimitVerdict
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog

ENTRY = SourceEntry(
    AI_RATE_LIMITING_ADVANCED,
    "Kong Enterprise's ai-rate-limiting-advanced plugin refused a request.",
    "0.1.0",
    (
        EventEntry(
            fields.RATE_LIMIT_EXCEEDED,
            "A client exceeded its limit for an AI provider.",
            (
                fields.CONSUMER,
                fields.IP,
                fields.SERVICE,
                EventField("rate", "null: the plugin does not report the usage beyond the limit.", kind="number"),
                fields.LIMIT,
                fields.WINDOW,
                fields.ROUTE,
                fields.REQUEST,
                fields.NODE,
                fields.RETRY_AFTER,
                fields.ATTRIBUTED,
                EventField(
                    "provider",
                    "The provider whose limit is exceeded, spelled as in the response header (lower case), the first "
                    "in the alphabet where several with this window are used up. null where it is unknown.",
                    "openai",
                ),
                EventField(
                    "strategy",
                    "What is counted: the plugin's `tokens_count_strategy` (`total_tokens`, `prompt_tokens`, "
                    "`completion_tokens`, `cost`). null where its configuration is unknown.",
                    "total_tokens",
                ),
                EventField(
                    "query_cost",
                    "What this request would have cost (provider `requestPrompt`). null otherwise.",
                    kind="number",
                ),
            ),
            fields.CLIENT_AND_SERVICE,
            fields.LIMIT_API_DESCRIPTION,
        ),
    ),
    notes=(
        (
            "The plugin is identified by its own response headers: `x-ai-ratelimit-remaining-<window>-<provider>: 0` "
            "together with `x-ai-ratelimit-retry-after`. It counts the cost of an answer at the next request, which it "
            "refuses."
        ),
        fields.HIDDEN_HEADERS,
        fields.CONSUMER_GROUPS,
        fields.NOT_TRIED,
    ),
)


class AiRateLimitingAdvanced(LimitSource):
    entry = ENTRY

    def values(self, log: "KongLog", verdict: "LimitVerdict") -> Mapping[str, Any]:
        """Return the limit without a rate: the plugin counts tokens, and says only that none are left."""
        shared = super().values(log, verdict)
        own = {"rate": None, "provider": shared["limit_name"], "strategy": verdict.strategy}
        return {**shared, **own, "query_cost": query_cost(log)}

"""Which limit is exceeded, read from ai-rate-limiting-advanced's headers.

From its public documentation (developer.konghq.com/plugins/ai-rate-limiting-advanced, "Headers sent to the client");
no open-source Kong has the plugin, so nothing here is recorded:

- ``X-AI-RateLimit-Limit-<window>-<provider>`` and ``X-AI-RateLimit-Remaining-<window>-<provider>``, as in
  ``-30-azure``. ``hide_client_headers`` leaves out these two.
- ``X-AI-RateLimit-Retry-After-<window>-<provider>`` and ``X-AI-RateLimit-Reset-<window>-<provider>`` of what is used
  up; ``X-AI-RateLimit-Retry-After`` and ``X-AI-RateLimit-Reset`` without them are seconds as well.
- ``X-AI-RateLimit-Query-Cost`` with the provider ``requestPrompt``, which counts before a model is asked.
- It counts what a model's answer cost at the next request, which it refuses before the service is asked.

The documentation also shows ``X-AI-RateLimit-Retry-After`` where something is left, so that one alone proves nothing.
Of several limits the one with the longest window counts, then the provider first in the alphabet.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kong_eventhooks_plugin.sources.requests.plugin_limits import seconds_of
from kong_eventhooks_plugin.sources.requests.rate_headers import ExceededLimit, numbers, seconds

if TYPE_CHECKING:
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog

_PREFIX: Final = "x-ai-ratelimit-"
_LIMIT: Final = _PREFIX + "limit-"
_REMAINING: Final = _PREFIX + "remaining-"
RETRY_AFTER: Final = _PREFIX + "retry-after"
"""Where the plugin refuses, there is a header with this name or one that begins so."""


def by_ai_rate_limiting(log: "KongLog") -> ExceededLimit | None:
    """Return the exceeded limit, its ``name`` the provider, where the headers say that the plugin refused.

    ``limit`` is None where it is hidden.
    """
    headers = log.response.headers
    if log.asked_service or not any(key.startswith(RETRY_AFTER) for key in headers):
        return None
    shown = [each for key in headers if key.startswith(_REMAINING) and (each := _used_up(headers, key))]
    exceeded = shown
    if not any(key.startswith(_REMAINING) for key in headers):
        exceeded = [each for key in headers if (each := _hidden(headers, key))]
    return min(exceeded, key=lambda each: (-(seconds_of(each.window or "") or 0), each.name or ""), default=None)


def query_cost(log: "KongLog") -> int | float | None:
    """Return what the request would have cost; None where no header says it."""
    return next(iter(numbers(log.response.headers.get(_PREFIX + "query-cost"))), None)


def _used_up(headers: Mapping[str, Any], key: str) -> ExceededLimit | None:
    place = _place(key, _REMAINING)
    remaining = numbers(headers[key])
    if place is None or not remaining or min(remaining) > 0:
        return None
    window, provider = place
    limit = next((each for each in numbers(headers.get(f"{_LIMIT}{window}-{provider}")) if each > 0), None)
    return ExceededLimit(limit, window, provider, _retry_after(headers, f"-{window}-{provider}"))


def _hidden(headers: Mapping[str, Any], key: str) -> ExceededLimit | None:
    place = _place(key, RETRY_AFTER + "-")
    return None if place is None else ExceededLimit(None, *place, seconds(headers[key]))


def _place(key: str, prefix: str) -> tuple[str, str] | None:
    """Return window and provider at a header's end; a provider's name may hold dashes."""
    if not key.startswith(prefix):
        return None
    window, _, provider = key[len(prefix) :].partition("-")
    return (window, provider) if provider and seconds_of(window) is not None else None


def _retry_after(headers: Mapping[str, Any], place: str) -> int | None:
    """Return the seconds for this limit, else those of the answer as a whole."""
    values = (headers.get(name) for name in (RETRY_AFTER + place, RETRY_AFTER, "retry-after"))
    return next((found for value in values if (found := seconds(value)) is not None), None)

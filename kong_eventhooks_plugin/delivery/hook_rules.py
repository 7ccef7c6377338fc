"""A hook's own rules of delivery, in its ``config``, over the limits of this process. Pure.

The schema bounds each of them; a hook without one costs a look-up.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from kong_eventhooks_plugin.delivery.backoff import RetryPolicy


def retry_policy(config: Mapping[str, Any], default: RetryPolicy) -> RetryPolicy:
    retry = config.get("retry")
    if retry is None:
        return default
    own: dict[str, Any] = {}
    if "attempts" in retry:
        own["attempts"] = retry["attempts"]
    if "schedule" in retry:
        own["schedule"] = tuple(retry["schedule"])
    if "max_retry_after" in retry:
        own["retry_after_cap"] = retry["max_retry_after"]
    if "final_statuses" in retry:
        own["final_statuses"] = frozenset(retry["final_statuses"])
    return replace(default, **own)


def attempt_seconds(config: Mapping[str, Any], default: float) -> float:
    """Return how long one attempt may take."""
    seconds: float = config.get("timeout", default)
    return seconds


def concurrency(config: Mapping[str, Any], default: int) -> int:
    """Return how many deliveries may be in flight at once."""
    most: int = 1 if is_ordered(config) else config.get("concurrency", default)
    return most


def is_ordered(config: Mapping[str, Any]) -> bool:
    """Return whether deliveries are attempted one after the other, in the order of acceptance."""
    return config.get("ordered") is True

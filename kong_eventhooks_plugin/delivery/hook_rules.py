"""A hook's own rules of delivery, in its ``config``, over the limits of this process. Pure.

The schema bounds each of them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from kong_eventhooks_plugin.delivery.backoff import RetryPolicy
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits


class HookRules(NamedTuple):
    """``longest`` is after how many seconds the worker ends an attempt that its handler did not end.

    ``lease`` is for how many seconds a delivery is claimed, ``concurrency`` how many may be in flight at once.
    ``ordered``: they are attempted one after the other, in the order of acceptance.
    """

    longest: float
    lease: float
    concurrency: int
    ordered: bool
    retry: RetryPolicy


def rules_of(config: Mapping[str, Any], limits: DeliveryLimits) -> HookRules:
    longest = config.get("timeout", limits.attempt) + limits.margin
    ordered = is_ordered(config)
    return HookRules(
        longest=longest,
        lease=max(limits.lease, 3 * longest),
        concurrency=1 if ordered else config.get("concurrency", limits.per_hook),
        ordered=ordered,
        retry=_retry(config, limits.retry),
    )


def is_ordered(config: Mapping[str, Any]) -> bool:
    return config.get("ordered") is True


def _retry(config: Mapping[str, Any], default: RetryPolicy) -> RetryPolicy:
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

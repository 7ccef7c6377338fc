"""Hands over to the delivering side what a transaction leased to it."""

from collections.abc import Mapping, Sequence

import structlog

from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.queue.contract import Taker

log = structlog.get_logger()


def hand_over(taker: Taker | None, leased: Mapping[str, tuple[float, Sequence[Delivery]]]) -> None:
    """``leased``: hook id -> until when, and what. An error must not keep the next transaction from starting."""
    if taker is None:
        return
    for hook_id, (until, deliveries) in leased.items():
        try:
            taker.taken(hook_id, deliveries, until)
        except Exception:
            log.exception("work_listener_failed", hook_id=hook_id)

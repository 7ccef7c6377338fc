"""An outage of Kong's Admin API, or of its database."""

from typing import Literal

import msgspec

from kong_eventhooks_plugin.model.kong_node import KongNode

Reason = Literal["admin_api", "database"]
"""What does not answer."""


class Outage(msgspec.Struct, frozen=True):
    """Polls that failed in a row: ``since`` the first, Unix seconds, ``failures`` of them, the last with ``error``.

    ``counts``: there were enough of them for an event. ``node`` is as it was known then: its end names the same.
    """

    since: float
    failures: int
    error: str
    counts: bool = False
    node: KongNode | None = None

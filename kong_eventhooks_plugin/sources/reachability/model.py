"""An outage of Kong's Admin API, or of its database."""

from typing import Literal

import msgspec

Reason = Literal["admin_api", "database"]
"""What does not answer."""


class Outage(msgspec.Struct, frozen=True):
    """Polls that failed in a row: ``since`` the first, Unix seconds, ``failures`` of them, the last with ``error``.

    ``counts``: there were enough of them for an event.
    """

    since: float
    failures: int
    error: str
    counts: bool = False

"""That what we ask of Kong does not answer, for how long."""

from typing import Literal

import msgspec

Reason = Literal["admin_api", "database"]
"""What does not answer: Kong's Admin API, or the database behind it, as the Admin API tells."""


class Outage(msgspec.Struct, frozen=True):
    """Looks that failed in a row: ``since`` the first, Unix seconds, ``failures`` of them, the last for ``error``.

    ``counts`` says that there were enough of them, so that it is told.
    """

    since: float
    failures: int
    error: str
    counts: bool = False

"""When a node counts as unreachable, and when as recovered. Pure.

Two things are polled, each on its own: ``admin_api`` (its answer to ``/status``) and ``database`` (what that
answer says of Kong's database; nothing where Kong has none, or does not answer). An error counts as an outage from the
``failures``-th poll in a row; one good poll ends it.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.http_errors import http_error
from kong_eventhooks_plugin.model.kong_node import KongNode
from kong_eventhooks_plugin.sources.reachability.model import Outage

DATABASE_ERROR: Final = "not_reachable"
UNREADABLE: Final = "unreadable"

_NAMES: Final[Mapping[str, str]] = {"protocol": "connection", "config": UNREADABLE}
"""Classes of ``http_errors`` that have another name here."""


class Step(msgspec.Struct, frozen=True):
    """What follows from one poll: the outage from now on, and the one that ``began`` or ``ended``, for an event."""

    outage: Outage | None
    began: Outage | None = None
    ended: Outage | None = None


def step(outage: Outage | None, error: str | None, now: float, patience: int, node: KongNode | None = None) -> Step:
    """Return what follows a poll with this class of ``error``, None for a good one."""
    if error is None:
        return Step(None, ended=outage if outage and outage.counts else None)
    if outage is None:
        outage = Outage(now, 0, error)
    grown = Outage(outage.since, outage.failures + 1, error, outage.counts, outage.node)
    if not grown.counts and grown.failures >= patience:
        counted = msgspec.structs.replace(grown, counts=True, node=node)
        return Step(counted, began=counted)
    return Step(grown)


def database_error(status: Mapping[str, Any]) -> str | None:
    """Return the error that the answer of ``/status`` names; None where it says nothing of a database."""
    database = status.get("database")
    return DATABASE_ERROR if isinstance(database, Mapping) and database.get("reachable") is False else None


def error_of(error: AdminApiError) -> str:
    """Return the class of a failed poll.

    ``status_503``, ``timeout``, ``tls``, ``connect`` (refused, or no such host), ``connection`` (broken on the way),
    ``unreadable``, ``internal`` (no descriptor left here).
    """
    if error.status is not None:
        return f"status_{error.status}"
    if error.__cause__ is None:
        return UNREADABLE
    kind = http_error(error.__cause__, "Kong").kind
    return _NAMES.get(kind, kind)


def public_url(url: str) -> str:
    """Return an Admin API's address for people: scheme, host, port and path, never a user, a password or a query."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path.rstrip('/')}"

"""When a node counts as unreachable, and when as back. Pure.

Two things are watched, each on its own: ``admin_api`` (its answer to ``/status``) and ``database`` (what that
answer says of Kong's database; nothing where Kong has none, or does not answer). A fault counts from the
``patience``-th look in a row that has it; one good look ends it.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.http_errors import http_error
from kong_eventhooks_plugin.sources.reachability.model import Outage

DATABASE_ERROR: Final = "not_reachable"
UNREADABLE: Final = "unreadable"

_NAMES: Final[Mapping[str, str]] = {"protocol": "connection", "config": UNREADABLE}
"""Classes of ``http_errors`` that have another name here."""


class Step(msgspec.Struct, frozen=True):
    """What one look leads to: the outage from now on, and what is to be told of ``began`` or ``ended`` outages."""

    outage: Outage | None
    began: Outage | None = None
    ended: Outage | None = None


def step(outage: Outage | None, fault: str | None, now: float, patience: int) -> Step:
    """Return what follows a look that had ``fault``, a short class of it, None where all was well."""
    if fault is None:
        return Step(None, ended=outage if outage and outage.counts else None)
    if outage is None:
        outage = Outage(now, 0, fault)
    grown = Outage(outage.since, outage.failures + 1, fault, outage.counts)
    if not grown.counts and grown.failures >= patience:
        counted = msgspec.structs.replace(grown, counts=True)
        return Step(counted, began=counted)
    return Step(grown)


def database_error(status: Mapping[str, Any]) -> str | None:
    """Return the fault that the answer of ``/status`` names; none where it says nothing of a database."""
    database = status.get("database")
    return DATABASE_ERROR if isinstance(database, Mapping) and database.get("reachable") is False else None


def error_of(error: AdminApiError) -> str:
    """Return the class of a failed look.

    ``status_503``, ``timeout``, ``tls``, ``connect`` (refused, or no such host), ``connection`` (broken on the way),
    ``unreadable``.
    """
    if error.status is not None:
        return f"status_{error.status}"
    if error.__cause__ is None:
        return UNREADABLE
    kind = http_error(error.__cause__, "Kong").kind
    return _NAMES.get(kind, kind)


def public_url(url: str) -> str:
    """Return where an Admin API is for people: scheme, host, port and path, never a user, a password or a query."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path.rstrip('/')}"

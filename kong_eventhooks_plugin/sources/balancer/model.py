"""How Kong's balancer sees one address of one target, and that this changed."""

from typing import Literal, NamedTuple

import msgspec

Health = Literal["healthy", "unhealthy", "dns_error"]
"""The first two are Kong Enterprise's; ``dns_error``: the target's name does not resolve."""


class Address(NamedTuple):
    """One address of one target. ``ip`` is None for the target's name itself, which resolves or does not.

    ``target`` is Kong's text (``host:port``), ``hostname`` that without the port. ``ip`` can be a name, where an SRV
    record leads to one.
    """

    target: str
    hostname: str
    ip: str | None
    port: int


class HealthChange(msgspec.Struct, frozen=True):
    """One address changed its health, as one Kong node sees it (``node_id``; None where Kong does not say).

    ``health`` is None where its state ended without being healthy again: it is removed, or nobody checks it any more.
    ``at`` is when we saw it, Unix seconds. ``upstream`` is its name.
    """

    upstream_id: str
    upstream: str
    address: Address
    health: Health | None
    old_health: Health
    node_id: str | None
    at: float

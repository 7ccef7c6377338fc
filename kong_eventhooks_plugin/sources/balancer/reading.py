"""Reads from the Admin API how Kong's balancer sees the targets of an upstream.

Which upstreams have health checks is Kong's own rule (kong/runloop/balancer/healthcheckers.lua,
``is_upstream_using_healthcheck``): an interval of active checks, or a threshold of passive ones that can make a target
unhealthy. ``healthchecks.threshold`` is about the whole upstream and changes nothing for an address.

A target's entry in ``/upstreams/<id>/health`` and what is read of it:

==============================================  ==============================================================
its ``data``                                    read as
==============================================  ==============================================================
none                                            Kong's balancer does not have the target (yet): unknown
no address, and ``health`` is ``DNS_ERROR``     the name (``ip`` None) is ``dns_error``
addresses                                       the name is ``healthy``, and each address as it says
an address ``HEALTHCHECKS_OFF``, a weight of 0  nothing: Kong does not check it
==============================================  ==============================================================

Two addresses with the same ip and port (two SRV records) are one, unhealthy where one of them is: Kong marks the first
alone. Each worker of a node resolves names for itself, so two answers can name different addresses.

Limits: those of ``AdminClient``; ``PAGES`` pages an upstream, past which its reading fails: 10,000 targets.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.kong.admin_api.client import PAGE_SIZE, AdminClient
from kong_eventhooks_plugin.sources.balancer.model import Address, Health

PAGES: Final = 100

_WORDS: Final[Mapping[str, Health]] = {"HEALTHY": "healthy", "UNHEALTHY": "unhealthy"}
_OFF: Final = "HEALTHCHECKS_OFF"
_DNS_ERROR: Final = "DNS_ERROR"


class Upstream(msgspec.Struct, frozen=True):
    """An upstream with health checks."""

    id: str
    name: str


class HealthReading(msgspec.Struct, frozen=True):
    """What one Kong node says of one upstream.

    ``health`` is by address. ``targets`` are those that Kong checks, ``unknown`` those of them without a health now.
    ``unreadable`` counts what has an unknown form.
    """

    node_id: str | None
    health: Mapping[Address, Health]
    targets: frozenset[str]
    unknown: frozenset[str] = frozenset()
    unreadable: int = 0


def is_checked(upstream: Mapping[str, Any]) -> bool:
    """Return whether Kong checks the health of an upstream's targets, from the entity."""
    checks = _mapping(upstream.get("healthchecks"))
    active, passive = _mapping(checks.get("active")), _mapping(checks.get("passive"))
    unhealthy = _mapping(passive.get("unhealthy"))
    return any(
        (
            _mapping(active.get("healthy")).get("interval"),
            _mapping(active.get("unhealthy")).get("interval"),
            *(unhealthy.get(threshold) for threshold in ("tcp_failures", "timeouts", "http_failures")),
        )
    )


def checked_upstreams(entities: list[dict[str, Any]]) -> dict[str, Upstream]:
    """Return those of a complete list of upstreams that have health checks, by id."""
    return {
        entity["id"]: Upstream(entity["id"], str(entity.get("name") or entity["id"]))
        for entity in entities
        if isinstance(entity.get("id"), str) and is_checked(entity)
    }


async def read_upstream_health(client: AdminClient, upstream_id: str) -> HealthReading:
    """Read the health of one upstream; raises ``AdminApiError``, with ``status`` 404 where there is none."""
    path = f"/upstreams/{quote(upstream_id, safe='')}/health"
    query = {"size": str(PAGE_SIZE)}
    pages: list[dict[str, Any]] = []
    while len(pages) < PAGES:
        pages.append(await client.get(path, query))
        offset = pages[-1].get("offset")
        if not offset:
            return read_health(pages)
        query["offset"] = str(offset)
    raise AdminApiError(f"{path}: more than {PAGES} pages")


def read_health(pages: list[dict[str, Any]]) -> HealthReading:
    """Read all the pages of ``/upstreams/<id>/health``; raises ``AdminApiError`` where they come from two nodes."""
    nodes = {node if isinstance(node := page.get("node_id"), str) else None for page in pages}
    if len(nodes) > 1:
        raise AdminApiError("health: the pages come from different Kong nodes")
    health: dict[Address, Health] = {}
    targets: set[str] = set()
    unknown: set[str] = set()
    unreadable = 0
    for target in (_Target(entry) for page in pages for entry in _listed(page.get("data"))):
        if not target.readable:
            unreadable += 1
        elif not target.off:
            targets.add(target.text)
            if target.unknown:
                unknown.add(target.text)
            for address, seen in target.seen():
                health[address] = seen if health.get(address) != "unhealthy" else "unhealthy"
            unreadable += target.unreadable
    node_id = nodes.pop() if nodes else None
    return HealthReading(node_id, health, frozenset(targets), frozenset(unknown), unreadable)


class _Target:
    """One entry of the list."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        text = entry.get("target")
        self.text = text if isinstance(text, str) else ""
        self._data = _mapping(entry.get("data"))
        self._health = entry.get("health")
        self._addresses = _listed(self._data.get("addresses"))
        self._host, _, self._port = self.text.rpartition(":")
        self.readable = bool(self._host) and self._port.isdecimal()
        self.off = entry.get("weight") == 0 or self._health == _OFF
        self.unknown = not self._data or (not self._addresses and self._health != _DNS_ERROR)
        self.unreadable = 0

    def seen(self) -> Iterator[tuple[Address, Health]]:
        if self.unknown:
            return
        yield Address(self.text, self._host, None, int(self._port)), "healthy" if self._addresses else "dns_error"
        for each in self._addresses:
            ip, port, word = each.get("ip"), each.get("port"), each.get("health")
            if word == _OFF:
                continue
            health = _WORDS.get(word) if isinstance(word, str) else None
            if health and isinstance(ip, str) and isinstance(port, int):
                yield Address(self.text, self._host, ip, port), health
            else:
                self.unreadable += 1


def _listed(value: Any) -> list[Mapping[str, Any]]:
    # Kong's encoder writes an empty list as {} here.
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

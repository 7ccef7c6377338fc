"""The health of targets, as the balancer of one Kong node sees it; a test says what it is."""

from typing import Any

from tests.support.admin_store import Entity, Refused

OFF = "HEALTHCHECKS_OFF"
HEALTHY = "HEALTHY"
UNHEALTHY = "UNHEALTHY"
DNS_ERROR = "DNS_ERROR"


class Health:
    """Health per upstream and address (``ip``, ``port``), by the upstream's name.

    What was never set is HEALTHY where the upstream has a health check, else HEALTHCHECKS_OFF. A real Kong needs some
    seconds before a new upstream has a balancer; here it has one at once unless its name is in ``unbalanced``: then its
    targets come without health, and their health cannot be set (both seen on a real Kong).
    """

    def __init__(self) -> None:
        self._set: dict[tuple[str, str, int], str] = {}
        self._addresses: dict[tuple[str, str], list[tuple[str, int]]] = {}
        self._failed: set[tuple[str, str]] = set()
        self.unbalanced: set[str] = set()
        self.new_are_unbalanced = False

    def set(self, upstream: str, ip: str, port: int, health: str) -> None:
        """Say what an address of an upstream is: HEALTHY, UNHEALTHY."""
        self._set[upstream, ip, port] = health

    def resolve(self, upstream: str, target: str, *addresses: tuple[str, int]) -> None:
        """Say which addresses a target's name has; none: DNS_ERROR."""
        self._addresses[upstream, target] = list(addresses)
        self._failed.discard((upstream, target))
        if not addresses:
            self._failed.add((upstream, target))

    def report(self, upstream: Entity, target: Entity) -> Entity:
        """Return the target's entry in ``/upstreams/<name>/health``."""
        if upstream["name"] in self.unbalanced:
            return target
        addresses = [
            {"ip": ip, "port": port, "weight": target["weight"], "health": self._of(upstream, ip, port)}
            for ip, port in self._resolved(upstream["name"], target["target"])
        ]
        data = _data(target, addresses)
        if not addresses:
            return {
                **target,
                "health": DNS_ERROR,
                "data": data | {"addresses": {}, "dns": "dns server error: 3 name error"},
            }
        states = [address["health"] for address in addresses]
        health = HEALTHY if HEALTHY in states else states[0]
        return {**target, "health": health, "data": data}

    def post(self, upstream: Entity, target: Entity, address: str | None, health: str) -> None:
        """Do what PUT ``.../healthy`` and ``.../unhealthy`` do; raises ``Refused`` as Kong does."""
        if upstream["name"] in self.unbalanced:
            raise Refused(400, {"message": f"Upstream {upstream['name']} has no balancer"})
        if not _checked(upstream):
            raise Refused(400, {"message": f"no healthchecker found for {upstream['name']}"})
        for ip, port in self._resolved(upstream["name"], target["target"]):
            if address in (None, f"{ip}:{port}", ip):
                self.set(upstream["name"], ip, port, health)

    def _resolved(self, upstream: str, target: str) -> list[tuple[str, int]]:
        host, _, port = target.rpartition(":")
        return self._addresses.get((upstream, target), [(host, int(port))])

    def _of(self, upstream: Entity, ip: str, port: int) -> str:
        return self._set.get((upstream["name"], ip, port), HEALTHY) if _checked(upstream) else OFF


def _data(target: Entity, addresses: list[dict[str, Any]]) -> dict[str, Any]:
    host, _, port = target["target"].rpartition(":")
    weights = [(address["weight"], address["health"]) for address in addresses]
    total = sum(weight for weight, _ in weights)
    away = sum(weight for weight, health in weights if health == UNHEALTHY)
    return {
        "dns": "A",
        "host": host,
        "port": int(port),
        "nodeWeight": target["weight"],
        "addresses": addresses,
        "weight": {"total": total, "available": total - away, "unavailable": away},
    }


def _checked(upstream: Entity) -> bool:
    checks = upstream["healthchecks"]
    active, passive = checks["active"], checks["passive"]
    return any((
        active["healthy"]["interval"] > 0,
        active["unhealthy"]["interval"] > 0,
        passive["unhealthy"]["tcp_failures"] > 0,
        passive["unhealthy"]["timeouts"] > 0,
        passive["unhealthy"]["http_failures"] > 0,
    ))  # fmt: skip

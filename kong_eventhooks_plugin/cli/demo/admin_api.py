"""A stand-in for the Admin API of the played Kong, on loopback: what the sidecar reads of a Kong, and nothing else.

It has consumers, and one upstream with one target. Its answers have the form of a real Kong 3.9.1's, cut to what the
sidecar reads; anything else answers 404, as an open-source Kong does to what it does not have. ``/endpoints`` lists
consumers alone, so that a reconciliation lists nothing else.

Limits: it only reads (405 for the other methods); one page a list.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Self

from aiohttp import web

from kong_eventhooks_plugin.hooks.schema import CRUD_PLUGIN, PLUGIN

Entity = dict[str, Any]

UPSTREAM = "orders"
TARGET = "127.0.0.1:9190"

_UPSTREAM_ID = "ffc11d91-e00b-5f6c-92cb-5b2f85aa62ce"
_CHECKS = {"active": {"healthy": {"interval": 1}, "unhealthy": {"interval": 1}}}
_WORKER = 8059
_CONSUMER_FIELDS: Mapping[str, Entity] = {
    "id": {"type": "string", "auto": True, "uuid": True},
    "created_at": {"type": "integer", "auto": True, "timestamp": True},
    "updated_at": {"type": "integer", "auto": True, "timestamp": True},
    "username": {"type": "string", "unique": True},
    "custom_id": {"type": "string", "unique": True},
    "tags": {"type": "set", "elements": {"type": "string", "required": True}},
}


class AdminApi:
    """Use it with ``async with``. ``healthy`` is what the balancer thinks of the target."""

    def __init__(self) -> None:
        self.healthy = True
        self.plugins: list[Entity] = []
        self._consumers: list[Entity] = []
        self._node_id = str(uuid.uuid4())
        self._answers: Mapping[str, Callable[[], Entity]] = {
            "/status": lambda: {"memory": {"workers_lua_vms": [{"pid": _WORKER}]}, "database": {"reachable": True}},
            "/plugins/enabled": lambda: {"enabled_plugins": [PLUGIN, CRUD_PLUGIN]},
            "/endpoints": lambda: {"data": ["/consumers", "/consumers/{consumers}"]},
            "/schemas/consumers": lambda: {"fields": [{name: field} for name, field in _CONSUMER_FIELDS.items()]},
            "/plugins": lambda: _page(self.plugins),
            "/consumers": lambda: _page(self._consumers),
            "/upstreams": lambda: _page([{"id": _UPSTREAM_ID, "name": UPSTREAM, "healthchecks": _CHECKS}]),
            f"/upstreams/{_UPSTREAM_ID}/health": lambda: _page([self._target()]) | {"node_id": self._node_id},
        }
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def create_consumer(self) -> Entity:
        """Create another one; return it as Kong answers it."""
        now = int(time.time())
        name = f"ada-{len(self._consumers) + 1}"
        consumer = {"id": str(uuid.uuid4()), "username": name, "custom_id": None, "tags": None,
                    "created_at": now, "updated_at": now}  # fmt: skip
        self._consumers.append(consumer)
        return consumer

    async def _answer(self, request: web.Request) -> web.Response:
        answer = self._answers.get(request.path)
        body, status = ({"message": "Not found"}, 404) if answer is None else (answer(), 200)
        return web.json_response(body, status=status, headers={"Server": "kong/3.9.1"})

    def _target(self) -> Entity:
        host, _, port = TARGET.rpartition(":")
        health = "HEALTHY" if self.healthy else "UNHEALTHY"
        address = {"ip": host, "port": int(port), "weight": 100, "health": health}
        return {"target": TARGET, "weight": 100, "health": health, "data": {"host": host, "addresses": [address]}}


def _page(entities: list[Entity]) -> Entity:
    return {"data": entities, "next": None}

"""Which Kong node the sidecar is beside, as far as it is known."""

import socket
from typing import Any

import msgspec


class KongNode(msgspec.Struct, frozen=True):
    """Named as Kong's Admin API names it. The hostname is the sidecar's, which shares the host, until Kong tells it."""

    id: str | None = None
    hostname: str = msgspec.field(default_factory=socket.gethostname)

    def data(self) -> dict[str, Any]:
        return {"id": self.id, "hostname": self.hostname}


class NodeIdentity:
    """What is known of the node; whoever learns more sets it."""

    def __init__(self) -> None:
        self.node = KongNode()

    def learn(self, node_id: object, hostname: object = None) -> None:
        """Take what Kong says; what is no text says nothing."""
        known = self.node
        self.node = KongNode(
            node_id if isinstance(node_id, str) and node_id else known.id,
            hostname if isinstance(hostname, str) and hostname else known.hostname,
        )

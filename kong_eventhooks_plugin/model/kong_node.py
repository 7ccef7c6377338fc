"""Which Kong node the sidecar is beside, as far as it is known.

Limit: what Kong says is a word of ``LONGEST`` characters; what is none says nothing. It goes into every event, and into
the store that nodes share, whose texts cannot have every character.
"""

import socket
from typing import Any, Final, TypeGuard

import msgspec

LONGEST: Final = 253


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
        """Take what Kong says."""
        known = self.node
        self.node = KongNode(
            node_id if _is_word(node_id) else known.id,
            hostname if _is_word(hostname) else known.hostname,
        )


def _is_word(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and 0 < len(text) <= LONGEST and text.isprintable()

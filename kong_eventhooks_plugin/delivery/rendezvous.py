"""Which node delivers a hook: rendezvous hashing. Every node computes the same from the same rows; pure.

Each node has a score for each hook, and the highest has it: where a node goes, only its own hooks move, and they spread
over all others; where one comes, only what becomes its own does.
"""

from collections.abc import Iterable
from hashlib import blake2b

from kong_eventhooks_plugin.queue.nodes import Node


def owner(hook_id: str, nodes: Iterable[Node]) -> Node | None:
    """Return which of ``nodes`` has a hook, None where there are none; of two processes of one node the newer."""
    return max(nodes, key=lambda node: (_score(node.id, hook_id), node.started_at, node.process), default=None)


def _score(node_id: str, hook_id: str) -> bytes:
    return blake2b(f"{node_id}\0{hook_id}".encode(), digest_size=8).digest()

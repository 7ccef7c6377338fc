"""Which node delivers a hook: rendezvous hashing over those that know it. Pure; every node computes the same.

Each node has a score for each hook, and the highest has it: where a node goes, only its own hooks move, and they spread
over all others; where one comes, only what becomes its own does. A hook that nodes declare is one of theirs; one that
nobody declares (the API has made it, or it is removed) is anybody's.

Limit: for ``REMEMBERED`` hooks the answer is kept; past it, all are computed anew.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Final

from kong_eventhooks_plugin.queue.nodes import Node

REMEMBERED: Final = 10_000


def owner(hook_id: str, nodes: Iterable[Node]) -> Node | None:
    """Return which of ``nodes`` has a hook, None where there are none; of two processes of one node the newer."""
    return max(nodes, key=lambda node: (_score(node.id, hook_id), node.started_at, node.process), default=None)


def _score(node_id: str, hook_id: str) -> bytes:
    return blake2b(f"{node_id}\0{hook_id}".encode(), digest_size=8).digest()


class Distribution:
    """What nodes deliver, by what each says of itself."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = tuple(nodes)
        self.live = tuple(node for node in nodes if node.state == "live")
        self._owners: dict[str, Node | None] = {}

    def owner(self, hook_id: str) -> Node | None:
        """Return which process delivers a hook; None where none does, or only nodes declare it that may come back."""
        if hook_id not in self._owners:
            if len(self._owners) >= REMEMBERED:
                self._owners.clear()
            self._owners[hook_id] = self._owner(hook_id)
        return self._owners[hook_id]

    def declared(self, hook_id: str, *, but: str) -> bool:
        """Return whether a live node other than ``but`` declares a hook."""
        return any(hook_id in node.hooks for node in self.live if node.id != but)

    def _owner(self, hook_id: str) -> Node | None:
        knowing = [node for node in self.live if hook_id in node.hooks]
        if not knowing and hook_id in self._absent:
            return None
        return owner(hook_id, knowing or self.live)

    @cached_property
    def _absent(self) -> frozenset[str]:
        """What those processes declare that deliver nothing now, where their node has none that does."""
        back = {node.id for node in self.live}
        return frozenset().union(*(node.hooks for node in self.nodes if node.state != "live" and node.id not in back))

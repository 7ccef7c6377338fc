"""The nodes that share the store, and what each of them delivers: for /readyz and the console.

Limit: ``NODES`` processes are shown.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from kong_eventhooks_plugin.delivery.rendezvous import Distribution
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.queue.nodes import NodeState

NODES: Final = 200


class Members(Protocol):
    """The part of the membership that is needed here."""

    @property
    def process(self) -> str:
        """Ours."""

    @property
    def distribution(self) -> Distribution: ...


class NodeShare(msgspec.Struct, frozen=True):
    """A process of a node. ``hooks`` are the names of those that it delivers of the hooks that this node knows."""

    id: str
    name: str
    version: str
    state: NodeState
    ours: bool
    seen_at: float
    hooks: tuple[str, ...]


def node_shares(members: Members | None, hooks: Mapping[str, Hook]) -> tuple[NodeShare, ...]:
    """Return every process that the last heartbeat found, by name and start; nothing where no nodes share the store."""
    if members is None:
        return ()
    found = members.distribution
    delivered: dict[str, list[str]] = {}
    for hook in sorted(hooks.values(), key=lambda hook: hook.name):
        owner = found.owner(hook.id)
        if owner is not None:
            delivered.setdefault(owner.process, []).append(hook.name)
    nodes = sorted(found.nodes, key=lambda node: (node.name, node.started_at))
    return tuple(
        NodeShare(
            id=node.id,
            name=node.name,
            version=node.version,
            state=node.state,
            ours=node.process == members.process,
            seen_at=node.seen_at,
            hooks=tuple(delivered.get(node.process, ())),
        )
        for node in nodes[:NODES]
    )


def deliverer(members: Members | None, hook_id: str) -> str | None:
    """Return the name of the node that delivers a hook; None where no nodes share the store, or none delivers it."""
    owner = None if members is None else members.distribution.owner(hook_id)
    return None if owner is None else owner.name

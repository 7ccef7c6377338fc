"""When Kong is asked which node it is: in a log phase that hands over a request's log anyway, each ``EVERY`` seconds.

A data plane has no Admin API to say it. So nothing is asked for most requests, and an id that Kong got at a restart is
known soon.
"""

from typing import Final

from kong_eventhooks_plugin.model.kong_node import KongNode, NodeIdentity

EVERY: Final = 60.0


class NodeQuestion:
    def __init__(self, identity: NodeIdentity) -> None:
        self._identity = identity
        self._asked_at: float | None = None

    @property
    def node(self) -> KongNode:
        return self._identity.node

    def is_due(self, now: float) -> bool:
        """Return whether to ask now; whoever is told so asks."""
        if self._asked_at is not None and 0 <= now - self._asked_at < EVERY:
            return False
        self._asked_at = now
        return True

    def answered(self, node_id: object) -> None:
        self._identity.learn(node_id)

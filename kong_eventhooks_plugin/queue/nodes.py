"""The nodes that share a queue: what each says of itself, and the table that they say it in.

A node has an id for as long as its data directory lives, and one process or, while Kong reloads, two. Each process says
with a heartbeat that it lives (``delivery.membership`` judges who does not).

Limit: what is known of a process that is gone is kept for ``REMEMBERED`` seconds; of one in whose place the node has
another, until its leases have been released.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

REMEMBERED: Final = 3_600.0
RELEASING: Final = 120.0
"""How long after its last heartbeat leases of a process that is gone are looked for; they have ended by then."""

NodeState = Literal["live", "accepting", "leaving", "gone"]
"""``accepting``: it delivers nothing; ``leaving``: it ends what is under way and begins nothing more."""


class Node(msgspec.Struct, frozen=True):
    """A process of a node. ``hooks`` are the ids of those that the node itself declares, the API's are not among them.

    ``process`` names it as ``holders`` does. ``kong`` is the id of the Kong node beside it, where that is known.
    ``seen_at`` is its last heartbeat, in the store's time.
    """

    process: str
    id: str
    name: str
    version: str
    hooks: frozenset[str] = frozenset()
    kong: str | None = None
    state: NodeState = "live"
    started_at: float = 0.0
    seen_at: float = 0.0


class SpoolState(NamedTuple):
    """What waits for the shared store, and since when the oldest of it does (None: nothing waits)."""

    offers: int
    bytes: int
    oldest: float | None


NOTHING_SPOOLED: Final = SpoolState(0, 0, None)


class Beat(msgspec.Struct, frozen=True):
    """What a heartbeat found: every process in the table, and when, in the store's time.

    ``lost``: ours had been taken for gone, or the store has forgotten it.
    """

    nodes: tuple[Node, ...]
    at: float
    lost: bool = False


class NodeTable(Protocol):
    """Every method may raise ``StoreUnavailable``."""

    async def beat(self, ours: Node) -> Beat:
        """Say that our process lives, and what it declares. Its ``started_at`` and ``seen_at`` are the store's."""

    async def set_gone(self, node: Node) -> bool:
        """Note that a process is gone, unless it has been seen since; return whether that was news."""

    async def release_leases(self) -> Sequence[str]:
        """Make what processes that are gone have leased due again; return of which hooks."""

    def wake(self, hook_id: str, owner: Node | None) -> None:
        """Tell ``owner``, or all others where there is none, that a hook has work. Best effort: each polls as well."""

    def on_news(self, has_work: Callable[[str], None], changed: Callable[[], None]) -> None:
        """Have ``has_work(hook_id)`` called where another process says so, ``changed`` where another has changed."""


def forgotten(nodes: Iterable[Node], now: float) -> list[str]:
    """Return the processes that have been gone for so long that nothing needs to be known of them."""
    nodes = list(nodes)
    back = {node.id for node in nodes if node.state != "gone"}
    return [
        node.process
        for node in nodes
        if node.state == "gone" and abs(now - node.seen_at) >= (RELEASING if node.id in back else REMEMBERED)
    ]

"""The table of nodes in memory: ``NodeRows`` is what is shared, a ``MemoryNodeTable`` what one process has of it."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.contract import Clock
from kong_eventhooks_plugin.queue.nodes import Beat, Node


class NodeRows:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rows: dict[str, Node] = {}
        self.tables: list[MemoryNodeTable] = []
        self.released = 0


class MemoryNodeTable:
    """``queue.nodes.NodeTable``. ``away``: the store cannot be reached by this process."""

    def __init__(self, shared: NodeRows) -> None:
        self.shared = shared
        self.away = False
        self.process = ""
        self.woken: list[str] = []
        self._has_work: Callable[[str], None] = lambda _: None
        self._changed: Callable[[], None] = lambda: None
        shared.tables.append(self)

    async def beat(self, ours: Node) -> Beat:
        self._reach()
        self.process = ours.process
        now, rows = self.shared.clock(), self.shared.rows
        was = rows.get(ours.process)
        rows[ours.process] = replace(ours, seen_at=now, started_at=now if was is None else was.started_at)
        if was is None or _said(was) != _said(rows[ours.process]):
            for each in self.shared.tables:
                if each is not self:
                    each._changed()
        return Beat(tuple(rows.values()), now, was is not None and was.state == "gone" and ours.state != "gone")

    async def set_gone(self, node: Node) -> bool:
        self._reach()
        news = self.shared.rows[node.process] == node
        if news:
            self.shared.rows[node.process] = replace(node, state="gone")
        return news

    async def release_leases(self) -> Sequence[str]:
        self._reach()
        self.shared.released += 1
        return []

    def wake(self, hook_id: str, owner: Node | None) -> None:
        self.woken.append(hook_id)
        for each in self.shared.tables:
            if each is not self and (owner is None or each.process == owner.process):
                each._has_work(hook_id)

    def on_news(self, has_work: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._has_work, self._changed = has_work, changed

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


def _said(node: Node) -> Node:
    return replace(node, seen_at=0.0)

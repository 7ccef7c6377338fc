"""Rows of the mirror's tables to values and back."""

from typing import NamedTuple

from kong_eventhooks_plugin.kong.admin_api.entities import MaskedEntity
from kong_eventhooks_plugin.sources.changes.mirror.ordering import KnownState, TimeWindow
from kong_eventhooks_plugin.sources.changes.mirror.snapshot import Snapshot, unpacked


class Row(NamedTuple):
    """An entity that exists; the fields are the columns of ``mirror_entities``."""

    n: int
    schema: str
    id: str
    workspace: str | None
    rev: int
    route_rev: int
    rules: bytes
    content: bytes
    natural: bytes | None
    since: float
    low: float
    high: float
    others: bytes | None
    shown: bytes
    digests: bytes | None

    @property
    def by_route(self) -> bool:
        """Whether the route wrote it last."""
        return self.route_rev == self.rev

    @property
    def window(self) -> TimeWindow:
        """When this state was Kong's."""
        return TimeWindow(self.low, self.high)

    @property
    def known_state(self) -> KnownState:
        return KnownState(self.since, self.window, self.by_route)

    def masked(self) -> MaskedEntity:
        return unpacked(self.shown, self.digests)


class Tombstone(NamedTuple):
    """A deleted entity; the fields are the columns of ``mirror_tombstones`` behind its key."""

    rev: int
    route_rev: int
    since: float
    low: float
    high: float
    others: bytes | None
    root: str | None

    @property
    def known_state(self) -> KnownState:
        return KnownState(self.since, TimeWindow(self.low, self.high), self.route_rev == self.rev)


class Writing(NamedTuple):
    """What is written with a snapshot. ``route_rev`` 0: the route never wrote the row."""

    rev: int
    route_rev: int
    since: float
    window: TimeWindow
    others: bytes | None = None


def columns(snapshot: Snapshot, writing: Writing) -> tuple[object, ...]:
    """Return the columns of a row, without its number."""
    return (
        snapshot.schema, snapshot.id, snapshot.workspace, writing.rev, writing.route_rev, snapshot.rules,
        snapshot.content, snapshot.natural, writing.since, writing.window.low, writing.window.high,
        writing.others or None, snapshot.shown, snapshot.digests,
    )  # fmt: skip

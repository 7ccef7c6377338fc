"""A poller's state, kept in a note together with the events that are pending.

A new state and its events are written first, then the events are published, then the note is written without them. So
whatever is killed in between, the next process finds the very same events and publishes them again with the same ids:
the queue keeps one of each. No event is published for a state that could be lost, and none is lost unpublished.

Limits: a note is as large as the state; one that cannot be read (another release wrote it) is logged, and the
poller starts from nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import structlog

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.pollers.publisher import Publisher

S = TypeVar("S")

_log = structlog.get_logger()


class Notes(Protocol):
    """Small durable values by name: of a node (``storage.notes.NoteStore``), or of all that share a store.

    Every method may raise ``StoreUnavailable``.
    """

    async def get(self, name: str) -> bytes | None: ...

    async def put(self, name: str, value: bytes) -> None: ...

    async def names(self, prefix: str = "") -> list[str]: ...

    async def drop(self, name: str) -> None: ...


class CheckpointRecord(msgspec.Struct, Generic[S], frozen=True):
    state: S
    pending: tuple[Event, ...] = msgspec.field(default=(), name="untold")


class Checkpoint(Generic[S]):
    """The state of one poller, or of one thing that it polls.

    ``kind()`` is the first state. ``durable`` returns the part of a state that a restart must not lose, to be
    compared: a state whose durable part is the same is not written, and where it is false there is no note at all.
    """

    def __init__(
        self, notes: Notes, name: str, kind: type[S], durable: Callable[[S], Any], publisher: Publisher
    ) -> None:
        self._notes = notes
        self._name = name
        self._kind = kind
        self._durable = durable
        self._publisher = publisher
        self._note = CheckpointRecord(kind())

    @property
    def state(self) -> S:
        return self._note.state

    async def load(self) -> bool:
        """Read the note and publish what is pending; False where the gate closed meanwhile."""
        content = await self._notes.get(self._name)
        self._note = CheckpointRecord(self._kind())
        if content is not None:
            try:
                self._note = msgspec.json.decode(content, type=CheckpointRecord[self._kind])  # type: ignore[name-defined]  # msgspec reads it
            except msgspec.MsgspecError as error:
                _log.warning("checkpoint_unreadable", name=self._name, error=str(error))
        return await self._flush()

    async def commit(self, state: S, events: Sequence[Event] = ()) -> bool:
        """Make ``state`` the state and publish its events; False as ``load``. What raised can be done again."""
        if not await self._flush():
            return False
        note = CheckpointRecord(state, tuple(events))
        if events or self._durable(state) != self._durable(self.state):
            await self._write(note)
        self._note = note
        return await self._flush()

    async def forget(self) -> None:
        await self._notes.drop(self._name)
        self._note = CheckpointRecord(self._kind())

    async def _flush(self) -> bool:
        if not self._note.pending:
            return True
        if not await self._publisher.publish(self._note.pending):
            return False
        note = CheckpointRecord(self.state)
        await self._write(note)
        self._note = note
        return True

    async def _write(self, note: CheckpointRecord[S]) -> None:
        if note.pending or self._durable(note.state):
            await self._notes.put(self._name, msgspec.json.encode(note))
        else:
            await self._notes.drop(self._name)

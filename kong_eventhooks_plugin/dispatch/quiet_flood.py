"""Which requests' logs need not be read: those whose status can fire no hook now, whatever the log says.

A hook with ``snooze`` and without ``on_change`` is silent for its snooze after it fired, on any data. While all enabled
hooks that a status can fire are, ``reads`` logs a second are read, and their events are stored and counted as held
back. Of the other requests the status is counted, and nothing else is known: not whether the refusal was an event,
whose, or of which client. So a hook's next delivery carries how many there were as an upper bound (``with_unread``):
of this process, since the hook fired.

What is known is what hooks fired for in this process since hooks last changed; while one of them has not fired since,
every log is read. The rule is ``model.suppression``'s, from an earlier time than the store's: so a hook's silence is
never taken for longer than it is (but for a clock that is set back by less than ``CLOCK_SLACK`` meanwhile).

Bounded by the statuses and the hooks' events.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from kong_eventhooks_plugin.dispatch.matcher import fires_for
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.suppression import CLOCK_SLACK
from kong_eventhooks_plugin.queue.contract import Candidate, Clock
from kong_eventhooks_plugin.sources.catalogue import events_of
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource

Slot = tuple[str, str]
"""A hook's id and an event's name: it is silent for all of these at once."""


class _Unread:
    """How many requests were not read since a hook fired, at ``since``."""

    __slots__ = ("count", "since")

    def __init__(self, since: float) -> None:
        self.count = 0
        self.since = since


class QuietFlood:
    """``unread`` is called with the status of each request that is not read."""

    def __init__(self, reads: int, clock: Clock, unread: Callable[[int], None]) -> None:
        self._reads = reads
        self._clock = clock
        self._unread = unread
        self._slots: dict[int, dict[Slot, int]] = {}  # by status; each with its hook's snooze
        self._silent_until: dict[Slot, float] = {}
        self._unread_of: dict[Slot, _Unread] = {}
        self._quiet: dict[int, tuple[float, float]] = {}  # by status: from when until when
        self._until = 0.0
        self._indexed_at = 0.0
        self._second = 0
        self._read = 0

    @property
    def now(self) -> bool:
        """Whether some status may be quiet: then the status is asked for before the log."""
        return self._clock() < self._until

    def skips(self, status: int) -> bool:
        """Return whether the log of a request that ended so is not to be read; count it then."""
        quiet = self._quiet.get(status)
        if quiet is None:
            return False
        now = self._clock()
        if not quiet[0] <= now < quiet[1]:
            return False
        if self._second != int(now):
            self._second, self._read = int(now), 0
        if self._read < self._reads:
            self._read += 1
            return False
        self._unread(status)
        for slot, snooze in self._slots[status].items():
            of_slot = self._unread_of.get(slot)
            if of_slot is None:
                of_slot = self._unread_of[slot] = _Unread(self._silent_until[slot] - snooze)
            of_slot.count += 1
        return True

    def with_unread(self, event: str, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """Return the candidates with what was not read since they fired for such an event."""
        if not self._unread_of:
            return candidates
        return tuple(map(partial(self._with_unread, event), candidates))

    def _with_unread(self, event: str, candidate: Candidate) -> Candidate:
        unread = self._unread_of.get((candidate.hook_id, event))
        return candidate if unread is None else replace(candidate, unread=unread.count, unread_since=unread.since)

    def index(self, hooks: Iterable[Hook], by_status: Mapping[int, Sequence[RequestSource]]) -> None:
        """Begin anew: hooks, or the statuses of their sources, have changed."""
        enabled = [hook for hook in hooks if hook.enabled]
        ids = {hook.id for hook in enabled}
        self._unread_of = {slot: unread for slot, unread in self._unread_of.items() if slot[0] in ids}
        self._slots = {}
        for status, sources in by_status.items():
            found = {
                (hook.id, event): 0 if hook.on_change else hook.snooze or 0
                for source in sources
                for event in events_of(source.name)
                for hook in enabled
                if fires_for(hook, source.name, event)
            }
            if found and all(found.values()):
                self._slots[status] = found
        self._silent_until.clear()
        self._quiet = {}
        self._until = 0.0
        self._indexed_at = self._clock()

    def fired(self, event: Event, hooks: Sequence[str]) -> None:
        """Note which hooks an event fired; not where hooks have changed since it was seen."""
        for hook in hooks:
            self._unread_of.pop((hook, event.event), None)
        if not self._slots or event.time <= self._indexed_at:
            return
        for hook in hooks:
            slot = hook, event.event
            for slots in self._slots.values():
                if slot in slots:
                    self._silent_until[slot] = max(self._silent_until.get(slot, 0.0), event.time + slots[slot])
        self._quiet = dict(filter(None, map(self._quiet_span, self._slots)))
        self._until = max((until for _, until in self._quiet.values()), default=0.0)

    def _quiet_span(self, status: int) -> tuple[int, tuple[float, float]] | None:
        slots = self._slots[status]
        if not slots.keys() <= self._silent_until.keys():
            return None
        until = min(self._silent_until[slot] for slot in slots)
        latest = max(self._silent_until[slot] - snooze for slot, snooze in slots.items())
        return status, (latest - CLOCK_SLACK, until)

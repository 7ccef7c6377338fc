"""The contract of the durable queue.

An engine stores events, deliveries and their attempts, the state of on_change and snooze, hook
definitions, endpoints' health and the lease of the one leading process. tests/contract/queue runs
one suite over every engine.

Promises:

- ``offer`` resolves only after the event and all that it caused are committed: a receipt survives a
  ``kill -9``. An event whose id is already there changes nothing; its receipt says ``duplicate``.
- on_change and snooze are decided inside that transaction (``model.suppression``), and what they hold back is counted
  there: a slot's next delivery has the count, and keeps it. A duplicate and an offer past a limit count nothing.
- ``settle`` changes a delivery's state and records its attempt in one transaction; a delivery whose
  lease was lost meanwhile stays as it is.
- A lease that an offer's transaction takes for a ``Taker`` is one that ``claim`` could have taken after it.
- Past a limit an offer's delivery is refused and counted, never dropped in silence; nothing that was
  accepted makes room for something newer.

All times are Unix seconds from the clock given to the engine.
"""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from kong_eventhooks_plugin.model.delivery import Attempt, Delivery, State
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.suppression import SuppressionRule, SuppressionSlot
from kong_eventhooks_plugin.settings import DEFAULTS

Clock = Callable[[], float]
"""Returns Unix seconds."""

HeldBack = Literal[
    "snoozed", "unchanged", "disabled", "filter", "filter_error", "queue_full", "queue_bytes", "hook_queue_full"
]
"""Why a hook that matched does not fire. ``filter``: its filter is false; ``filter_error``: it has no value, because it
reads a missing field, say. The last three are limits: that is loss, and /readyz reports it."""

LOSSES: frozenset[str] = frozenset({"queue_full", "queue_bytes", "hook_queue_full"})


class QueueLimits(msgspec.Struct, frozen=True):
    """How much an engine accepts.

    Past ``deliveries``, ``bytes`` or ``deliveries_per_hook`` unsettled deliveries, a new one is refused
    with that reason. ``waiting`` offers may wait for a commit; one more raises ``QueueFull("buffer")``.
    Settled deliveries are deleted ``settled_seconds`` after they settled or when there are more than
    ``settled_count``; events without a delivery are deleted by the same limits. ``suppression_states`` per hook:
    past it the one that ends soonest is deleted; one that has ended is kept ``settled_seconds`` where it held something
    back. Requests and answers that are kept with attempts use at most ``answer_bytes`` in all: past it an attempt is
    kept without them.
    """

    deliveries: int = DEFAULTS.queue_deliveries
    bytes: int = DEFAULTS.queue_bytes
    deliveries_per_hook: int = DEFAULTS.queue_deliveries_per_hook
    waiting: int = 10_000
    settled_seconds: float = DEFAULTS.keep_settled_seconds
    settled_count: int = DEFAULTS.keep_settled_count
    suppression_states: int = 100_000
    answer_bytes: int = DEFAULTS.keep_answer_bytes


class Candidate(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A hook that matched. ``source`` is the one it named. Without ``rule`` it always fires.

    ``refused`` is a reason found by the caller (``disabled``, ``filter``): it is recorded, nothing fires,
    and the state of on_change and snooze does not change. ``unread`` requests since ``unread_since`` may have been
    events for it (``dispatch.quiet_flood``): the delivery says so.
    """

    hook_id: str
    source: str
    rule: SuppressionRule | None = None
    digest: bytes = b""
    refused: HeldBack | None = None
    unread: int = 0
    unread_since: float = 0.0


class Offer(msgspec.Struct, frozen=True, gc=False):
    """An event and the hooks that it matched."""

    event: Event
    candidates: tuple[Candidate, ...]


class SpoolPlace(NamedTuple):
    """An offer's place in a node's spool. A store that has less of that spool than up to ``before`` has lost it."""

    spool: str
    before: int
    n: int


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The result of an offer, committed. ``held_back`` is hook id -> reason.

    ``spooled``: it is committed on this node, and the store that nodes share decides later which hooks it fires.
    """

    event_id: str
    duplicate: bool
    fired: tuple[str, ...]
    held_back: Mapping[str, HeldBack]
    spooled: bool = False


Publish = Callable[[Event], "Future[Receipt] | None"]
"""Offers an event to the hooks that match; None where none does. Raises ``QueueFull``, its future also
``StoreUnavailable``."""


class Settlement(msgspec.Struct, frozen=True):
    """The end of a lease: the new state, the attempt to record, when the next one is due.

    ``state`` is ``pending`` (with ``due_at``), ``delivered`` or ``dead`` (with ``reason``). ``attempt``
    is None where nothing was sent (the hook was removed, the process drains); it is then due no later than before.
    """

    delivery_id: str
    state: State
    attempt: Attempt | None
    due_at: float | None = None
    reason: str | None = None


class Work(msgspec.Struct, frozen=True):
    """A hook with pending deliveries, and when the first of them is due."""

    hook_id: str
    due_at: float


class Stats(msgspec.Struct, frozen=True):
    """The queue's size now. ``depth`` is by state; ``unsettled_bytes`` what the byte limit counts.

    ``oldest_pending`` is the creation time of the oldest unsettled delivery. ``per_hook`` counts unsettled ones.
    """

    depth: Mapping[State, int]
    unsettled_bytes: int
    oldest_pending: float | None
    per_hook: Mapping[str, int]


class EndpointHealth(msgspec.Struct, frozen=True):
    """The health of a hook's endpoint, which outlives a restart.

    ``failing_since`` is when the run of failures without one success began; ``disabled`` says why
    deliveries to it have stopped (``gone``: 410; ``failing``: too long without a success).
    """

    hook_id: str
    failing_since: float | None = None
    disabled: Literal["gone", "failing"] | None = None
    disabled_at: float | None = None


class DeliveryFilter(msgspec.Struct, frozen=True):
    """Which deliveries to list: all that is set must hold. since <= ``created_at`` < until.

    ``event_prefix`` is how the id of the event begins.
    """

    hook_id: str | None = None
    state: State | None = None
    source: str | None = None
    since: float | None = None
    until: float | None = None
    event_prefix: str | None = None


class DeliveryPage(msgspec.Struct, frozen=True):
    """Deliveries, newest first, and the offset of the next page, None at the end."""

    deliveries: tuple[Delivery, ...]
    next_offset: str | None


class EventFilter(msgspec.Struct, frozen=True):
    """Which events to list: all that is set must hold.

    ``hook_id`` is a hook that the event fired or that was held back on it. ``since`` and ``until`` are on when it was
    accepted. ``after`` is the id of an event: those accepted after it; none where that event has been deleted.
    ``held_back``: only those on which some hook was held back.
    """

    source: str | None = None
    event: str | None = None
    hook_id: str | None = None
    since: float | None = None
    until: float | None = None
    after: str | None = None
    held_back: bool = False


class Accepted(msgspec.Struct, frozen=True):
    """An event and what it led to: hook id -> its delivery's state now, hook id -> why it was held back."""

    event: Event
    accepted_at: float
    fired: Mapping[str, State]
    held_back: Mapping[str, HeldBack]


class EventPage(msgspec.Struct, frozen=True):
    """Events, newest first, and the offset of the next page, None at the end."""

    events: tuple[Accepted, ...]
    next_offset: str | None


class Replayed(msgspec.Struct, frozen=True):
    """How many deliveries are pending again. ``refused`` is the limit that left no room for the rest.

    ``more`` says that there were more than one call replays.
    """

    count: int
    refused: str | None = None
    more: bool = False


class Room(NamedTuple):
    """How many new deliveries a hook has room for, and for how long they are leased then."""

    deliveries: int
    lease_seconds: float


NO_ROOM = Room(0, 0.0)


class Taker(Protocol):
    """The delivering side, which can lease a new delivery in the transaction that accepts it.

    Its methods are called on the loop, wait for nothing and raise nothing.
    """

    def room(self, hook_id: str) -> Room:
        """Return what new deliveries of a hook would be delivered now, before any other that is due."""

    def taken(self, hook_id: str, deliveries: Sequence[Delivery], until: float) -> None:
        """Deliver these, which are committed and leased until then (Unix seconds). Nobody is woken for them."""


class SettlementSource(Protocol):
    """Who has settlements that can wait.

    Its methods are called on the loop; they wait for nothing and raise nothing. One of the last two is called, once,
    after the transaction's end.
    """

    def waiting(self) -> Sequence[Settlement]:
        """Return what to settle now. Called again where the transaction is repeated; only the last call counts."""

    def settled(self, count: int) -> None:
        """Take note that so many are committed: all that ``waiting`` returned."""

    def not_settled(self, error: Exception) -> None: ...


class Acceptor(Protocol):
    """Where events are offered: a queue, or what accepts for one."""

    def offer(self, offer: Offer) -> "Future[Receipt]":
        """Accept an event. Raises ``QueueFull`` at once where too many offers wait; never blocks."""

    def error(self) -> str | None:
        """Return why events cannot be accepted now (a full or stalled disk), as far as is known without a write.

        None where nothing is wrong. Reads may work while writes fail.
        """


class Definitions(Protocol):
    """Where hook definitions are stored."""

    async def definitions(self) -> list[Hook]:
        """Return every stored hook definition."""

    async def store_definitions(self, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
        """Write definitions and delete the removed ids, in one transaction."""


class Queue(Acceptor, Definitions, Protocol):
    """Every method may raise ``StoreUnavailable``."""

    async def open(self) -> None:
        """Connect, migrate the schema, make leases of a dead process due again."""

    async def close(self) -> None:
        """Commit what waits and close the store."""

    async def claim(self, hook_id: str, limit: int, lease_seconds: float) -> list[Delivery]:
        """Lease up to ``limit`` due deliveries of a hook, those due first first."""

    async def claim_first(self, hook_id: str, lease_seconds: float) -> list[Delivery]:
        """Lease a hook's first unsettled delivery in the order of acceptance; none where that is leased or not due.

        From then on ``on_work`` is also called when a delivery of the hook has settled.
        """

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """End leases: state and attempt together."""

    def settle_soon(self, source: SettlementSource, *, prompt: bool = False) -> None:
        """Settle what ``source`` has when the next transaction begins, within 50 ms; it is told the end.

        So they share the transaction of offers or a claim where there is one; ``prompt``: it begins at once.
        """

    def hurry(self) -> None:
        """Begin at once the transaction that ``settle_soon`` waits for."""

    def lease_to(self, taker: Taker) -> None:
        """Lease new deliveries to ``taker`` as they are accepted, where it has room."""

    async def work(self) -> list[Work]:
        """Return every hook with pending deliveries. Leases that ran out count as pending."""

    def on_work(self, wake: Callable[[str], None]) -> None:
        """Have ``wake(hook_id)`` called, on the loop, after each commit that made a delivery of it pending."""

    async def get(self, delivery_id: str) -> Delivery:
        """Return one delivery; ``UnknownDelivery`` where there is none."""

    async def attempts(self, delivery_id: str) -> list[Attempt]:
        """Return a delivery's attempts, first first."""

    async def page(self, where: DeliveryFilter, size: int, offset: str | None = None) -> DeliveryPage:
        """Return a page of deliveries, newest first; ``size`` 1 to 1,000, fewer where they are large (``limits``)."""

    async def replay(self, delivery_id: str) -> Delivery:
        """Make a dead or delivered delivery pending and due now, with the same id; its attempts go on counting.

        One that is neither stays as it is. Raises ``QueueFull`` where a limit leaves no room for it.
        """

    async def replay_all(self, where: DeliveryFilter) -> Replayed:
        """Replay every settled delivery that ``where`` names, oldest first; its ``state`` is delivered, dead or None.

        At most ``queue.limits.REPLAYED_AT_ONCE`` of them. What is not settled stays as it is.
        """

    async def events(self, where: EventFilter, size: int, offset: str | None = None) -> EventPage:
        """Return a page of events, newest first; ``size`` as in ``page``. An event that matched no hook is not kept."""

    async def event(self, event_id: str) -> Event:
        """Return one event; ``UnknownEvent`` where there is none."""

    async def suppression(self, candidate: Candidate, event: str) -> SuppressionSlot | None:
        """Return what a hook's rule remembers of such an event, by the candidate's digest; changes nothing."""

    async def fail_pending(self, hook_id: str, reason: str) -> int:
        """Make every unsettled delivery of a removed hook dead; return how many."""

    async def stats(self) -> Stats:
        """Return the queue's size now."""

    async def sweep(self) -> int:
        """Delete what is past its retention, in short transactions; return how many rows.

        What waits only because the clock was set back becomes due: a delivery without an attempt that is due later
        than now, and any that is due later than ``queue.limits.FURTHEST_DUE`` from now. Now and then hooks are
        forgotten of which nothing is kept (``queue.retention``); they are not among the rows that are counted.
        """

    async def lead(self, holder: str, ttl: float) -> bool:
        """Acquire or renew the lease of the one leading process for ``ttl`` seconds; False where another has it.

        Where the leader delivers everything, what the one before had leased is due then; else see ``queue.nodes``.
        """

    async def resign(self, holder: str) -> None:
        """Release the lease, if it is ours."""

    async def endpoints(self) -> list[EndpointHealth]:
        """Return every endpoint's health."""

    async def save_endpoint(self, health: EndpointHealth) -> None:
        """Write one endpoint's health."""

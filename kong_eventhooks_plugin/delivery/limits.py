"""The delivery worker's limits; docs/delivery.md explains the defaults. All times are seconds."""

import msgspec

from kong_eventhooks_plugin.delivery.backoff import RetryPolicy
from kong_eventhooks_plugin.settings import DEFAULTS


class BreakerPolicy(msgspec.Struct, frozen=True):
    """When a breaker opens: at least ``attempts`` in ``window``, and ``failures`` of them failed.

    After ``rest`` one probe is sent; its success closes the breaker.
    """

    window: float = 300.0
    attempts: int = 10
    failures: float = 0.7
    rest: float = 30.0


class DeliveryLimits(msgspec.Struct, frozen=True):
    """How much the worker has under way at most, and its times."""

    per_hook: int = DEFAULTS.hook_concurrency
    """Attempts in flight for one hook."""
    total: int = DEFAULTS.total_concurrency
    """Attempts in flight in all; where many hooks are busy, each has its share."""
    waiting_per_hook: int = 24
    """Deliveries claimed and not yet started, for one hook; further ones stay in the queue."""
    waiting_alone: int = 128
    """The same while few hooks are busy: a claim is a transaction, whose cost more deliveries share."""
    waiting_shared: int = 512
    """Of which each busy hook has an equal share, where that is more than ``waiting_per_hook``."""
    starts_per_iteration: int = 8
    """Attempts started in one iteration of the event loop, which also serves Kong's socket."""
    attempt: float = DEFAULTS.timeout_seconds
    """One attempt in all; handlers end it."""
    margin: float = 5.0
    """So much later the worker ends an attempt that its handler did not end."""
    lease: float = 90.0
    """The lease of a claimed delivery; three longest attempts, where these are longer."""
    poll: float = 1.0
    """How often the worker asks the queue for work of other processes and for what has become due."""
    leadership: float = 10.0
    """The lease of the delivering process; renewed every third of it."""
    unsettled: int = 1_000
    """Outcomes that wait to be written; past it no attempt starts."""
    settle_batch: int = 256
    store_pause: float = 1.0
    """The pause after an error of the store."""
    removed_grace: float = 30.0
    """A hook must be missing for so long before its deliveries are dead: a reload removes a hook and adds it again."""
    failing: float = 432_000.0
    """An endpoint that failed for so long (120 h) without one success is switched off for its hook."""
    failing_attempts: int = 10
    """Failures in a row that this process must have seen for that: the clock alone switches nothing off."""
    remember_failing: float = 300.0
    """A run of failures is stored once it has lasted so long."""
    reread_health: float = 15.0
    """How often the worker reads whether another process has enabled a hook again."""
    retry: RetryPolicy = RetryPolicy()
    breaker: BreakerPolicy = BreakerPolicy()

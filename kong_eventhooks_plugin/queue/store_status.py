"""Whether a store can be written, as far as is known without a write.

``error`` reports a transaction that has run for ``STALLED_SECONDS``, and an error of the store until something was
written since, or for ``FAILING_SECONDS``.
"""

import time

import structlog

from kong_eventhooks_plugin.queue.limits import FAILING_SECONDS, STALLED_SECONDS

log = structlog.get_logger()


class StoreStatus:
    """``name`` is the store's, for people; ``waits_for`` is what a transaction that has begun may be doing."""

    def __init__(self, name: str, waits_for: str) -> None:
        self._name = name
        self._waits_for = waits_for
        self._failed_at = 0.0
        self.failing: str | None = None
        self.began_at: float | None = None
        """When the transaction under way began, by ``time.monotonic``; None where none is."""

    def error(self) -> str | None:
        now = time.monotonic()
        if self.began_at is not None and (under_way := now - self.began_at) >= STALLED_SECONDS:
            return f"{self._name}: {self._waits_for} for {under_way:.0f} s"
        return self.failing if now - self._failed_at < FAILING_SECONDS else None

    def failed(self, error: str, bug: BaseException | None = None) -> None:
        """``bug``: what the error comes from, where it is none of the store's."""
        if self.failing is None:
            log.error("store_unavailable", file=self._name, error=error, exc_info=bug)
        self.failing, self._failed_at = error, time.monotonic()

    def recovered(self) -> None:
        self.failing = None
        log.info("store_recovered", file=self._name)

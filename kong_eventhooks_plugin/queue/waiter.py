"""A caller that waits for a transaction's end."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

import structlog

from kong_eventhooks_plugin.errors import EventHooksError
from kong_eventhooks_plugin.queue.contract import SettlementSource

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

log = structlog.get_logger()


class Recipient(Protocol[T_contra]):
    """Who gets a result: a future, or what stands in for one."""

    def done(self) -> bool: ...

    def set_result(self, result: T_contra, /) -> None: ...

    def set_exception(self, exception: EventHooksError, /) -> None: ...


class SourceRecipient:
    """Tells a source of settlements their end at once: a future and its callback would cost 4,700 instructions."""

    __slots__ = ("_done", "_source")

    def __init__(self, source: SettlementSource) -> None:
        self._source = source
        self._done = False

    def done(self) -> bool:
        return self._done

    def set_result(self, count: int) -> None:
        self._end(self._source.settled, count)

    def set_exception(self, error: EventHooksError) -> None:
        self._end(self._source.not_settled, error)

    def _end(self, tell: Callable[[T], None], end: T) -> None:
        self._done = True
        try:
            tell(end)
        except Exception:  # it must not keep the next transaction from starting
            log.exception("settlement_listener_failed")


class Waiter(Generic[T]):
    """A recipient and its result after the commit: ``error`` where there is one, else ``answer``."""

    __slots__ = ("answer", "error", "recipient")

    def __init__(self, recipient: Recipient[T]) -> None:
        self.recipient = recipient
        self.answer: T | None = None
        self.error: EventHooksError | None = None

    def resolve(self) -> None:
        """Hand the result over, unless the caller has stopped waiting."""
        if self.recipient.done():
            return
        if self.error is None:
            self.recipient.set_result(self.answer)  # type: ignore[arg-type]  # without an error the answer is there
        else:
            self.recipient.set_exception(self.error)

    def fail(self, error: EventHooksError) -> None:
        self.error = error
        self.resolve()


def fail_all(error: EventHooksError, under_way: Iterable[Waiter[Any]], *queues: deque[Any]) -> None:
    """Fail what is in a transaction, and what waits in queues for one: they are empty then."""
    failed = [*under_way]
    for queue in queues:
        failed += queue
        queue.clear()
    for waiter in failed:
        waiter.fail(error)

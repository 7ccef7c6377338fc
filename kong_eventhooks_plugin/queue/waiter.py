"""A caller that waits for a transaction's end."""

from asyncio import Future
from typing import Generic, TypeVar

from kong_eventhooks_plugin.errors import EventHooksError

T = TypeVar("T")


class Waiter(Generic[T]):
    """A future and its result after the commit: ``error`` where there is one, else ``answer``."""

    __slots__ = ("answer", "error", "future")

    def __init__(self, future: "Future[T]") -> None:
        self.future = future
        self.answer: T | None = None
        self.error: EventHooksError | None = None

    def resolve(self) -> None:
        """Complete the future, unless its caller has stopped waiting."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.answer)  # type: ignore[arg-type]  # without an error the answer is there
        else:
            self.future.set_exception(self.error)

    def fail(self, error: EventHooksError) -> None:
        self.error = error
        self.resolve()

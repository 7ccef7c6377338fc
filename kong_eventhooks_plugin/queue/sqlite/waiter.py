"""Somebody who waits for a transaction's end."""

from asyncio import Future
from typing import Generic, TypeVar

from kong_eventhooks_plugin.errors import EventHooksError

T = TypeVar("T")


class Waiter(Generic[T]):
    """A future with what it will be told after the commit: ``error`` where there is one, else ``answer``."""

    __slots__ = ("answer", "error", "future")

    def __init__(self, future: "Future[T]") -> None:
        self.future = future
        self.answer: T | None = None
        self.error: EventHooksError | None = None

    def resolve(self) -> None:
        """Tell what came of it; one who has stopped waiting is left alone."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.answer)  # type: ignore[arg-type]  # without an error the answer is there
        else:
            self.future.set_exception(self.error)

    def fail(self, error: EventHooksError) -> None:
        """Tell that nothing came of it."""
        self.error = error
        self.resolve()

"""A handler: it makes one attempt of a delivery and returns its outcome.

It never retries, waits for a better time or touches the queue: the delivery worker alone does. It
never raises: what went wrong is an Outcome. tests/contract/handlers runs one suite over every handler.
"""

from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol

import msgspec
import structlog

from kong_eventhooks_plugin.model.delivery import Outcome, Retry, SentRequest
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.log_line import LogLine
from kong_eventhooks_plugin.model.operation import Operation

log = structlog.get_logger()


class DeliveryJob(msgspec.Struct, frozen=True):
    """One attempt of one delivery.

    ``config`` is the hook's, with every reference resolved. ``source`` is the one that the hook names, which may differ
    from the event's. ``attempt`` counts from 1. ``now`` is Unix seconds.
    ``test``: a person waits for the outcome, and nobody repeats it.
    ``traceparent`` is the attempt's, where tracing is on. ``data`` is the event's as JSON, where that is at hand.
    """

    delivery_id: str
    event: Event
    source: str
    hook: Hook
    config: Mapping[str, Any]
    attempt: int
    now: float
    test: bool = False
    traceparent: str | None = None
    data: bytes = b""


class Used(msgspec.Struct, frozen=True):
    """How much of a limit was used; ``name`` has the unit."""

    name: str
    used: float
    limit: float


class Preview(msgspec.Struct, frozen=True):
    """What a handler would do with an event. ``outcome`` is set where that is the end already: nothing can be sent.

    ``request`` is what would be sent; ``lines`` what would be written to Kong's error log; ``result`` what a lambda
    returned, as JSON.
    """

    request: SentRequest | None = None
    lines: tuple[LogLine, ...] = ()
    result: bytes = b""
    outcome: Outcome | None = None
    notes: tuple[str, ...] = ()
    used: tuple[Used, ...] = ()


class Handler(Protocol):
    """What the delivery worker calls; a subclass without an endpoint implements ``deliver`` alone."""

    name: str

    def endpoint(self, config: Mapping[str, Any]) -> str | None:
        """Return what a breaker guards (scheme, host and port of the URL), None where the handler dials nothing."""
        return None

    async def deliver(self, job: DeliveryJob) -> Outcome:
        """Make one attempt."""

    async def preview(self, job: DeliveryJob) -> Preview:
        """Return what ``deliver`` would do, without sending or writing anything."""

    async def ping(
        self, hook: Hook, config: Mapping[str, Any], operation: Operation | None, now: float
    ) -> Outcome | None:
        """Report to the endpoint that its hook was created, changed or deleted; None: the handler has no ping.

        ``operation`` None: a person tests the endpoint.
        """
        return None

    async def close(self) -> None:
        """Close connections; twice does no harm."""
        return


_Arguments = ParamSpec("_Arguments")
_Method = Callable[Concatenate[Any, _Arguments], Coroutine[Any, Any, Outcome]]


def never_raises(send: _Method[_Arguments]) -> _Method[_Arguments]:
    """Return a handler's method whose bugs are an outcome: they cost an attempt, never the delivery."""

    @wraps(send)
    async def guarded(handler: Any, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Outcome:
        try:
            return await send(handler, *args, **kwargs)
        except Exception as error:  # noqa: BLE001
            # Without the exception's text and traceback: they may hold a URL or a header.
            log.warning("handler_failed", handler=handler.name, error=type(error).__name__)
            return Retry("internal", f"the handler raised {type(error).__name__}")

    return guarded

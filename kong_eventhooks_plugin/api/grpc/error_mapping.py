"""What gRPC answers for each error: the one place that knows.

Codes by gRPC's guide (grpc/doc/statuscodes.md, google/rpc/code.proto): FAILED_PRECONDITION where trying again helps
only after something was changed, UNAVAILABLE where trying again is all it takes, RESOURCE_EXHAUSTED where that is to be
later. What a program may want to know goes along as google.rpc details: the faulty fields (BadRequest), where a hook is
declared (PreconditionFailure), when to come back (RetryInfo), what an endpoint answered (ErrorInfo).

Limits: all of it travels in HTTP headers, of which clients take 8 KiB. So a text is cut at ``MESSAGE_BYTES``, of
faulty fields as many are named as have room in ``ERROR_BYTES``, of an endpoint's answer the first ``ANSWER_BYTES`` are
told.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, NoReturn, Protocol
from urllib.parse import quote

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # has types, but says so to nobody
    BadRequest,
    ErrorInfo,
    PreconditionFailure,
    RetryInfo,
)
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # as above

from kong_eventhooks_plugin.errors import (
    AccessRefused,
    BadArgument,
    EventHooksError,
    HookDeclared,
    HookRemoved,
    HookTaken,
    HookTestFailed,
    NoPing,
    QueueError,
    QueueFull,
    TokenNeeded,
    TooBusy,
    UnknownDelivery,
    UnknownHook,
    UnknownSource,
    ValidationError,
)
from kong_eventhooks_plugin.telemetry.raised import bug_fields

MESSAGE_BYTES: Final = 1_200
ERROR_BYTES: Final = 2_300
ANSWER_BYTES: Final = 1_000
RETRY_SECONDS: Final = 1
DOMAIN: Final = "eventhooks.v1"
DETAILS_KEY: Final = "grpc-status-details-bin"
"""Where gRPC carries a google.rpc.Status."""

UNEXPECTED: Final = "an unexpected error occurred"

Code = grpc.StatusCode

log = structlog.get_logger()


class AbortContext(Protocol):
    """The part of grpc's ServicerContext that ends a call."""

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """Send the status and raise."""


class ErrorMapping(NamedTuple):
    """A code, the text that goes with an error, and its details, the most important first."""

    code: grpc.StatusCode
    details: Callable[[Any], Iterable[Message]] = lambda _: ()
    text: Callable[[Any], str] = str


async def abort_with(context: AbortContext, error: Exception) -> NoReturn:
    """End a call with the status for what was raised; what nobody foresaw is logged, without its text."""
    code, status = status_of(error)
    if code is Code.INTERNAL:
        log.error("grpc_call_failed", **bug_fields(error))
    elif code is Code.UNAVAILABLE:
        log.warning("grpc_call_rejected", error=str(error))
    metadata = ((DETAILS_KEY, status.SerializeToString()),) if status.details else ()
    await context.abort(code, status.message, metadata)


def status_of(error: Exception) -> tuple[grpc.StatusCode, Status]:
    """Return the code and the whole status for an error."""
    refusal = next((refusal for kind, refusal in ERROR_MAPPINGS if isinstance(error, kind)), _UNFORESEEN)
    number, _ = refusal.code.value
    status = Status(code=number, message=_cut(refusal.text(error), MESSAGE_BYTES))
    for detail in refusal.details(error):
        status.details.add().Pack(detail)
    return refusal.code, status


def _violations(error: ValidationError) -> Iterator[Message]:
    yield _bad_request(error.leaves())


def _argument(error: BadArgument) -> Iterator[Message]:
    faults = dict(error.options or {})
    if not faults and error.name in _ARGUMENTS:
        faults = {_ARGUMENTS[error.name]: str(error)}
    if faults:
        yield _bad_request(faults.items())


_ARGUMENTS: Final[dict[str | None, str]] = {"invalid offset": "page_token", "invalid size": "page_size"}
"""What REST's parameters are called here, by the name of Kong's error."""


def _bad_request(faults: Iterable[tuple[str, str]]) -> Any:
    """Return as many faults as there is room for."""
    detail, room = BadRequest(), ERROR_BYTES
    for field, text in faults:
        violation = BadRequest.FieldViolation(field=_cut(field, 200), description=_cut(text, 400))
        room -= violation.ByteSize() + 4
        if room < 0:
            break
        detail.field_violations.append(violation)
    return detail


def _declared(error: HookDeclared) -> Iterator[Message]:
    subject, text = _cut(error.where, 500), _cut(str(error), 500)
    violation = PreconditionFailure.Violation(type="DECLARED", subject=subject, description=text)
    yield PreconditionFailure(violations=[violation])


def _test_failed(error: HookTestFailed) -> Iterator[Message]:
    known = {}
    if error.answer is not None:
        known = {"status": str(error.answer.status), "body": _beginning(error.answer.body)}
    yield ErrorInfo(reason=error.error.upper(), domain=DOMAIN, metadata=known)


def _beginning(body: bytes) -> str:
    """Return the beginning of an answer as text; what is none grows, so its bytes are counted afterwards."""
    text = body[:ANSWER_BYTES].decode(errors="replace")
    return text.encode()[:ANSWER_BYTES].decode(errors="ignore")


def _later(_: Exception) -> Iterator[Message]:
    yield RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS))


def _full(error: QueueFull) -> Iterator[Message]:
    yield from _later(error)
    yield ErrorInfo(reason=error.reason.upper(), domain=DOMAIN)


def _always(text: str) -> Callable[[Any], str]:
    return lambda _: text


_UNAVAILABLE: Final = "the store is not available; what was asked for may or may not have been done"

ERROR_MAPPINGS: Final[tuple[tuple[type[Exception], ErrorMapping], ...]] = (
    (ValidationError, ErrorMapping(Code.INVALID_ARGUMENT, _violations)),
    (BadArgument, ErrorMapping(Code.INVALID_ARGUMENT, _argument)),
    (UnknownHook, ErrorMapping(Code.NOT_FOUND)),
    (UnknownDelivery, ErrorMapping(Code.NOT_FOUND)),
    (UnknownSource, ErrorMapping(Code.NOT_FOUND)),
    (HookTaken, ErrorMapping(Code.ALREADY_EXISTS)),
    (HookDeclared, ErrorMapping(Code.FAILED_PRECONDITION, _declared)),
    (HookRemoved, ErrorMapping(Code.FAILED_PRECONDITION)),
    (NoPing, ErrorMapping(Code.FAILED_PRECONDITION)),
    (HookTestFailed, ErrorMapping(Code.FAILED_PRECONDITION, _test_failed)),
    (TokenNeeded, ErrorMapping(Code.UNAUTHENTICATED)),
    (AccessRefused, ErrorMapping(Code.PERMISSION_DENIED)),
    (TooBusy, ErrorMapping(Code.RESOURCE_EXHAUSTED, _later)),
    (QueueFull, ErrorMapping(Code.RESOURCE_EXHAUSTED, _full)),
    (QueueError, ErrorMapping(Code.UNAVAILABLE, _later, _always(_UNAVAILABLE))),
    (TimeoutError, ErrorMapping(Code.DEADLINE_EXCEEDED, text=_always("the call took too long"))),
    (EventHooksError, ErrorMapping(Code.INTERNAL, text=_always(UNEXPECTED))),
)
"""The first that an error is an instance of counts."""

_UNFORESEEN: Final = ErrorMapping(Code.INTERNAL, text=_always(UNEXPECTED))


def _cut(text: str, limit: int) -> str:
    """Return the beginning of a text that has so many bytes as a header writes it (percent-encoded)."""
    if len(quote(text, safe=_SAFE)) <= limit:
        return text
    taken, used = [], len("...")
    for each in text:
        used += len(quote(each, safe=_SAFE))
        if used > limit:
            break
        taken.append(each)
    return "".join(taken) + "..."


_SAFE: Final = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

"""The gRPC status for each error: its code from ``error_codes``, and google.rpc details for programs.

The details are the invalid fields (BadRequest), where a hook is declared (PreconditionFailure), when to retry
(RetryInfo), and what an endpoint answered (ErrorInfo).

Limits: a status travels in HTTP headers, of which clients accept 8 KiB. So a text is cut at ``MESSAGE_BYTES``, invalid
fields are named as far as they fit into ``ERROR_BYTES``, and of an endpoint's answer the first ``ANSWER_BYTES`` are
sent.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, NoReturn
from urllib.parse import quote

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # has types, but says so to nobody
    BadRequest,
    ErrorInfo,
    PreconditionFailure,
    RetryInfo,
)
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # as above

from kong_eventhooks_plugin.api.service.error_codes import RETRY_SECONDS, code_of, text_of
from kong_eventhooks_plugin.background import RateLimitedLogger
from kong_eventhooks_plugin.errors import BadArgument, HookDeclared, HookTestFailed, QueueFull, ValidationError
from kong_eventhooks_plugin.telemetry.raised import bug_fields, bug_text

MESSAGE_BYTES: Final = 1_200
ERROR_BYTES: Final = 2_300
ANSWER_BYTES: Final = 1_000
DOMAIN: Final = "eventhooks.v1"
DETAILS_KEY: Final = "grpc-status-details-bin"
"""Where gRPC carries a google.rpc.Status."""

limited_log = RateLimitedLogger(time.monotonic)  # a full disk fails every call there is


async def abort_with(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """End a call with the status for what was raised; the unforeseen is logged, without its text."""
    code, status = status_of(error)
    if code is grpc.StatusCode.INTERNAL:
        limited_log.error("grpc_call_failed", bug_text(error), **bug_fields(error))
    elif code is grpc.StatusCode.UNAVAILABLE:
        limited_log.warning("grpc_call_rejected", type(error).__name__, error=str(error))
    metadata = ((DETAILS_KEY, status.SerializeToString()),) if status.details else ()
    await context.abort(code, status.message, metadata)


def status_of(error: Exception) -> tuple[grpc.StatusCode, Status]:
    code = grpc.StatusCode[code_of(error).grpc]
    number, _ = code.value
    status = Status(code=number, message=_cut(text_of(error), MESSAGE_BYTES))
    for detail in _details(code, error):
        status.details.add().Pack(detail)
    return code, status


def _details(code: grpc.StatusCode, error: Exception) -> Iterator[Message]:
    """Yield the details of an error, the most important first."""
    if code in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}:
        yield RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS))
    match error:
        case ValidationError():
            yield _bad_request(error.leaves())
        case BadArgument():
            yield from _argument(error)
        case HookDeclared():
            yield _declared(error)
        case HookTestFailed():
            yield _test_failed(error)
        case QueueFull():
            yield ErrorInfo(reason=error.reason.upper(), domain=DOMAIN)


def _argument(error: BadArgument) -> Iterator[Message]:
    errors = dict(error.options or {})
    if not errors and error.name in _ARGUMENTS:
        errors = {_ARGUMENTS[error.name]: str(error)}
    if errors:
        yield _bad_request(errors.items())


_ARGUMENTS: Final[dict[str | None, str]] = {"invalid offset": "page_token", "invalid size": "page_size"}
"""The names of REST's parameters here, by the name of Kong's error."""


def _bad_request(errors: Iterable[tuple[str, str]]) -> Any:
    """Return as many errors as fit."""
    detail, free = BadRequest(), ERROR_BYTES
    for field, text in errors:
        violation = BadRequest.FieldViolation(field=_cut(field, 200), description=_cut(text, 400))
        free -= violation.ByteSize() + 4
        if free < 0:
            break
        detail.field_violations.append(violation)
    return detail


def _declared(error: HookDeclared) -> Message:
    subject, text = _cut(error.where, 500), _cut(str(error), 500)
    violation = PreconditionFailure.Violation(type="DECLARED", subject=subject, description=text)
    failure: Message = PreconditionFailure(violations=[violation])
    return failure


def _test_failed(error: HookTestFailed) -> Message:
    metadata = {}
    if error.answer is not None:
        metadata = {"status": str(error.answer.status), "body": _beginning(error.answer.body)}
    info: Message = ErrorInfo(reason=error.error.upper(), domain=DOMAIN, metadata=metadata)
    return info


def _beginning(body: bytes) -> str:
    """Return the beginning of an answer as text; U+FFFD is longer than a byte, so the text is cut again."""
    text = body[:ANSWER_BYTES].decode(errors="replace")
    return text.encode()[:ANSWER_BYTES].decode(errors="ignore")


def _cut(text: str, limit: int) -> str:
    """Return the beginning of a text that has so many bytes in a header (percent-encoded)."""
    if len(quote(text, safe=_SAFE)) <= limit:
        return text
    kept, used = [], len("...")
    for each in text:
        used += len(quote(each, safe=_SAFE))
        if used > limit:
            break
        kept.append(each)
    return "".join(kept) + "..."


_SAFE: Final = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

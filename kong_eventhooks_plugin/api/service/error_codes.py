"""Every error that a call may end with: its HTTP status and its gRPC code. REST and gRPC both read this table.

gRPC's codes follow its guide (grpc/doc/statuscodes.md, google/rpc/code.proto): FAILED_PRECONDITION where a retry helps
only after a change, UNAVAILABLE where a retry is enough, RESOURCE_EXHAUSTED where that retry should be later.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from kong_eventhooks_plugin import errors


class ErrorCode(NamedTuple):
    """``text`` replaces the error's own."""

    http: int
    grpc: str
    text: str | None = None


RETRY_SECONDS: Final = 1
"""Sent where a later retry may succeed: 503, RESOURCE_EXHAUSTED, UNAVAILABLE."""

UNEXPECTED: Final = "An unexpected error occurred"
UNFORESEEN: Final = ErrorCode(500, "INTERNAL", UNEXPECTED)
_UNAVAILABLE: Final = "the store is not available; what was asked for may or may not have been done"

ERROR_CODES: Final[Mapping[type[Exception], ErrorCode]] = {
    errors.ValidationError: ErrorCode(400, "INVALID_ARGUMENT"),
    errors.BadArgument: ErrorCode(400, "INVALID_ARGUMENT"),
    errors.UnknownHook: ErrorCode(404, "NOT_FOUND"),
    errors.UnknownDelivery: ErrorCode(404, "NOT_FOUND"),
    errors.UnknownEvent: ErrorCode(404, "NOT_FOUND"),
    errors.UnknownSource: ErrorCode(404, "NOT_FOUND"),
    errors.IdTaken: ErrorCode(400, "ALREADY_EXISTS"),
    errors.HookTaken: ErrorCode(409, "ALREADY_EXISTS"),
    errors.HookDeclared: ErrorCode(405, "FAILED_PRECONDITION"),
    errors.HookRemoved: ErrorCode(409, "FAILED_PRECONDITION"),
    errors.NoPing: ErrorCode(400, "FAILED_PRECONDITION"),
    errors.HookTestFailed: ErrorCode(500, "FAILED_PRECONDITION"),
    errors.TokenNeeded: ErrorCode(401, "UNAUTHENTICATED"),
    errors.AccessRefused: ErrorCode(403, "PERMISSION_DENIED"),
    errors.TooBusy: ErrorCode(503, "RESOURCE_EXHAUSTED"),
    errors.QueueFull: ErrorCode(503, "RESOURCE_EXHAUSTED"),
    errors.QueueError: ErrorCode(503, "UNAVAILABLE", _UNAVAILABLE),
    errors.StoreSilent: ErrorCode(503, "UNAVAILABLE", "the store does not answer; nothing was changed: try again"),
    TimeoutError: ErrorCode(503, "DEADLINE_EXCEEDED", "the call took too long"),
    errors.EventHooksError: UNFORESEEN,
}
"""The nearest class of an error's counts."""


def code_of(error: Exception) -> ErrorCode:
    return next((ERROR_CODES[kind] for kind in type(error).__mro__ if kind in ERROR_CODES), UNFORESEEN)


def text_of(error: Exception) -> str:
    """Return the text for the client; an unforeseen error and the store keep theirs to the log."""
    text = code_of(error).text
    return str(error) if text is None else text

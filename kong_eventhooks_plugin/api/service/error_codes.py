"""Every error that a call may end with: its HTTP status and its gRPC code. REST and gRPC both read this table.

gRPC's codes follow its guide (grpc/doc/statuscodes.md, google/rpc/code.proto): FAILED_PRECONDITION where a retry helps
only after a change, UNAVAILABLE where a retry is enough, RESOURCE_EXHAUSTED where that retry should be later.
"""

from typing import Final, Literal, NamedTuple

from kong_eventhooks_plugin.errors import (
    AccessRefused,
    BadArgument,
    EventHooksError,
    HookDeclared,
    HookRemoved,
    HookTaken,
    HookTestFailed,
    IdTaken,
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

GrpcCode = Literal[
    "ALREADY_EXISTS", "DEADLINE_EXCEEDED", "FAILED_PRECONDITION", "INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "UNAVAILABLE",
]  # fmt: skip


class ErrorCode(NamedTuple):
    """``text`` replaces the error's own."""

    http: int
    grpc: GrpcCode
    text: str | None = None


RETRY_SECONDS: Final = 1
"""Sent with what a later retry may settle: 503, RESOURCE_EXHAUSTED, UNAVAILABLE."""

UNEXPECTED: Final = "An unexpected error occurred"
UNFORESEEN: Final = ErrorCode(500, "INTERNAL", UNEXPECTED)
_UNAVAILABLE: Final = "the store is not available; what was asked for may or may not have been done"

ERROR_CODES: Final[tuple[tuple[type[Exception], ErrorCode], ...]] = (
    (ValidationError, ErrorCode(400, "INVALID_ARGUMENT")),
    (BadArgument, ErrorCode(400, "INVALID_ARGUMENT")),
    (UnknownHook, ErrorCode(404, "NOT_FOUND")),
    (UnknownDelivery, ErrorCode(404, "NOT_FOUND")),
    (UnknownSource, ErrorCode(404, "NOT_FOUND")),
    (IdTaken, ErrorCode(400, "ALREADY_EXISTS")),
    (HookTaken, ErrorCode(409, "ALREADY_EXISTS")),
    (HookDeclared, ErrorCode(405, "FAILED_PRECONDITION")),
    (HookRemoved, ErrorCode(409, "FAILED_PRECONDITION")),
    (NoPing, ErrorCode(400, "FAILED_PRECONDITION")),
    (HookTestFailed, ErrorCode(500, "FAILED_PRECONDITION")),
    (TokenNeeded, ErrorCode(401, "UNAUTHENTICATED")),
    (AccessRefused, ErrorCode(403, "PERMISSION_DENIED")),
    (TooBusy, ErrorCode(503, "RESOURCE_EXHAUSTED")),
    (QueueFull, ErrorCode(503, "RESOURCE_EXHAUSTED")),
    (QueueError, ErrorCode(503, "UNAVAILABLE", _UNAVAILABLE)),
    (TimeoutError, ErrorCode(503, "DEADLINE_EXCEEDED", "the call took too long")),
    (EventHooksError, UNFORESEEN),
)
"""The first class that an error is an instance of counts."""


def code_of(error: Exception) -> ErrorCode:
    return next((code for kind, code in ERROR_CODES if isinstance(error, kind)), UNFORESEEN)


def text_of(error: Exception) -> str:
    """Return the text for the client; an unforeseen error and the store keep theirs to the log."""
    text = code_of(error).text
    return str(error) if text is None else text

"""Errors as statuses: every one has its code, its details say what a program needs, and it all fits into a header."""

import inspect
from collections.abc import Iterator

import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from kong_eventhooks_plugin import errors
from kong_eventhooks_plugin.api.grpc.error_mapping import MESSAGE_BYTES, status_of
from kong_eventhooks_plugin.model.delivery import Answer

NOT_OURS_TO_ANSWER = {
    # Raised and handled behind the API: never by a use case.
    "EventHooksError", "SettingsError", "SocketError", "SocketInUse", "ProtocolError", "BadMessage",
    "PhaseError", "ObservationError", "HookError", "UnresolvedReference", "ApiError", "RemoteError", "AddressRefused",
    "AdminApiError", "HttpError", "MissingExtra", "StoreWentBack",
}  # fmt: skip

CODES = [
    (errors.ValidationError({"handler": "required field missing"}), StatusCode.INVALID_ARGUMENT),
    (errors.BadArgument("no"), StatusCode.INVALID_ARGUMENT),
    (errors.UnknownHook("no hook"), StatusCode.NOT_FOUND),
    (errors.UnknownDelivery("no delivery"), StatusCode.NOT_FOUND),
    (errors.UnknownEvent("no event"), StatusCode.NOT_FOUND),
    (errors.UnknownSource("no source"), StatusCode.NOT_FOUND),
    (errors.HookTaken("h"), StatusCode.ALREADY_EXISTS),
    (errors.IdTaken("an id"), StatusCode.ALREADY_EXISTS),
    (errors.HookDeclared("h", "/etc/kong/kong.yml: plugins[0]"), StatusCode.FAILED_PRECONDITION),
    (errors.HookRemoved("gone"), StatusCode.FAILED_PRECONDITION),
    (errors.NoPing("log"), StatusCode.FAILED_PRECONDITION),
    (errors.HookTestFailed("timeout", "no answer"), StatusCode.FAILED_PRECONDITION),
    (errors.TokenNeeded("token"), StatusCode.UNAUTHENTICATED),
    (errors.AccessRefused("page"), StatusCode.PERMISSION_DENIED),
    (errors.TooBusy("busy"), StatusCode.RESOURCE_EXHAUSTED),
    (errors.QueueFull("buffer", "too many offers wait"), StatusCode.RESOURCE_EXHAUSTED),
    (errors.StoreUnavailable("disk full"), StatusCode.UNAVAILABLE),
    (errors.StoreSilent("has not answered"), StatusCode.UNAVAILABLE),
    (errors.HooksUnknown("not loaded"), StatusCode.UNAVAILABLE),
    (errors.QueueError("odd"), StatusCode.UNAVAILABLE),
    (TimeoutError(), StatusCode.DEADLINE_EXCEEDED),
    (errors.ProtocolError("a bug"), StatusCode.INTERNAL),
    (ValueError("a bug with a secret in it"), StatusCode.INTERNAL),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: getattr(value, "name", type(value).__name__))
def test_every_error_has_its_code(error: Exception, code: StatusCode) -> None:
    found, status = status_of(error)
    assert (found, status.code) == (code, code.value[0])
    assert status.message


def test_no_error_of_the_tree_is_forgotten() -> None:
    tree = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}
    assert tree - NOT_OURS_TO_ANSWER == {type(error).__name__ for error, _ in CODES} & tree - NOT_OURS_TO_ANSWER


def test_unforeseen_errors_and_the_stores_texts_stay_inside() -> None:
    assert status_of(ValueError("secret"))[1].message == "An unexpected error occurred"
    assert "disk full" not in status_of(errors.StoreUnavailable("disk full"))[1].message


def details(error: Exception) -> Iterator[Message]:
    for packed in status_of(error)[1].details:
        kind = next(
            each for each in (BadRequest, ErrorInfo, PreconditionFailure, RetryInfo) if packed.Is(each.DESCRIPTOR)
        )
        detail = kind()
        packed.Unpack(detail)
        yield detail


def violations(error: Exception) -> list[tuple[str, str]]:
    (detail,) = details(error)
    assert isinstance(detail, BadRequest)
    return [(one.field, one.description) for one in detail.field_violations]


def test_faulty_fields_are_named() -> None:
    error = errors.ValidationError({"definition": {"handler": "required field missing", "config": {"url": "bad"}}})
    assert violations(error) == [("definition.config.url", "bad"), ("definition.handler", "required field missing")]
    assert violations(errors.BadArgument("'x' is not a valid offset", 7, "invalid offset")) == [
        ("page_token", "'x' is not a valid offset")
    ]
    assert violations(errors.BadArgument("no", 11, "invalid options", {"tags": "invalid filter syntax"})) == [
        ("tags", "invalid filter syntax")
    ]


def test_where_a_hook_is_declared_is_a_detail() -> None:
    (detail,) = details(errors.HookDeclared("h", "/etc/kong/kong.yml: plugins[0]"))
    assert isinstance(detail, PreconditionFailure)
    (violation,) = detail.violations
    assert (violation.type, violation.subject) == ("DECLARED", "/etc/kong/kong.yml: plugins[0]")


def test_what_an_endpoint_answered_goes_along() -> None:
    (detail,) = details(errors.HookTestFailed("status", "answered 500", Answer(500, b"broken")))
    assert isinstance(detail, ErrorInfo)
    assert (detail.reason, detail.domain, dict(detail.metadata)) == (
        "STATUS", "eventhooks.v1", {"status": "500", "body": "broken"},
    )  # fmt: skip


def test_a_full_queue_names_its_limit_and_when_to_retry() -> None:
    later, which = details(errors.QueueFull("hook_queue_full", "full"))
    assert isinstance(later, RetryInfo)
    assert isinstance(which, ErrorInfo)
    assert (later.retry_delay.seconds, which.reason) == (1, "HOOK_QUEUE_FULL")


LONG = "\N{SNOWMAN}" * 5_000
HUGE = [
    errors.ValidationError({f"field{number}{LONG}": LONG for number in range(300)}),
    errors.HookDeclared("h", LONG),
    errors.HookTestFailed("status", LONG, Answer(500, LONG.encode())),
    errors.HookTestFailed("status", "x", Answer(500, b"\xff" * 20_000)),
    errors.QueueFull("buffer", "%" * 9_000),
]


@pytest.mark.parametrize("error", HUGE, ids=lambda error: type(error).__name__)
def test_the_whole_status_fits_into_a_clients_headers(error: Exception) -> None:
    _, status = status_of(error)
    # gRPC percent-encodes what is not printable ASCII, and sends details as base64.
    as_header = sum(1 if 0x20 <= each <= 0x7E and each != ord("%") else 3 for each in status.message.encode())
    assert as_header <= MESSAGE_BYTES
    assert as_header + len(status.SerializeToString()) * 4 / 3 < 7_500
    assert Status.FromString(status.SerializeToString()) == status


def test_an_answer_that_is_no_text_goes_along_as_far_as_there_is_room() -> None:
    (detail,) = details(errors.HookTestFailed("status", "x", Answer(500, b"\xff" * 20_000)))
    assert isinstance(detail, ErrorInfo)
    assert detail.metadata["body"] == "\N{REPLACEMENT CHARACTER}" * 333


def test_as_many_faults_as_there_is_room_for() -> None:
    error = errors.ValidationError({f"field{number}": "required field missing" for number in range(300)})
    assert 20 < len(violations(error)) < 300

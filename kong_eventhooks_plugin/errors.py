"""Every exception that this package raises on purpose; imports nothing. The tree says what each is for.

::

    EventHooksError
    +-- SettingsError            a setting has a wrong value; the text names it and the fix
    +-- MissingExtra             a feature needs a package that only an extra installs
    +-- SocketError              the plugin socket cannot be bound, inherited or handed over
    |   +-- SocketInUse          another live process listens on it
    +-- ProtocolError            a peer broke the external-plugin protocol
    |   +-- BadMessage           a frame does not contain the expected message
    +-- PhaseError               a phase called a PDK function that Kong does not allow there (our bug)
    +-- ObservationError         a source cannot read what Kong sent
    +-- HookError                a hook's definition is refused
    |   +-- ValidationError      with Kong's code, name, message and fields
    |   +-- UnresolvedReference  a secret's reference has no value here
    |   +-- UnknownHook          no hook has that id or name
    |   +-- HookTaken            another hook has that name
    |   |   +-- IdTaken          another hook has that id
    |   +-- HookDeclared         the hook is declared elsewhere and can be changed there only
    |   +-- HookRemoved          the hook is not in force any more
    |   +-- NoPing               the hook's handler has no ping
    |   +-- HookTestFailed       a ping or a test did not arrive; with the answer
    +-- QueueError               an operation on the durable queue failed
    |   +-- QueueFull            a limit is reached: count, bytes, hook or buffer
    |   +-- StoreUnavailable     the store itself failed (disk, lock, connection)
    |   |   +-- StoreSilent      a read was given up: the store that nodes share does not answer
    |   +-- StoreWentBack        the store that nodes share has less of a spool than it had; with how far it is
    |   +-- UnknownDelivery      no delivery with that id
    |   +-- UnknownEvent         no event with that id
    +-- ApiError                 a call of our API is refused
    |   +-- BadArgument          a parameter or body is wrong, in Kong's shape where Kong has one
    |   +-- UnknownSource        no source, or no event of it, has that name
    |   +-- AccessRefused        the caller may not do that from there; the text says why
    |   |   +-- TokenNeeded      the admin token is missing or wrong
    |   +-- TooBusy              a limit on concurrent calls is reached
    +-- RemoteError              the command line could not use the API; the text says what to do
    +-- AddressRefused           a hook may not connect to that address
    +-- HttpError                an HTTP exchange with an endpoint brought no answer
    +-- AdminApiError            Kong's Admin API was not reached, refused, or answered what cannot be read
"""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Literal

HttpErrorClass = Literal["timeout", "tls", "connect", "connection", "protocol", "config", "internal"]
"""``connect``: no connection was made; ``connection``: it broke; ``protocol``: the answer is not HTTP; ``config``: the
request cannot be sent as it is; ``internal``: this process has no descriptor or memory left for a connection."""


class EventHooksError(Exception): ...


class SettingsError(EventHooksError): ...


class MissingExtra(EventHooksError):
    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs a package that is missing: pip install 'kong-eventhooks-plugin[{extra}]'")


class SocketError(EventHooksError): ...


class SocketInUse(SocketError): ...


class ProtocolError(EventHooksError): ...


class BadMessage(ProtocolError): ...


class PhaseError(EventHooksError): ...


class ObservationError(EventHooksError): ...


class HookError(EventHooksError): ...


class ValidationError(HookError):
    """A definition violates the schema; has the body that Kong's Admin API would answer.

    ``fields`` has the shape of the definition, with a text for each invalid field:
    ``{"handler": "required field missing", "config": {"url": "expected a string"}}``. A list has ``None`` where
    an element is valid; errors of a record as a whole are under ``@entity``, as a list of texts.
    """

    code = 2
    name = "schema violation"

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = dict(fields)
        texts = [f"{path}: {text}" if path else text for path, text in self.leaves()]
        count = "schema violation" if len(texts) == 1 else f"{len(texts)} schema violations"
        super().__init__(f"{count} ({'; '.join(texts)})")

    def leaves(self) -> Iterator[tuple[str, str]]:
        """Yield each error's path (``config.hooks[2].url``; empty for the whole) and text, records' own first."""
        return _leaves(self.fields, "")

    def body(self) -> dict[str, Any]:
        """Return Kong's 400 body: code, name, message and fields."""
        return {"code": self.code, "name": self.name, "message": str(self), "fields": self.fields}


def merged(*errors: Mapping[str, Any]) -> dict[str, Any]:
    """Merge errors in Kong's shape. Of two of one field the first counts; a record's own are collected."""
    found: dict[str, Any] = {}
    for each in errors:
        for name, error in each.items():
            if name == "@entity":
                found[name] = list(dict.fromkeys([*found.get(name, ()), *error]))
            elif isinstance(error, Mapping) and isinstance(found.get(name), Mapping):
                found[name] = merged(found[name], error)
            elif isinstance(error, list) and isinstance(found.get(name), list):
                found[name] = [one or other for one, other in zip_longest(found[name], error)]
            else:
                found.setdefault(name, error)
    return found


def _leaves(errors: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(errors, Mapping):
        yield from ((path, str(text)) for text in errors.get("@entity", ()))
        for key in sorted((key for key in errors if key != "@entity"), key=str):
            yield from _leaves(errors[key], f"{path}.{key}" if path else str(key))
    elif isinstance(errors, list):
        for index, error in enumerate(errors):
            yield from _leaves(error, f"{path}[{index}]")
    elif errors is not None:
        yield path, str(errors)


class UnresolvedReference(HookError):
    """A reference (``{vault://...}``, a secret's file) has no value in this process.

    ``missing`` names each field, its reference and where a value was looked for, never a value.
    """

    def __init__(self, missing: Mapping[str, str]) -> None:
        self.missing = dict(missing)
        names = ", ".join(f"{field}={reference}" for field, reference in sorted(self.missing.items()))
        super().__init__(f"no value for {names}")


class UnknownHook(HookError): ...


class HookTaken(HookError):
    """Another hook has the name ``value``; has the body that Kong's Admin API would answer."""

    code = 5
    name = "unique constraint violation"
    field = "name"
    text = "UNIQUE violation detected on"

    def __init__(self, value: str) -> None:
        self.value = value
        super().__init__(f"{self.text} '{{{self.field}=\"{value}\"}}'")

    def body(self) -> dict[str, Any]:
        return {"code": self.code, "name": self.name, "message": str(self), "fields": {self.field: self.value}}


class IdTaken(HookTaken):
    code = 3
    name = "primary key violation"
    field = "id"
    text = "primary key violation on key"


class HookDeclared(HookError):
    """The hook is declared in a file or in Kong and cannot be changed through the API; ``where`` names the place."""

    def __init__(self, name: str, where: str) -> None:
        self.where = where
        super().__init__(f"hook '{name}' is declared in {where}; change it there")


class HookRemoved(HookError): ...


class NoPing(HookError):
    def __init__(self, handler: str) -> None:
        super().__init__(f"handler '{handler}' does not support 'ping'")


class HookTestFailed(HookError):
    """A ping or a test did not arrive.

    ``error`` is a ``model.delivery.ErrorClass``; ``answer`` an ``Answer`` and ``request`` a ``SentRequest`` from there,
    ``verdict`` a ``preview.dry_run.FilterVerdict`` (which this file cannot import); each None without one.
    """

    def __init__(self, error: str, detail: str, answer: Any = None, request: Any = None, verdict: Any = None) -> None:
        self.error = error
        self.answer = answer
        self.request = request
        self.verdict = verdict
        super().__init__(detail)


class QueueError(EventHooksError): ...


class QueueFull(QueueError):
    """A limit of the queue is reached; ``reason`` is the metric's label."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class StoreUnavailable(QueueError): ...


class StoreSilent(StoreUnavailable): ...


class HooksUnknown(StoreUnavailable):
    """The stored hooks are not loaded yet: nobody can say whether an event has a hook."""


class StoreWentBack(QueueError):
    def __init__(self, has: int) -> None:
        super().__init__(f"the shared store has this spool up to {has}, and had more: an older backup, or a failover")
        self.has = has


class UnknownDelivery(QueueError): ...


class UnknownEvent(QueueError): ...


class ApiError(EventHooksError): ...


class BadArgument(ApiError):
    """A parameter or a body is wrong. ``code`` and ``name`` are Kong's where it has such an error, else None."""

    def __init__(
        self, message: str, code: int | None = None, name: str | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        self.code = code
        self.name = name
        self.options = options
        super().__init__(message)


class UnknownSource(ApiError): ...


class AccessRefused(ApiError): ...


class TokenNeeded(AccessRefused): ...


class TooBusy(ApiError): ...


class RemoteError(EventHooksError): ...


class AddressRefused(EventHooksError): ...


class HttpError(EventHooksError):
    """An HTTP exchange brought no answer; the text names no URL."""

    def __init__(self, kind: HttpErrorClass, text: str) -> None:
        self.kind = kind
        super().__init__(text)


class AdminApiError(EventHooksError):
    """``status`` is the Admin API's where that is the error (404: no such path, no such entity), else None."""

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)

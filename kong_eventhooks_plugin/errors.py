"""Every exception that this package raises on purpose; imports nothing.

::

    EventHooksError
    +-- SettingsError            a setting has a wrong value; the text names it and the fix
    +-- SocketError              the plugin socket cannot be had
    |   +-- SocketInUse          another live process listens on it
    +-- ProtocolError                a peer broke the external-plugin protocol
    |   +-- BadMessage           a frame's bytes are not the message that belongs there
    +-- PhaseError               a phase asked the PDK for what is not safe there (our bug)
    +-- ObservationError         what Kong handed over is not what a source can read
    +-- HookError                a hook's definition is refused
    |   +-- ValidationError      with Kong's code, name, message and fields
    |   +-- UnresolvedReference  a secret's reference has no value here
    |   +-- UnknownHook          no hook has that id or name
    |   +-- HookTaken            another hook has that name
    |   |   +-- IdTaken          another hook has that id
    |   +-- HookDeclared         the hook is declared elsewhere and can be changed there only
    |   +-- HookRemoved             what is asked for needs a hook that is not in force any more
    |   +-- NoPing               the hook's handler has no ping
    |   +-- HookTestFailed          a ping or a test did not arrive; with what came back
    +-- QueueError               the store did not take or give something
    |   +-- QueueFull            a limit is reached: count, bytes, hook or buffer
    |   +-- StoreUnavailable     the store itself failed (disk, lock, connection)
    |   +-- UnknownDelivery      no delivery with that id
    +-- ApiError                 a call of our API cannot be done
    |   +-- BadArgument          a parameter or body is wrong, in Kong's shape where Kong has one
    |   +-- UnknownSource        no source, or no event of it, has that name
    |   +-- AccessRefused        the caller may not do that from there; the text says why
    |   |   +-- TokenNeeded      the admin token is missing or wrong
    |   +-- TooBusy              a limit on what runs at once is reached
    +-- RemoteError              the command line did not get from the API what it asked for; the text says what to do
    +-- AddressRefused           an address that a hook may not dial
    +-- HttpError                an HTTP exchange with an endpoint brought no answer
    +-- AdminApiError            Kong's Admin API did not give what was asked of it
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

HttpErrorClass = Literal["timeout", "tls", "connect", "connection", "protocol", "config"]
"""``connect``: no connection was made; ``connection``: it broke; ``protocol``: the answer is not HTTP; ``config``: the
request cannot be sent as it is."""


class EventHooksError(Exception):
    """The root: whoever catches it catches everything we raise on purpose."""


class SettingsError(EventHooksError):
    """A setting is unknown or has a wrong value."""


class SocketError(EventHooksError):
    """The plugin socket cannot be bound, found or handed over."""


class SocketInUse(SocketError):
    """Another live process listens on the socket's path."""


class ProtocolError(EventHooksError):
    """A peer on the plugin socket broke the protocol."""


class BadMessage(ProtocolError):
    """A frame does not hold the message that belongs in its place."""


class PhaseError(EventHooksError):
    """A PDK function was asked for in a phase where Kong does not allow it."""


class ObservationError(EventHooksError):
    """An observation cannot be read by the source that should turn it into events."""


class HookError(EventHooksError):
    """A hook's definition is refused."""


class ValidationError(HookError):
    """A definition breaks the schema; carries the body that Kong's Admin API would answer.

    ``fields`` mirrors the shape of the definition, with a text for each faulty field:
    ``{"handler": "required field missing", "config": {"url": "expected a string"}}``. A list has ``None`` where
    an element is good; what is wrong with a record as a whole stands under ``@entity``, as a list of texts.
    """

    code = 2
    name = "schema violation"

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = dict(fields)
        texts = [f"{path}: {text}" if path else text for path, text in self.leaves()]
        count = "schema violation" if len(texts) == 1 else f"{len(texts)} schema violations"
        super().__init__(f"{count} ({'; '.join(texts)})")

    def leaves(self) -> Iterator[tuple[str, str]]:
        """Yield each fault's path (``config.hooks[2].url``; empty for the whole) and text, records' own first."""
        return _leaves(self.fields, "")

    def body(self) -> dict[str, Any]:
        """Return Kong's 400 body: code, name, message and fields."""
        return {"code": self.code, "name": self.name, "message": str(self), "fields": self.fields}


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

    ``missing`` names each field and its reference, never a value.
    """

    def __init__(self, missing: Mapping[str, str]) -> None:
        self.missing = dict(missing)
        names = ", ".join(f"{field}={reference}" for field, reference in sorted(self.missing.items()))
        super().__init__(f'no value for {names}: see docs/kong-yml.md, "References to a vault"')


class UnknownHook(HookError):
    """No hook in force has that id or name."""


class HookTaken(HookError):
    """Another hook has the name ``value``; carries the body that Kong's Admin API would answer."""

    code = 5
    name = "unique constraint violation"
    field = "name"
    text = "UNIQUE violation detected on"

    def __init__(self, value: str) -> None:
        self.value = value
        super().__init__(f"{self.text} '{{{self.field}=\"{value}\"}}'")

    def body(self) -> dict[str, Any]:
        """Return Kong's body: code, name, message and fields."""
        return {"code": self.code, "name": self.name, "message": str(self), "fields": {self.field: self.value}}


class IdTaken(HookTaken):
    """Another hook has the id ``value``."""

    code = 3
    name = "primary key violation"
    field = "id"
    text = "primary key violation on key"


class HookDeclared(HookError):
    """The hook is declared in a file or in Kong and cannot be changed through the API; ``where`` names the place."""

    def __init__(self, name: str, where: str) -> None:
        self.where = where
        super().__init__(f"hook '{name}' is declared in {where}; change it there")


class HookRemoved(HookError):
    """The hook is not in force any more."""


class NoPing(HookError):
    """The hook's handler has nothing to ping."""

    def __init__(self, handler: str) -> None:
        super().__init__(f"handler '{handler}' does not support 'ping'")


class HookTestFailed(HookError):
    """A ping or a test did not arrive.

    ``error`` is the class of what went wrong (``model.delivery.ErrorClass``); ``answer`` what came back, None where
    nothing did (it is a ``model.delivery.Answer``, which this file cannot name).
    """

    def __init__(self, error: str, detail: str, answer: Any = None) -> None:
        self.error = error
        self.answer = answer
        super().__init__(detail)


class QueueError(EventHooksError):
    """The durable queue did not take or give something."""


class QueueFull(QueueError):
    """A limit of the queue is reached; ``reason`` is the metric's label."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class StoreUnavailable(QueueError):
    """The store failed: disk full, file locked, connection gone."""


class UnknownDelivery(QueueError):
    """No delivery has that id."""


class ApiError(EventHooksError):
    """A call of our API cannot be done."""


class BadArgument(ApiError):
    """A parameter or a body is wrong. ``code`` and ``name`` are Kong's where it has such an error, else None."""

    def __init__(
        self, message: str, code: int | None = None, name: str | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        self.code = code
        self.name = name
        self.options = options
        super().__init__(message)


class UnknownSource(ApiError):
    """No source, or no event of it, has that name."""


class AccessRefused(ApiError):
    """The caller may not do that from there: a foreign web page, a host name that is not ours."""


class TokenNeeded(AccessRefused):
    """The admin token is missing or wrong."""


class TooBusy(ApiError):
    """A limit on what runs at the same time is reached; later is better."""


class RemoteError(EventHooksError):
    """The API was not reached, refused, or answered what cannot be read; the text says what to do about it."""


class AddressRefused(EventHooksError):
    """A hook's endpoint resolves to an address that must not be dialled."""


class HttpError(EventHooksError):
    """An HTTP exchange brought no answer; the text names no URL."""

    def __init__(self, kind: HttpErrorClass, text: str) -> None:
        self.kind = kind
        super().__init__(text)


class AdminApiError(EventHooksError):
    """Kong's Admin API was not reached, refused, or answered what cannot be read; the text says which.

    ``status`` is what it answered where that was the trouble (404: no such path, no such entity), else None.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)

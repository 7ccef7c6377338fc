"""Every exception that this package raises on purpose; imports nothing.

::

    EventHooksError
    +-- SettingsError            a setting has a wrong value; the text names it and the fix
    +-- SocketError              the plugin socket cannot be had
    |   +-- SocketInUse          another live process listens on it
    +-- WireError                a peer broke the external-plugin protocol
    |   +-- FrameTooLarge        a frame's length is over the limit
    |   +-- BadMessage           a frame's bytes are not the message that belongs there
    +-- PhaseError               a phase asked the PDK for what is not safe there (our bug)
    +-- ObservationError         what Kong handed over is not what a source can read
    +-- HookError                a hook's definition is refused
    |   +-- SchemaViolation      with Kong's code, name, message and fields
    |   +-- UnresolvedReference  a secret's reference has no value here
    +-- QueueError               the store did not take or give something
    |   +-- QueueFull            a limit is reached: count, bytes, hook or buffer
    |   +-- StoreUnavailable     the store itself failed (disk, lock, connection)
    |   +-- UnknownDelivery      no delivery with that id
    +-- AddressRefused           an address that a hook may not dial
"""

from collections.abc import Mapping
from typing import Any


class EventHooksError(Exception):
    """The root: whoever catches it catches everything we raise on purpose."""


class SettingsError(EventHooksError):
    """A setting is unknown or has a wrong value."""


class SocketError(EventHooksError):
    """The plugin socket cannot be bound, found or handed over."""


class SocketInUse(SocketError):
    """Another live process listens on the socket's path."""


class WireError(EventHooksError):
    """A peer on the plugin socket broke the protocol."""


class FrameTooLarge(WireError):
    """A frame announces more bytes than the limit."""


class BadMessage(WireError):
    """A frame does not hold the message that belongs in its place."""


class PhaseError(EventHooksError):
    """A PDK function was asked for in a phase where Kong does not allow it."""


class ObservationError(EventHooksError):
    """An observation cannot be read by the source that should turn it into events."""


class HookError(EventHooksError):
    """A hook's definition is refused."""


class SchemaViolation(HookError):
    """A definition breaks the schema; carries the body that Kong's Admin API would answer.

    ``fields`` mirrors the shape of the definition, with a text for each faulty field:
    ``{"handler": "required field missing", "config": {"url": "expected a string"}}``.
    """

    code = 2
    name = "schema violation"

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = dict(fields)
        super().__init__(f"schema violation ({_flatten(self.fields)})")

    def body(self) -> dict[str, Any]:
        """Return Kong's 400 body: code, name, message and fields."""
        return {"code": self.code, "name": self.name, "message": str(self), "fields": self.fields}


def _flatten(fields: Mapping[str, Any], prefix: str = "") -> str:
    """Join nested field errors as ``config.url: text; handler: text``, sorted as Kong does."""
    parts = []
    for key in sorted(fields, key=str):
        value, path = fields[key], f"{prefix}{key}"
        parts.append(_flatten(value, f"{path}.") if isinstance(value, Mapping) else f"{path}: {value}")
    return "; ".join(parts)


class UnresolvedReference(HookError):
    """A reference (``{vault://...}``, a secret's file) has no value in this process.

    ``missing`` names each field and its reference, never a value.
    """

    def __init__(self, missing: Mapping[str, str]) -> None:
        self.missing = dict(missing)
        names = ", ".join(f"{field}={reference}" for field, reference in sorted(self.missing.items()))
        super().__init__(f"no value for {names}")


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


class AddressRefused(EventHooksError):
    """A hook's endpoint resolves to an address that must not be dialled."""

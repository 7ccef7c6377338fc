"""What we read of a finished request: the fields of ``kong.log.serialize`` that a source can use, typed.

Every field may be missing or of another type: a plugin or a setting can edit the serialized log
(``kong.log.set_serialize_value``), an anonymous request has no consumer, a 404 has no route, and a client
writes some of it. What has the wrong type is as if it were missing; it never costs the rest. Only what is
not a JSON object is an ``ObservationError``.

The request's headers are not read at all: Kong leaves an API key in them. The path loses its query string
here, before anything else can see it, for the same reason.

Limits: a path is kept up to ``PATH_LIMIT`` characters, the rest is cut off. The size of the JSON as a whole is
limited by the plugin socket's frame.
"""

import re
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec

from kong_eventhooks_plugin.errors import ObservationError
from kong_eventhooks_plugin.model.masking import MASK
from kong_eventhooks_plugin.model.scope import EventScope

PATH_LIMIT: Final = 2048

_NO_TRIES: Final = msgspec.Raw()
_CREDENTIAL: Final = re.compile(r"(?:(?<=/key-auth/)|(?<=/key-auths/)|(?<=/oauth2_tokens/))/*[^/]+")
"""What a path of Kong's Admin API, behind a route, can name a credential by: the key itself.

A route takes several slashes for one.
"""

_LATEST_START = 1e15
"""Milliseconds; a request that started later than the year 33000 did not."""


class LogService(msgspec.Struct, gc=False):
    """The service that a request was for. Without timestamps: any DB-less reload renews them."""

    id: str | None = None
    name: str | None = None
    host: str | None = None
    port: int | None = None
    protocol: str | None = None
    path: str | None = None


class LogRoute(msgspec.Struct, gc=False):
    """The route that a request matched."""

    id: str | None = None
    name: str | None = None


class LogConsumer(msgspec.Struct, gc=False):
    """The consumer that a request was authenticated as."""

    id: str | None = None
    username: str | None = None
    custom_id: str | None = None


class LogRequest(msgspec.Struct, gc=False):
    """The request. ``uri`` is raw, with the query string: read ``path`` instead."""

    id: str | None = None
    method: str | None = None
    uri: str | None = None

    @property
    def path(self) -> str | None:
        """Return the path as the client wrote it, without query string and fragment, and without a credential."""
        if self.uri is None:
            return None
        return _CREDENTIAL.sub(MASK, self.uri.partition("?")[0].partition("#")[0][:PATH_LIMIT])


class LogResponse(msgspec.Struct, gc=False):
    """The answer's headers, names in lower case as Kong gives them; a repeated header's value is a list."""

    headers: dict[str, Any] = {}


class Try(msgspec.Struct, gc=False):
    """One time that Kong asked an address of the service. ``balancer_latency`` is in milliseconds.

    ``state`` and ``code`` are there where it failed: ``failed`` and the status that it would have come to.
    """

    ip: str | None = None
    port: int | None = None
    balancer_latency: int | float | None = None
    state: str | None = None
    code: int | None = None


class KongLog(msgspec.Struct, gc=False):
    """One finished request.

    ``source`` is ``kong`` where Kong itself answered, ``upstream`` where the service did. ``started_at`` is in
    milliseconds. ``upstream_status`` is what the service answered to each try, as a text or a number, ``""`` where
    there was none. ``tries`` is JSON that ``attempts`` reads: few sources look at it.
    """

    source: str | None = None
    client_ip: str | None = None
    started_at: float | None = None
    upstream_status: str | int | float | None = None
    workspace_name: str | None = None
    tries: msgspec.Raw = _NO_TRIES
    request: LogRequest = msgspec.field(default_factory=LogRequest)
    response: LogResponse = msgspec.field(default_factory=LogResponse)
    service: LogService | None = None
    route: LogRoute | None = None
    consumer: LogConsumer | None = None

    @property
    def asked_service(self) -> bool:
        """Tell whether Kong asked the service before this request ended.

        Where it buffers the answer there is a status only of a service that answered (seen: 502 and 504 behind
        event-hooks-crud), but always a try.
        """
        return bool(self.upstream_status) or bool(self.attempts())

    def attempts(self) -> list[Try]:
        """Return the tries that had an address, oldest first; none where they are not as expected.

        The last one has no address where the balancer had no target left for it.
        """
        if len(self.tries) <= _EMPTY_LIST:
            return []
        try:
            return [each for each in _tries_decoder.decode(self.tries) if each.ip is not None]
        except (msgspec.DecodeError, UnicodeError):
            return []

    def started_seconds(self, otherwise: float) -> float:
        """Return when the request started, in Unix seconds; ``otherwise`` where the log does not say it credibly."""
        started = self.started_at
        return started / 1000 if started is not None and 0 < started < _LATEST_START else otherwise

    def scope(self) -> EventScope:
        """Return the request's entities by their aliases."""
        service, route, consumer = self.service, self.route, self.consumer
        return EventScope(
            service=_aliases(service.id, service.name) if service is not None else (),
            route=_aliases(route.id, route.name) if route is not None else (),
            consumer=_aliases(consumer.id, consumer.username) if consumer is not None else (),
        )


def _aliases(key: str | None, name: str | None) -> tuple[str, ...]:
    if key and name:
        return (key, name)
    return (key,) if key else (name,) if name else ()


# Not strict: a port or a time that comes as a text is read as the number it shows.
_decoder = msgspec.json.Decoder(KongLog, strict=False)
_tries_decoder = msgspec.json.Decoder(list[Try], strict=False)
_EMPTY_LIST: Final = len(b"[]")


def decode(serialized: str | bytes) -> KongLog:
    """Read ``kong.log.serialize``'s JSON. Raises ``ObservationError`` where it is not a JSON object."""
    try:
        return _decoder.decode(serialized)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _decode_leniently(serialized)


def _decode_leniently(serialized: str | bytes) -> KongLog:
    """Read JSON in which something is not as expected, field by field.

    A client can put bytes that are no UTF-8 into its path: they are replaced, so that nobody can keep a
    request out of sight by them.
    """
    text = serialized.encode("utf-8", "replace") if isinstance(serialized, str) else serialized
    try:
        value = msgspec.json.decode(text.decode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ObservationError(f"kong.log.serialize gave no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ObservationError(f"kong.log.serialize gave a JSON {type(value).__name__}, expected an object")
    return _pick(KongLog, value)


_NESTED: dict[str, type[msgspec.Struct]] = {
    "request": LogRequest, "response": LogResponse, "service": LogService, "route": LogRoute, "consumer": LogConsumer,
}  # fmt: skip


def _convert(given: Any, kind: Any) -> Any:
    """Return ``given`` as a field's type; raises ``ValidationError``."""
    if kind is msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(given))
    return msgspec.convert(given, kind, strict=False)


_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def _pick(kind: type[_Struct], value: dict[str, Any]) -> _Struct:
    """Take what has the right type of ``value``'s fields."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        given, nested = value.get(field.name), _NESTED.get(field.name)
        if nested is not None:
            if isinstance(given, dict):
                found[field.name] = _pick(nested, given)
            continue
        with suppress(msgspec.ValidationError, RecursionError):
            found[field.name] = _convert(given, field.type)
    return kind(**found)

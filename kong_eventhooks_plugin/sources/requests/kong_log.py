"""What we read of a finished request: the fields of ``kong.log.serialize`` that a source can use, typed.

Every field may be missing or of another type: a plugin or a setting can edit the serialized log
(``kong.log.set_serialize_value``), an anonymous request has no consumer, a 404 has no route, and a client
writes some of it. What has the wrong type is as if it were missing; it never costs the rest. Only what is
not a JSON object is an ``ObservationError``.

The request's headers are not read at all: Kong leaves an API key in them. The path loses its query string
here, before anything else can see it, for the same reason. Of a service and a consumer the fields of Kong's schemas are
read, none of which is a secret, and no others: an authentication plugin can put into its consumer whatever it likes.

Limits: a path is kept up to ``PATH_LIMIT`` characters, a text of a service or a consumer up to ``TEXT_LIMIT``, a list
of theirs up to ``LIST_LIMIT`` texts; the rest is cut off. The size of the JSON as a whole is limited by the plugin
socket's frame; where that is over ``LARGE`` bytes, or something in it is not as expected, more than ``MAX_VALUES``
values (``bounded_json``) are an ``ObservationError``.
"""

import re
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec

from kong_eventhooks_plugin import bounded_json
from kong_eventhooks_plugin.errors import ObservationError
from kong_eventhooks_plugin.model.masking import MASK
from kong_eventhooks_plugin.model.scope import EventScope

PATH_LIMIT: Final = 2048
TEXT_LIMIT: Final = 1024
LIST_LIMIT: Final = 100
MAX_VALUES: Final = 100_000
LARGE: Final = 256 << 10

_NO_TRIES: Final = msgspec.Raw()
_WITH_CREDENTIAL: Final = ("/key-auth/", "/key-auths/", "/oauth2_tokens/")
_CREDENTIAL: Final = re.compile(f"(?:{'|'.join(f'(?<={part})' for part in _WITH_CREDENTIAL)})/*[^/]+")
"""A credential's key in a path of Kong's Admin API behind a route, which takes several slashes for one."""

_LATEST_START = 1e15
"""Milliseconds; a request that started later than the year 33000 did not."""


Texts = list[str] | dict[str, Any] | None
"""Kong's encoder writes an empty list as an object at times."""


class LogReference(msgspec.Struct, omit_defaults=True, gc=False):
    id: str | None = None


class LogService(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of Kong's schema ``services``."""

    id: str | None = None
    name: str | None = None
    host: str | None = None
    port: int | None = None
    protocol: str | None = None
    path: str | None = None
    retries: int | None = None
    enabled: bool | None = None
    connect_timeout: int | None = None
    read_timeout: int | None = None
    write_timeout: int | None = None
    tags: Texts = None
    client_certificate: LogReference | None = None
    ca_certificates: Texts = None
    tls_verify: bool | None = None
    tls_verify_depth: int | None = None
    ws_id: str | None = None
    created_at: int | float | None = None
    updated_at: int | float | None = None


class LogRoute(msgspec.Struct, gc=False):
    id: str | None = None
    name: str | None = None


class LogConsumer(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of Kong's schema ``consumers``; ``type`` is Enterprise's."""

    id: str | None = None
    username: str | None = None
    custom_id: str | None = None
    tags: Texts = None
    type: int | None = None
    ws_id: str | None = None
    created_at: int | float | None = None
    updated_at: int | float | None = None


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
        path = self.uri.partition("?")[0].partition("#")[0][:PATH_LIMIT]
        return _CREDENTIAL.sub(MASK, path) if any(part in path for part in _WITH_CREDENTIAL) else path


class LogResponse(msgspec.Struct, gc=False):
    """The answer's headers, names in lower case as Kong gives them; a repeated header's value is a list."""

    headers: dict[str, Any] = {}


class Try(msgspec.Struct, gc=False):
    """One try of an address of the service. ``balancer_latency`` is in milliseconds.

    A failed one has ``state`` (``failed``) and ``code``, the status that it would have ended with.
    """

    ip: str | None = None
    port: int | None = None
    balancer_latency: int | float | None = None
    state: str | None = None
    code: int | None = None


class KongLog(msgspec.Struct, gc=False):
    """One finished request.

    ``source`` is ``kong`` where Kong itself answered, ``upstream`` where the service did. ``started_at`` is in
    milliseconds. ``upstream_status`` is the service's status for each try, as a text or a number, ``""`` without a
    try. ``tries`` is JSON that ``attempts`` reads: few sources need it.
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
        """Return whether Kong asked the service before this request ended.

        Where it buffers the answer there is a status only of a service that answered (seen: 502 and 504 behind
        event-hooks-crud), but always a try.
        """
        return bool(self.upstream_status) or bool(self.attempts())

    def attempts(self) -> list[Try]:
        """Return the tries that had an address, oldest first; none where they are malformed.

        The last one has no address where the balancer had no target for it.
        """
        if len(self.tries) <= _EMPTY_LIST:
            return []
        try:
            return [each for each in _tries_decoder.decode(self.tries) if each.ip is not None]
        except (msgspec.DecodeError, UnicodeError):
            return []

    def started_seconds(self, otherwise: float) -> float:
        """Return when the request started, in Unix seconds; ``otherwise`` without a credible time."""
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


def entity_data(entity: LogService | LogConsumer | LogReference | None) -> dict[str, Any]:
    """Return the fields that are set, as JSON within the limits; ``{}`` for no entity."""
    if entity is None:
        return {}
    values: dict[str, Any] = msgspec.to_builtins(entity)  # ten times as fast as Python
    for name, value in values.items():
        kind = type(value)
        if kind is str:
            if len(value) > TEXT_LIMIT:
                values[name] = value[:TEXT_LIMIT]
        elif kind is list or kind is dict:
            values[name] = _bounded(getattr(entity, name))
    return values


def _bounded(value: Texts | LogReference) -> Any:
    if isinstance(value, LogReference):
        return entity_data(value)
    return [each[:TEXT_LIMIT] for each in value[:LIST_LIMIT]] if isinstance(value, list) else []


def _aliases(key: str | None, name: str | None) -> tuple[str, ...]:
    return (key, name) if key and name else tuple(each for each in (key, name) if each)


# Not strict: a port or a time that comes as a text is read as the number it shows.
_decoder = msgspec.json.Decoder(KongLog, strict=False)
_tries_decoder = msgspec.json.Decoder(list[Try], strict=False)
_EMPTY_LIST: Final = len(b"[]")


def decode(serialized: str | bytes) -> KongLog:
    """Read ``kong.log.serialize``'s JSON. Raises ``ObservationError`` where it is not a JSON object."""
    try:
        if len(serialized) > LARGE:
            large: KongLog = bounded_json.decode(_as_bytes(serialized), MAX_VALUES, _decoder)
            return large
        return _decoder.decode(serialized)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _decode_leniently(serialized)


def _decode_leniently(serialized: str | bytes) -> KongLog:
    """Read JSON in which something is not as expected, field by field.

    A client can put bytes that are no UTF-8 into its path: they are replaced, so that nobody can keep a
    request out of sight by them.
    """
    text = _as_bytes(serialized).decode("utf-8", "replace").encode()
    try:
        value = bounded_json.decode(text, MAX_VALUES)
    except msgspec.DecodeError as error:
        raise ObservationError(f"kong.log.serialize gave no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ObservationError(f"kong.log.serialize gave a JSON {type(value).__name__}, expected an object")
    return _pick(KongLog, value)


def _as_bytes(serialized: str | bytes) -> bytes:
    return serialized.encode("utf-8", "replace") if isinstance(serialized, str) else serialized


_NESTED: dict[str, type[msgspec.Struct]] = {
    "request": LogRequest, "response": LogResponse, "service": LogService, "route": LogRoute, "consumer": LogConsumer,
}  # fmt: skip


_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def _pick(kind: type[_Struct], value: dict[str, Any]) -> _Struct:
    """Return a struct of those fields of ``value`` that have the right type."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        given, nested = value.get(field.name), _NESTED.get(field.name)
        if nested is not None:
            if isinstance(given, dict):
                found[field.name] = _pick(nested, given)
            continue
        with suppress(msgspec.ValidationError, RecursionError):
            raw = field.type is msgspec.Raw
            found[field.name] = (
                msgspec.Raw(msgspec.json.encode(given)) if raw else msgspec.convert(given, field.type, strict=False)
            )
    return kind(**found)

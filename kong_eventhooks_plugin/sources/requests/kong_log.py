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
values (``bounded_json``) are an ``ObservationError``. ``REMEMBERED`` services are remembered that have at most
``REMEMBERED_BYTES`` as JSON, as many routes, consumers, and headers of Kong's own answers; past it all of the kind are
forgotten.
"""

import re
from collections.abc import Container
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec

from kong_eventhooks_plugin import bounded_json
from kong_eventhooks_plugin.errors import ObservationError
from kong_eventhooks_plugin.model.masking import MASK
from kong_eventhooks_plugin.model.scope import NOWHERE, EventScope

PATH_LIMIT: Final = 2048
TEXT_LIMIT: Final = 1024
LIST_LIMIT: Final = 100
MAX_VALUES: Final = 100_000
REMEMBERED: Final = 256
REMEMBERED_BYTES: Final = 2 << 10
LARGE: Final = 256 << 10

_NO_TRIES: Final = msgspec.Raw()
_NOTHING: Final = msgspec.Raw()
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
        return _CREDENTIAL.sub(MASK, path) if "/key-auth" in path or "/oauth2_tokens/" in path else path


class LogResponse(msgspec.Struct, gc=False):
    """The answer's headers, names in lower case as Kong gives them; a repeated header's value is a list.

    Those of Kong's own answer lack the request's id, and other answers share them.
    """

    headers: dict[str, Any] = {}
    status: Any = None


class _ReadResponse(msgspec.Struct, gc=False):
    headers: msgspec.Raw = _NOTHING
    status: Any = None


class Try(msgspec.Struct, gc=False):
    """One try of an address of the service. ``balancer_latency`` is in milliseconds.

    A failed one has ``state`` (``failed``) and ``code``, the status that it would have ended with.
    """

    ip: str | None = None
    port: int | None = None
    balancer_latency: int | float | None = None
    state: str | None = None
    code: int | None = None


class LogFields(msgspec.Struct, gc=False):
    """What is each request's own.

    ``source`` is ``kong`` where Kong itself answered, ``upstream`` where the service did. ``started_at`` is in
    milliseconds. ``upstream_status`` is the service's status for each try, as a text or a number, ``""`` without a
    try. ``tries`` is JSON that ``KongLog.attempts`` reads: few sources need it.
    """

    source: str | None = None
    client_ip: str | None = None
    started_at: float | None = None
    upstream_status: str | int | float | None = None
    workspace_name: str | None = None
    tries: msgspec.Raw = _NO_TRIES
    request: LogRequest = msgspec.field(default_factory=LogRequest)


class _Read(LogFields, gc=False):
    """A log as it is read: its entities and headers repeat, and are read once."""

    response: _ReadResponse = msgspec.field(default_factory=_ReadResponse)
    service: msgspec.Raw = _NOTHING
    route: msgspec.Raw = _NOTHING
    consumer: msgspec.Raw = _NOTHING


class KongLog(LogFields, gc=False):
    """One finished request."""

    response: LogResponse = msgspec.field(default_factory=LogResponse)
    service: LogService | None = None
    route: LogRoute | None = None
    consumer: LogConsumer | None = None
    service_data: dict[str, Any] = {}
    """``service`` as JSON within the limits, which other requests' logs share, as those below."""
    route_data: dict[str, Any] = {}
    consumer_data: dict[str, Any] = {}
    scope: EventScope = NOWHERE
    """The request's entities by their aliases."""
    asked_service: bool = False
    """Whether Kong asked the service before this request ended.

    Where it buffers the answer there is a status only of a service that answered (seen: 502 and 504 behind
    event-hooks-crud), but always a try.
    """

    last_verdict: list[Any] = []
    """What ``attribution`` made last of these headers, which other requests' logs share, and for which answer."""

    def attempts(self) -> list[Try]:
        """Return the tries that had an address, oldest first; none where they are malformed.

        The last one has no address where the balancer had no target for it.
        """
        return _attempts(self.tries)

    def started_seconds(self, otherwise: float) -> float:
        """Return when the request started, in Unix seconds; ``otherwise`` without a credible time."""
        started = self.started_at
        return started / 1000 if started is not None and 0 < started < _LATEST_START else otherwise


def _attempts(tries: msgspec.Raw) -> list[Try]:
    if len(tries) <= _EMPTY_LIST:
        return []
    try:
        return [each for each in _tries_decoder.decode(tries) if each.ip is not None]
    except (msgspec.DecodeError, UnicodeError):
        return []


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


_Entity = LogService | LogRoute | LogConsumer
_Known = tuple[_Entity | None, dict[str, Any], tuple[str, ...]]
"""An entity, its data and its aliases."""


class _Entities:
    """Reads entities of one kind, each as often as its JSON differs."""

    def __init__(self, kind: type[_Entity]) -> None:
        self._decode = msgspec.json.Decoder(kind | None, strict=False).decode
        self._known: dict[bytes, _Known] = {}
        self._last: tuple[msgspec.Raw, _Known] = _NOTHING, _known(None)

    def read(self, raw: msgspec.Raw) -> _Known:
        """Return an entity; raises as the decoder does."""
        last, found = self._last
        if raw == last:  # most often in a flood, at a quarter of a look-up's cost
            return found
        found = self._find(bytes(raw))
        if len(raw) <= REMEMBERED_BYTES:
            self._last = raw.copy(), found
        return found

    def _find(self, key: bytes) -> _Known:
        found = self._known.get(key)
        if found is None:
            found = _known(self._decode(key) if key else None)
            if len(key) <= REMEMBERED_BYTES:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[key] = found
        return found


def _known(entity: _Entity | None) -> _Known:
    if entity is None:
        return None, {}, ()
    if isinstance(entity, LogRoute):
        return entity, {"id": entity.id, "name": entity.name}, _aliases(entity.id, entity.name)
    name = entity.username if isinstance(entity, LogConsumer) else entity.name
    return entity, entity_data(entity), _aliases(entity.id, name)


_services, _routes, _consumers = _Entities(LogService), _Entities(LogRoute), _Entities(LogConsumer)


_Headers = tuple[dict[str, Any], list[Any]]
"""The headers, and their last verdict."""

_known_headers: dict[bytes, _Headers] = {}


def _read_headers(read: _Read) -> _Headers:
    """Return the answer's headers; raises as the decoder does. Those of a service's answer seldom repeat."""
    raw, request_id = bytes(read.response.headers), read.request.id
    if not raw or read.source != "kong" or len(raw) > REMEMBERED_BYTES:
        return _headers_decoder.decode(raw) if raw else {}, []
    if request_id is not None and len(request_id) == _ID_LENGTH and (own := request_id.encode()).isalnum():
        before, _, after = raw.partition(own)
        raw = before + after
    known = _known_headers.get(raw)
    if known is None:
        known = _headers_decoder.decode(raw), []
        if len(_known_headers) >= REMEMBERED:
            _known_headers.clear()
        _known_headers[raw] = known
    return known


def _with_entities(read: _Read, headers: _Headers, services: _Known, routes: _Known, consumers: _Known) -> KongLog:
    service: Any
    route: Any
    consumer: Any
    service, service_data, service_aliases = services
    route, route_data, route_aliases = routes
    consumer, consumer_data, consumer_aliases = consumers
    return KongLog(
        read.source, read.client_ip, read.started_at, read.upstream_status, read.workspace_name, read.tries,
        read.request, LogResponse(headers[0], read.response.status), service, route, consumer,
        service_data, route_data, consumer_data, EventScope(service_aliases, route_aliases, consumer_aliases),
        bool(read.upstream_status) or bool(_attempts(read.tries)), headers[1],
    )  # fmt: skip


# Not strict: a port or a time that comes as a text is read as the number it shows.
_decoder = msgspec.json.Decoder(_Read, strict=False)
_headers_decoder = msgspec.json.Decoder(dict[str, Any])
_ID_LENGTH: Final = 32
_tries_decoder = msgspec.json.Decoder(list[Try], strict=False)
_EMPTY_LIST: Final = len(b"[]")


def decode(serialized: str | bytes) -> KongLog:
    """Read ``kong.log.serialize``'s JSON. Raises ``ObservationError`` where it is not a JSON object."""
    try:
        if len(serialized) > LARGE:
            read: _Read = bounded_json.decode(_as_bytes(serialized), MAX_VALUES, _decoder)
        else:
            read = _decoder.decode(serialized)
        entities = _services.read(read.service), _routes.read(read.route), _consumers.read(read.consumer)
        return _with_entities(read, _read_headers(read), *entities)
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
    service, route, consumer = (
        _known(_pick(kind, value[name]) if isinstance(value.get(name), dict) else None)
        for name, kind in _ENTITIES.items()
    )
    read = _pick(_Read, value, without=_ENTITIES)
    headers = msgspec.json.decode(read.response.headers) if read.response.headers else None
    return _with_entities(read, (headers if isinstance(headers, dict) else {}, []), service, route, consumer)


def _as_bytes(serialized: str | bytes) -> bytes:
    return serialized.encode("utf-8", "replace") if isinstance(serialized, str) else serialized


_NESTED: dict[str, type[msgspec.Struct]] = {"request": LogRequest, "response": _ReadResponse}
_ENTITIES: dict[str, type[_Entity]] = {"service": LogService, "route": LogRoute, "consumer": LogConsumer}


_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def _pick(kind: type[_Struct], value: dict[str, Any], without: Container[str] = ()) -> _Struct:
    """Return a struct of those fields of ``value`` that have the right type."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.name in without:
            continue
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

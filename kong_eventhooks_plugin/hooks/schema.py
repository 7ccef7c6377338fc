"""The fields of a hook, as data in Kong's own schema language.

One document serves two readers: Kong takes it from ``kong-event-hooks plugin-info`` and refuses bad hooks by itself,
and ``hooks.validation`` interprets it where there is no Kong (``check``, a kong.yml read by the sidecar, the API).
What Kong's language can express and which attributes it knows: kong/db/schema/metaschema.lua. It has no functions, so
what needs one stands in ``hooks.validation.own_rules``. Whether templates, functions and filters compile is for
``handlers.compile_check``.

The handler's record is named ``handler_config`` in a plugin's configuration, and ``config`` in the API, as in Kong
Enterprise. They differ because of decK: go-kong takes a record named ``config``, however deep, for the plugin's own,
and then always finds a difference (``fillConfigRecord`` of go-kong's utils.go).

What else decK needs to find no difference, each seen with decK 1.62.1 on Kong 3.9.1: a field ``protocols`` beside
``config``, and on a ``json`` field that may hold an object ``keys`` and ``values``, which Kong accepts and ignores.

Rules for this file:

- It imports nothing heavy: Kong waits for plugin-info at its start.
- A pattern must mean the same as a Lua pattern and as a Python one: ``hooks.patterns`` has the rules.
- ``err`` replaces the text of every validator of its field, also in ``_only_for``. ``match`` would quote the value,
  which may be a password: a field has ``match_all``, or ``err`` with all of its rules.
- Texts of ``err`` are plain; ``then_err`` is a format in Lua: no ``%`` in either.

Limits of one definition, all enforced by Kong as well: name 128 bytes, URL 8,192, a header's value 8,192
and 100 of them, a secret 4,096, body 1 MiB, 32 functions of 64 KiB, 64 tags, filter and success
4,096, 100 attempts, 99 pauses of a day, 100 statuses, a time-out of 120 s, 1,024 deliveries at once, 1,000 hooks an
instance.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kong_eventhooks_plugin.hooks.patterns import REFUSED_URLS, SCHEME, URL_ERR, any_case

Field = dict[str, Any]
"""A field's definition: ``{"type": "string", "required": True, ...}``."""

PLUGIN = "event-hooks"
CRUD_PLUGIN = "event-hooks-crud"

AVAILABLE_HANDLERS: tuple[str, ...] = ("webhook", "webhook-custom", "log", "lambda")
TEMPLATE_LANGUAGES: tuple[str, ...] = ("resty", "jinja2")
SIGNATURE_FORMS: tuple[str, ...] = ("sha256=hex", "hex", "base64", "t,v1")
KEYED_PRESETS: tuple[str, ...] = ("pagerduty", "opsgenie")
"""Those that need a ``preset_key``; no other has one."""
PRESETS: tuple[str, ...] = ("slack", "teams", "pagerduty", "opsgenie", "cloudevents", "cloudevents-binary")
LEVELS: tuple[str, ...] = ("debug", "info", "notice", "warn", "err", "crit", "alert")

DECLARED_CONFIG = "handler_config"
"""The name of the handler's record in a declared hook: kong.yml, decK, the plugin's configuration."""

API_CONFIG = "config"
"""Its name in the API, and in every definition inside this program."""

PROTOCOLS: Field = {
    "type": "set",
    "required": True,
    "elements": {"type": "string", "one_of": ["grpc", "grpcs", "http", "https"]},
    "default": ["grpc", "grpcs", "http", "https"],
}
"""The plugin's own ``protocols``: those that Kong's http subsystem has (typedefs.protocols_http)."""

MAX_HOOKS = 1_000
MAX_SNOOZE_SECONDS = 366 * 86_400
"""A leap year: longer than that, a hook is better disabled."""

MAX_ATTEMPTS = 100
LONGEST_PAUSE_SECONDS = 86_400
MAX_FINAL_STATUSES = 100
MAX_TIMEOUT_SECONDS = 120
"""Longer, and one endpoint that hangs would have its share of all deliveries in flight for minutes."""
MAX_CONCURRENCY = 1_024

TLS_FILES = ("client_cert_file", "client_key_file", "ca_file")

RESERVED_HEADERS = ("host", "content-length", "transfer-encoding", "connection", "te", "upgrade")
"""Headers that the HTTP client sets; those that begin with ``webhook-`` belong to Standard Webhooks."""


class Known(NamedTuple):
    """The sources of this release with their events, from the sources' catalogue.

    ``patterns`` has the events that a source does not list one by one, each as its name for people and a regular
    expression. A source with neither accepts any.
    """

    sources: Mapping[str, tuple[str, ...]]
    patterns: Mapping[str, tuple[tuple[str, str], ...]] = {}
    handlers: tuple[str, ...] = AVAILABLE_HANDLERS


def plugin_fields(config: Field) -> list[Field]:
    """Return the fields of a plugin's schema."""
    return [{"protocols": PROTOCOLS}, {"config": config}]


def plugin_config(known: Known) -> Field:
    """Return the ``config`` of the plugin event-hooks: a record with its list of hooks."""
    return _record(
        _field(
            "hooks",
            type="array",
            required=True,
            default=[],
            len_max=MAX_HOOKS,
            elements=hook(known, DECLARED_CONFIG),
            description="The hooks that this plugin instance declares.",
        ),
        required=True,
    )


_WEBHOOKS = ("webhook", "webhook-custom")
HANDLERS_OF: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("url", "headers", "ssl_verify", "secret", "previous_secret", "secret_file"), _WEBHOOKS),
    **dict.fromkeys(
        ("method", "payload", "payload_format", "body", "body_format", "headers_format", "url_format", "template"),
        ("webhook-custom",),
    ),
    **dict.fromkeys(("preset", "preset_key"), ("webhook",)),
    **dict.fromkeys(("timeout", "success", "signature", *TLS_FILES), _WEBHOOKS),
    **dict.fromkeys(("retry", "concurrency", "ordered"), (*_WEBHOOKS, "lambda")),
    "functions": ("lambda",),
    "level": ("log",),
}
"""The handlers that have a field. For the others it is unset, or has the default that Kong fills in."""

OWN_RULES = frozenset(
    {"retry", "timeout", "concurrency", "ordered", "success", "signature", "preset", "preset_key", *TLS_FILES}
)
"""A hook's own rules of delivery, over the settings', and its receiver's form."""

NOT_OF_HANDLER = "unknown field of this handler: "
"""How Kong's error begins of a field that the hook's handler does not have; the field's name follows."""

NEEDED: Mapping[str, tuple[str, ...]] = {
    "url": ("webhook", "webhook-custom"),
    "method": ("webhook-custom",),
    "functions": ("lambda",),
}
"""The fields that a handler requires."""


def hook(known: Known, config_name: str = API_CONFIG) -> Field:
    """Return the record of one hook; ``config_name`` is ``DECLARED_CONFIG`` or ``API_CONFIG``."""
    fields = {name: field for entry in handler_config()["fields"] for name, field in entry.items()}
    checks = [_needs(f"{config_name}.{name}", handlers) for name, handlers in NEEDED.items()]
    checks += [_only_for(handlers, config_name, name, fields[name]) for name, handlers in HANDLERS_OF.items()]
    return {**_record(*_hook_fields(known, config_name)), "entity_checks": checks}


def _only_for(handlers: tuple[str, ...], config_name: str, name: str, field: Field) -> dict[str, Any]:
    """Return the check that refuses a field of other handlers, unless it has its default.

    ``required`` is off in it: where the whole record is missing, that is the error.
    """
    match: dict[str, Any] = {"eq": None}
    if field["type"] == "boolean" and "default" in field:
        match = {"ne": not field["default"], "required": False}
    elif "default" in field:
        match = {"match_all": [{"pattern": f"^{field['default']}$", "err": "unknown field"}], "required": False}
    return {
        "conditional": {
            "if_field": "handler",
            "if_match": {"one_of": [handler for handler in AVAILABLE_HANDLERS if handler not in handlers]},
            "then_field": f"{config_name}.{name}",
            "then_match": match,
            "then_err": f"{NOT_OF_HANDLER}{name}",
        }
    }


def _needs(path: str, handlers: tuple[str, ...]) -> dict[str, Any]:
    """Return the check that reports a missing field at its own place (``required`` of Kong's ``conditional``)."""
    return {
        "conditional": {
            "if_field": "handler",
            "if_match": {"one_of": list(handlers)},
            "then_field": path,
            "then_match": {"required": True, "len_min": 1},
        }
    }


def _hook_fields(known: Known, config_name: str) -> tuple[Field, ...]:
    return (
        _field(
            "name",
            type="string",
            required=True,
            len_max=128,
            match="^[A-Za-z0-9][A-Za-z0-9._~-]*$",
            err="expected 1 to 128 letters, digits, '.', '_', '~' or '-', the first a letter or a digit",
            description="The hook's name, unique among all hooks; its id is derived from it.",
        ),
        _field(
            "source",
            type="string",
            required=True,
            **_choice(known.sources),
            description="The source that the hook subscribes to.",
        ),
        _event(known),
        _field(
            "handler",
            type="string",
            required=True,
            **_choice(known.handlers),
            description="The handler that is called with an event.",
        ),
        _field(
            "on_change",
            type="boolean",
            description="Fire only when the event's data differs from that of the last event that fired.",
        ),
        _field(
            "snooze",
            type="integer",
            between=[0, MAX_SNOOZE_SECONDS],
            description="Seconds without firing after the hook fired; 0, the default of Kong Enterprise, is none.",
        ),
        _field(
            "filter",
            type="string",
            len_max=4_096,
            description="A CEL expression over source, event and data; the hook fires when it is true.",
        ),
        _flag(
            "enabled",
            "Whether the hook fires; a disabled hook counts the events that it would have fired for.",
            default=True,
        ),
        _field(
            "tags",
            type="set",
            len_max=64,
            elements={
                "type": "string",
                "len_max": 128,
                "match": "^[^,/]*$",
                "err": "expected a tag of at most 128 bytes without ',' and '/'",
            },
            description="Words of your own to filter hooks by.",
        ),
        {config_name: handler_config()},
    )


def _event(known: Known) -> Field:
    names = sorted({event for events in known.sources.values() for event in events})
    closed = all(known.sources.values()) and not known.patterns
    limits = {"one_of": names} if names and closed else {"len_max": 256}
    text = "The event of the source; without it the hook subscribes to all of them."
    return _field("event", type="string", **limits, description=text)


def handler_config() -> Field:
    """Return the handler's record, with the fields of every handler."""
    return {
        **_record(
            *_REQUEST_FIELDS,
            *_SECRET_FIELDS,
            *_TLS_FIELDS,
            _SIGNATURE_FIELD,
            *_CUSTOM_FIELDS,
            *_PRESET_FIELDS,
            *_LAMBDA_AND_LOG_FIELDS,
            *_DELIVERY_FIELDS,
            required=True,
        ),
        "entity_checks": [{"mutually_exclusive": ["secret", "secret_file"]}, _SPACES_ARE_FOR_TEMPLATES],
        "description": "The handler's configuration: its own fields only.",
    }


WHSEC_ERR = "expected base64 of a key after whsec_"
_WHSEC_WITHOUT_KEY = ("^whsec_=*[\r\n]*$", "^whsec_[A-Za-z0-9+/=]*[^A-Za-z0-9+/=\r\n]")


def _record(*fields: Field, **more: Any) -> Field:
    return {"type": "record", "fields": list(fields), **more}


def _field(name: str, **definition: Any) -> Field:
    return {name: definition}


def _flag(name: str, description: str, *, default: bool) -> Field:
    return _field(name, type="boolean", required=True, default=default, description=description)


def _secret(name: str, description: str) -> Field:
    without_key = [{"pattern": pattern, "err": WHSEC_ERR} for pattern in _WHSEC_WITHOUT_KEY]
    return _field(
        name,
        type="string",
        referenceable=True,
        encrypted=True,
        len_max=4_096,
        match_none=without_key,
        description=description,
    )


def _file(name: str, description: str) -> Field:
    absolute = [{"pattern": "^/", "err": "expected an absolute path"}]
    return _field(name, type="string", len_max=4_096, match_all=absolute, description=description)


def _choice(available: Iterable[str]) -> dict[str, Any]:
    names = list(available)
    return {"one_of": names, "err": f"expected one of: {', '.join(names)}"}


def _reserved_headers(*more: str) -> list[dict[str, str]]:
    names = (*RESERVED_HEADERS, *more)
    exact = [{"pattern": f"^{any_case(name)}$", "err": f"the header {name} cannot be set"} for name in names]
    prefix = {"pattern": f"^{any_case('webhook-')}", "err": "headers that begin with webhook- cannot be set"}
    return [*exact, prefix]


SPACES_ERR = "a URL may contain spaces in templates only (webhook-custom with url_format)"
_SPACES_ARE_FOR_TEMPLATES = {
    "conditional": {
        "if_field": "url",
        "if_match": {"required": True, "match": " "},
        "then_field": "url_format",
        "then_match": {"eq": True},
        "then_err": SPACES_ERR,
    }
}
"""``required`` is in it because every validator passes what is unset: an unset URL would match."""

NO_METHOD = "CONNECT, TRACE and PRI cannot carry an event: use POST, PUT or PATCH"
_NO_METHODS = [{"pattern": f"^{name}$", "err": NO_METHOD} for name in ("CONNECT", "TRACE", "PRI")]
"""CONNECT asks a proxy for a tunnel. A TRACE request has no body, and its answer shows its headers, signatures among
them (RFC 9110, 9.3.8). PRI begins HTTP/2's preface (RFC 9113, 3.4)."""

_HEADER_NAME = "^[A-Za-z0-9_.-]+$"

_REQUEST_FIELDS = (
    _field(
        "url",
        type="string",
        referenceable=True,
        len_max=8_192,
        match_none=list(REFUSED_URLS),
        match_all=[{"pattern": f"{SCHEME}[^/?# \x01-\x1f\x7f][^\x01-\x1f\x7f]*$", "err": URL_ERR}],
        description="The URL of the request.",
    ),
    _field(
        "method",
        type="string",
        len_max=32,
        match_none=_NO_METHODS,
        match_all=[{"pattern": "^[A-Z]+$", "err": "expected an HTTP method in capital letters"}],
        description="The request's method (webhook-custom).",
    ),
    _field(
        "headers",
        type="map",
        len_max=100,
        keys={
            "type": "string",
            "len_max": 256,
            "match_none": _reserved_headers(),
            "match_all": [
                {"pattern": _HEADER_NAME, "err": "expected header names of letters, digits, '-', '_' and '.'"},
            ],
        },
        values={
            "type": "string",
            "referenceable": True,
            "len_max": 8_192,
            "match": "^[^\x01-\x08\x0a-\x1f\x7f]*$",
            "err": "expected header values of 1 to 8,192 bytes without line ends and control characters",
        },
        description="Headers of the request, beside the sidecar's own.",
    ),
    _flag("ssl_verify", "Whether the endpoint's certificate is verified.", default=True),
)

_SECRET_FIELDS = (
    _secret("secret", "The key of the signatures, preferably a vault reference."),
    _secret("previous_secret", "The previous key: while it is set, requests are signed with both."),
    _file("secret_file", "A file that contains the secret, readable by the sidecar."),
)

_TLS_FIELDS = (
    _file("client_cert_file", "The certificate in PEM that is shown to the endpoint, and its chain."),
    _file("client_key_file", "The key of client_cert_file in PEM, where it is not in that file."),
    _file("ca_file", "Certificates in PEM of the authorities to trust in the place of the system's."),
)

_SIGNATURE_FIELD = _field(
    "signature",
    **_record(
        _field(
            "header",
            type="string",
            len_max=256,
            match_none=_reserved_headers("content-type", "x-kong-signature"),
            match_all=[
                {"pattern": _HEADER_NAME, "err": "expected a header's name of letters, digits, '-', '_' and '.'"}
            ],
            description="The header's name.",
        ),
        _field(
            "form",
            type="string",
            one_of=list(SIGNATURE_FORMS),
            description="How the signature is written; unset, sha256=hex.",
        ),
    ),
    description="One more header with a signature, by a name and in a form of your own (webhook, webhook-custom).",
)

_CUSTOM_FIELDS = (
    _field(
        "payload",
        type="json",
        json_schema={"inline": {"type": ["object", "string", "null"]}},
        # Kong ignores them; without them decK sees a payload that is an object as unset.
        keys={"type": "string"},
        values={"type": "string"},
        description="The body as an object, or as the JSON text of one; encoded by the content-type header "
        "(webhook-custom).",
    ),
    _flag("payload_format", "Whether the payload's strings are templates (webhook-custom).", default=True),
    _field(
        "body",
        type="string",
        len_max=1 << 20,
        description="The body as text, instead of a payload (webhook-custom).",
    ),
    _flag("body_format", "Whether the body is a template (webhook-custom).", default=True),
    _flag("headers_format", "Whether header values are templates (webhook-custom).", default=False),
    _flag(
        "url_format",
        "Whether the URL's path and query are templates, never its scheme or host (webhook-custom).",
        default=False,
    ),
    _field(
        "template",
        type="string",
        one_of=list(TEMPLATE_LANGUAGES),
        description="The language of the templates; unset, resty, as in Kong Enterprise (webhook-custom).",
    ),
)

_PRESET_FIELDS = (
    _field(
        "preset",
        type="string",
        **_choice(PRESETS),
        description="The receiver whose form the body has, with its limits and its rule for success (webhook).",
    ),
    _field(
        "preset_key",
        type="string",
        referenceable=True,
        encrypted=True,
        len_max=4_096,
        description="The key of a preset that needs one: PagerDuty's routing key, Opsgenie's API key (webhook).",
    ),
)

_LAMBDA_AND_LOG_FIELDS = (
    _field(
        "functions",
        type="array",
        len_max=32,
        elements={"type": "string", "len_max": 1 << 16},
        description="Lua chunks, each of which returns a function (lambda).",
    ),
    _field(
        "level",
        type="string",
        required=True,
        default="notice",
        one_of=list(LEVELS),
        description="The level of the line in Kong's error log (log).",
    ),
)

_DELIVERY_FIELDS = (
    _field(
        "retry",
        **_record(
            _field(
                "attempts",
                type="integer",
                between=[1, MAX_ATTEMPTS],
                description="How many attempts a delivery has at most, the first included; past the schedule its last "
                "pause repeats.",
            ),
            _field(
                "schedule",
                type="array",
                len_min=1,
                len_max=MAX_ATTEMPTS - 1,
                elements={"type": "integer", "between": [1, LONGEST_PAUSE_SECONDS]},
                description="The pauses between attempts in seconds.",
            ),
            _field(
                "max_retry_after",
                type="integer",
                between=[0, LONGEST_PAUSE_SECONDS],
                description="Up to how many seconds the Retry-After of an answer counts.",
            ),
            _field(
                "final_statuses",
                type="array",
                len_max=MAX_FINAL_STATUSES,
                elements={"type": "integer", "between": [200, 599]},
                description="The statuses after which a delivery that failed is not tried again.",
            ),
        ),
        description="When a delivery is tried again (webhook, webhook-custom, lambda).",
    ),
    _field(
        "timeout",
        type="integer",
        between=[1, MAX_TIMEOUT_SECONDS],
        description="Seconds for one attempt; unset, the setting timeout_seconds (webhook, webhook-custom).",
    ),
    _field(
        "concurrency",
        type="integer",
        between=[1, MAX_CONCURRENCY],
        description="How many deliveries are in flight at once; unset, the setting hook_concurrency (webhook, "
        "webhook-custom, lambda).",
    ),
    _field(
        "ordered",
        type="boolean",
        description="Deliver one event after the other, in the order of acceptance; one that fails holds up those "
        "behind it (webhook, webhook-custom, lambda).",
    ),
    _field(
        "success",
        type="string",
        len_max=4_096,
        description="A CEL expression over status, headers and body of the answer, true of one that took the event; "
        "unset, the status is 2xx (webhook, webhook-custom).",
    ),
)

RECORDS: frozenset[str] = frozenset(
    name
    for entry in (_SIGNATURE_FIELD, *_DELIVERY_FIELDS)
    for name, field in entry.items()
    if field["type"] == "record"
)
"""The handler's fields that are records."""

"""What each of Kong's plugins can answer a client with in the service's place, and what that would mean.

The open-source plugins' are read from their sources (3.9), Enterprise's from their documentation
(developer.konghq.com/plugins). *Before* is before Kong asks the service, *after* is when it has answered. A plugin
that is not listed here, a user's own for instance, can answer with anything at any time, as can one that forwards
another server's answer (aws-lambda). A failure inside a plugin is not listed: its 500 means the same everywhere.

===========  ====================================================================
meaning      the answer says
===========  ====================================================================
limit        a rate limit is exceeded
auth         the client is not who it should be, or may not do what it wants
validation   the request or the service's answer is not as it was specified
other        something else
===========  ====================================================================
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from kong_eventhooks_plugin.sources.requests import plugin_limits
from kong_eventhooks_plugin.sources.requests.plugin_limits import Limit

Meaning = Literal["limit", "auth", "validation", "other", "unknown"]
Statuses = frozenset[int] | None
"""None: any."""

TOO_MANY_REQUESTS: Final = 429

RATE_LIMITING: Final = "rate-limiting"
RESPONSE_RATE_LIMITING: Final = "response-ratelimiting"
RATE_LIMITING_ADVANCED: Final = "rate-limiting-advanced"
AI_RATE_LIMITING_ADVANCED: Final = "ai-rate-limiting-advanced"
SERVICE_PROTECTION: Final = "service-protection"
OAS_VALIDATION: Final = "oas-validation"

NEVER: Final[frozenset[int]] = frozenset()
ANY: Final = None

_LIMIT_HEADERS: Final = ("x-ratelimit-", "ratelimit-", "retry-after", "x-ai-ratelimit-")

KONGS_OWN: Final = frozenset({400, 404, 405, 408, 411, 412, 413, 414, 415, 417, 426, 494, 500, 502, 503, 504})
"""What Kong answers without any plugin: no route, a broken request, a service that does not answer."""


class Answers(NamedTuple):
    """What one configuration of a plugin can answer with.

    ``shows_before`` and ``shows_after``: such an answer has the plugin's rate-limit headers, unless another plugin
    ``edits`` them. ``limits`` is empty where they are unknown, ``strategy`` ai-rate-limiting-advanced's way to count.
    """

    plugin: str
    meaning: Meaning
    before: Statuses = NEVER
    after: Statuses = NEVER
    limits: tuple[Limit, ...] = ()
    shows_before: bool = False
    shows_after: bool = False
    strategy: str | None = None
    edits: bool = False

    def can_answer(self, status: int, *, asked: bool) -> bool:
        """Return whether it can have answered with ``status``, after the service was ``asked`` or before."""
        statuses = self.after if asked else self.before
        return statuses is None or status in statuses

    def can_answer_silently(self, status: int, *, asked: bool) -> bool:
        """Return whether it can have answered so without rate-limit headers."""
        return not (self.shows_after if asked else self.shows_before) and self.can_answer(status, asked=asked)


def read_plugin(name: str, config: Mapping[str, Any]) -> Answers | None:
    """Return what a plugin with this configuration can answer with, None where it answers nothing of its own."""
    reader = _READERS.get(name)
    if reader is not None:
        return reader(name, config)
    if name in _FIXED:
        return _FIXED[name]
    return Answers(name, "unknown", ANY, ANY, edits=True)


def _limiting(read_limits: Callable[[Mapping[str, Any]], tuple[Limit, ...]]) -> "_Reader":
    """Return the reader of a plugin that refuses before the service is asked, with its ``error_code``."""

    def read(name: str, config: Mapping[str, Any]) -> Answers:
        strategy = config.get("tokens_count_strategy")
        return Answers(
            name,
            "limit",
            before=frozenset((_status(config.get("error_code"), TOO_MANY_REQUESTS),)),
            # The overrides of Enterprise's consumer groups are elsewhere.
            limits=() if config.get("enforce_consumer_groups") is True else read_limits(config),
            shows_before=config.get("hide_client_headers") is not True,
            strategy=strategy if isinstance(strategy, str) else None,
        )

    return read


def _response_rate_limiting(name: str, config: Mapping[str, Any]) -> Answers:
    """Return no headers for what the plugin blocks at the first violation: it has not written them yet."""
    always = frozenset((TOO_MANY_REQUESTS,))
    return Answers(
        name,
        "limit",
        before=always if config.get("block_on_first_violation") is True else NEVER,
        after=always,
        limits=plugin_limits.of_names(config),
        shows_after=config.get("hide_client_headers") is not True,
    )


def _oas_validation(name: str, config: Mapping[str, Any]) -> Answers:
    """Return 400 for requests and 406 for answers; nothing where the plugin only notifies."""
    notifies_of_requests = config.get("notify_only_request_validation_failure") is True
    notifies_of_answers = config.get("notify_only_response_body_validation_failure") is True
    validates_answers = config.get("validate_response_body") is True and not notifies_of_answers
    return Answers(
        name,
        "validation",
        before=NEVER if notifies_of_requests else frozenset((400,)),
        after=frozenset((406,)) if validates_answers else NEVER,
    )


def _with_status(field: str, default: int, meaning: Meaning, *more: int) -> "_Reader":
    """Return the reader of a plugin that answers with the status in ``field``, and with ``more``."""

    def read(name: str, config: Mapping[str, Any]) -> Answers:
        return Answers(name, meaning, before=frozenset((_status(config.get(field), default), *more)))

    return read


def _cache(name: str, config: Mapping[str, Any]) -> Answers:
    """Return the statuses that are cached, and 504, for a client that accepts nothing but a cached answer."""
    cached = config.get("response_code")
    codes = {code for code in cached if isinstance(code, int)} if isinstance(cached, list) else {200, 301, 404}
    return Answers(name, "other", before=frozenset(codes | {504}))


def _function(name: str, config: Mapping[str, Any]) -> Answers | None:
    """Code of the user's counts from the phases in which it can answer.

    ``header_filter`` runs for what Kong itself answers too, and can change its status and headers (seen on Kong 3.9).
    """
    after = bool(config.get("header_filter"))
    before = after or any(config.get(phase) for phase in ("certificate", "rewrite", "access"))
    if not (before or after):
        return None
    return Answers(name, "unknown", ANY if before else NEVER, ANY if after else NEVER, edits=after)


def _response_transformer(name: str, config: Mapping[str, Any]) -> Answers | None:
    """Return it where it removes, replaces or adds rate-limit headers; it answers nothing of its own."""
    for action in ("remove", "rename", "replace", "add", "append"):
        named = config.get(action)
        headers = named.get("headers") if isinstance(named, dict) else None
        for text in headers if isinstance(headers, list) else ():
            if any(part.strip().lower().startswith(_LIMIT_HEADERS) for part in str(text).split(":")):
                return Answers(name, "other", edits=True)
    return None


def _advanced_response_transformer(name: str, config: Mapping[str, Any]) -> Answers | None:
    allowed = config.get("allow")
    if isinstance(allowed, dict) and allowed.get("headers"):
        return Answers(name, "other", edits=True)
    return _response_transformer(name, config)


def _status(value: object, default: int) -> int:
    """Return a status, which Kong's schema may hold as any number; ``default`` where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 100 <= value <= 599:
        return default
    return int(value)


_Reader = Callable[[str, Mapping[str, Any]], Answers | None]

_READERS: Final[Mapping[str, _Reader]] = {
    RATE_LIMITING: _limiting(plugin_limits.of_periods),
    RESPONSE_RATE_LIMITING: _response_rate_limiting,
    RATE_LIMITING_ADVANCED: _limiting(plugin_limits.of_windows),
    SERVICE_PROTECTION: _limiting(plugin_limits.of_windows),
    AI_RATE_LIMITING_ADVANCED: _limiting(plugin_limits.of_providers),
    OAS_VALIDATION: _oas_validation,
    "request-termination": _with_status("status_code", 503, "other"),
    "redirect": _with_status("status_code", 301, "other"),
    "ip-restriction": _with_status("status", 403, "auth", 403),
    "injection-protection": _with_status("error_status_code", 400, "other"),
    "json-threat-protection": _with_status("error_status_code", 400, "other"),
    "proxy-cache": _cache,
    "proxy-cache-advanced": _cache,
    "pre-function": _function,
    "post-function": _function,
    "response-transformer": _response_transformer,
    "response-transformer-advanced": _advanced_response_transformer,
}


def _fixed(meaning: Meaning, statuses: tuple[int, ...], *names: str) -> dict[str, Answers | None]:
    return {name: Answers(name, meaning, before=frozenset(statuses)) for name in names}


_SILENT: Final = (
    "correlation-id", "cors", "datadog", "event-hooks", "event-hooks-crud", "file-log", "http-log", "loggly",
    "opentelemetry", "prometheus", "request-transformer", "session", "statsd", "syslog",
    "tcp-log", "udp-log", "zipkin",
    # Enterprise
    "app-dynamics", "canary", "kafka-log", "request-transformer-advanced",
    "route-by-header", "route-transformer-advanced", "statsd-advanced", "tls-handshake-modifier",
    "tls-metadata-headers", "upstream-timeout",
)  # fmt: skip

_FIXED: Final[Mapping[str, Answers | None]] = {
    **dict.fromkeys(_SILENT),
    **_fixed("auth", (401,), "basic-auth", "hmac-auth", "jwt", "key-auth", "ldap-auth"),
    **_fixed("auth", (401, 403), "acl"),
    **_fixed("auth", (400, 401, 403, 405), "oauth2"),
    **_fixed("auth", (400, 403), "bot-detection"),
    # Enterprise
    **_fixed("auth", (401,), "key-auth-enc", "vault-auth"),
    **_fixed(
        "auth", (400, 401, 403), "header-cert-auth", "jwt-signer", "ldap-auth-advanced", "mtls-auth",
        "oauth2-introspection", "openid-connect",
    ),
    **_fixed("validation", (400, 413, 415), "request-validator"),
    **_fixed("other", (429,), "graphql-rate-limiting-advanced"),
    # open source
    **_fixed("other", (200, 201, 202, 400, 404), "acme"),
    **_fixed("other", (400,), "ai-prompt-decorator", "ai-prompt-guard", "ai-prompt-template"),
    **_fixed("other", (200, 400), "grpc-gateway", "grpc-web"),
    **_fixed("other", (400,), "standard-webhooks"),
    **_fixed("other", (411, 413, 417), "request-size-limiting"),
    # They ask a model themselves, and what it answers can be what the client gets. Models limit rates too.
    **{name: Answers(name, "unknown", frozenset({400}), ANY) for name in ("ai-proxy", "ai-proxy-advanced")},
}  # fmt: skip

"""What a caller without the admin token sees of each answer, field by field, where a token is set.

The rule: what there is, what it is called, where it is declared and whether it works; names, kinds, states, times and
counts. Not what passes through a hook, nor what somebody wrote to make it work: addresses, credentials and where they
lie, code, expressions, payloads; nor an error's text, which may quote any of it. Of a URL the host is shown, of headers
the names, and a reference to a vault, which is a name. What was delivered, and every change, needs the token as a whole
(``access.Kind``).

A field without a decision is hidden, and fails a test.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import asdict

from kong_eventhooks_plugin.api.service import views
from kong_eventhooks_plugin.api.service.nodes import NodeShare
from kong_eventhooks_plugin.api.service.readiness import OK, Readiness
from kong_eventhooks_plugin.model.masking import MASK, is_reference

Decision = Callable[[Any], Any]
"""Takes a field's value and returns what is shown of it."""

V = TypeVar("V", bound=Struct)


def shown(value: Any) -> Any:
    return value


def masked(value: Any) -> Any:
    return value if value is None or is_reference(value) else MASK


def hidden(value: Any) -> Any:
    """Return an empty value of its type."""
    return type(value)()


def each_masked(value: Any) -> Any:
    return [masked(each) for each in value] if isinstance(value, list | tuple) else masked(value)


def values_masked(value: Any) -> Any:
    return {name: masked(each) for name, each in value.items()} if isinstance(value, Mapping) else masked(value)


def host_alone(url: Any) -> Any:
    if not isinstance(url, str) or is_reference(url):
        return url
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{MASK if parts.path.strip('/') else ''}"
    except ValueError:
        return MASK


def _kind(reason: str | None) -> str | None:
    """Of ``unresolved: no value for ...`` the kind alone."""
    return None if reason is None else reason.partition(":")[0]


def _kinds(reasons: Mapping[str, str]) -> dict[str, str | None]:
    return {name: _kind(reason) for name, reason in reasons.items()}


def _counted(errors: tuple[str, ...]) -> tuple[str, ...]:
    return (
        (f"{len(errors)} {'error' if len(errors) == 1 else 'errors'}; send the admin token to read what",)
        if errors
        else ()
    )


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: CONFIG.get(name, masked)(value) for name, value in config.items()}


CONFIG: Final[Mapping[str, Decision]] = {
    "url": host_alone,
    "method": shown,
    "headers": values_masked,
    "ssl_verify": shown,
    "secret": masked,
    "previous_secret": masked,
    "preset": shown,
    "preset_key": masked,
    **dict.fromkeys(("secret_file", "client_cert_file", "client_key_file", "ca_file"), masked),
    "payload": masked,
    "payload_format": shown,
    "body": masked,
    "body_format": shown,
    "headers_format": shown,
    "url_format": shown,
    "template": shown,
    "functions": each_masked,
    "level": shown,
    **dict.fromkeys(("retry", "timeout", "concurrency", "ordered", "signature"), shown),
    "success": masked,
}
"""The fields of ``config``."""

DECISIONS: Final[Mapping[type[Struct], Mapping[str, Decision]]] = {
    views.HookView: {
        **dict.fromkeys(("id", "name", "source", "event", "handler", "on_change", "snooze", "enabled", "tags"), shown),
        "filter": masked,
        "config": _config,
        **dict.fromkeys(("created_at", "updated_at", "declared_in", "scope", "state"), shown),
        "held": _kind,
        "delivered_by": masked,
    },
    views.HookScopeView: dict.fromkeys(("service", "route", "consumer"), shown),
    views.HookListView: dict.fromkeys(("data", "next", "offset"), shown),
    views.SourcesView: {"data": shown},
    views.EventsView: {"data": shown},
    views.EventView: {"data": shown},
    views.EventDescriptionView: dict.fromkeys(("fields", "description", "unique"), shown),
    Readiness: {
        **dict.fromkeys(("status", "delivering", "leading", "hooks", "events_lost", "queue", "spool"), shown),
        "store": lambda store: OK if store == OK else "unavailable",
        "errors": _counted,
        "held": _kinds,
        "sandbox": lambda features: {name: OK if why == OK else "unused" for name, why in features.items()},
        **dict.fromkeys(("pollers", "socket", "nodes"), hidden),
    },
    NodeShare: dict.fromkeys(("id", "name", "version", "state", "ours", "seen_at", "hooks"), hidden),
}
"""Each struct in the answers to calls that need no token."""


def without_token(answer: V) -> V:
    """Return an answer as a caller without the token sees it."""
    decisions = DECISIONS[type(answer)]
    return type(answer)(**{name: decisions.get(name, hidden)(value) for name, value in asdict(answer).items()})

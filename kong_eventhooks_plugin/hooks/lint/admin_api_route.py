"""Checks the route to Kong's Admin API in a file that has event-hooks-crud.

An error for a key-auth key that is a placeholder, or text that something else should have replaced. Kong uses the text
as the key; a vault reference too, since ``keyauth_credentials.key`` is not referenceable (seen on Kong 3.9.1: the
reference's text opened the route, the value that it names did not). A warning for a route that needs no credential, or
that any consumer's credential opens.

Pure. Messages never quote a key. A document is walked once or twice, so its limits are those of
``hooks.declarations.documents``. What has another shape than Kong wants is skipped: ``hooks.declarations.kong_yml``
and Kong report it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.schema import CRUD_PLUGIN
from kong_eventhooks_plugin.model.masking import is_reference

_PLACEHOLDERS: Final = frozenset({
    "changeme", "changeit", "replaceme", "placeholder", "todo", "tbd", "fixme", "none", "null", "example", "yourkey",
    "yourapikey", "yoursecret", "apikey", "key", "secret", "password", "test",
})  # fmt: skip
"""Placeholders for a key, in small letters and without the signs between words."""

_WORD_SIGNS: Final = re.compile(r"[\s._-]+")
_SHELL_VARIABLE: Final = re.compile(r"\$(\{[A-Za-z_]\w*[^}]*\}|[A-Za-z_]\w*)")
_DECK_VARIABLE: Final = re.compile(r"DECK_\w+")
_ANGLES: Final = re.compile(r"<.*>", re.DOTALL)

_NOT_A_STRING: Final = "expected a string; put the key in quotes"
_EMPTY: Final = "is empty"
_REFERENCE: Final = (
    "is a vault reference, which Kong does not resolve here: its text itself would be the key, and whoever has read "
    "this file would have it"
)
_DECK_UNFILLED: Final = "decK has not filled this in yet; render the file first (deck file render --populate-env-vars)"
_SHELL_UNFILLED: Final = "is a variable that nothing has filled in yet"
_DECK_MOCKED: Final = (
    "is a variable's name instead of its value, as deck file render writes it without --populate-env-vars; render the "
    "file with that"
)
_PLACEHOLDER: Final = "is a placeholder"
_FIX: Final = "the key opens Kong's Admin API, so it has to be long and random (openssl rand -hex 32)"

# Plugins that require a credential: Kong's own, then Enterprise's.
_AUTHENTICATION: Final = frozenset({
    "basic-auth", "hmac-auth", "jwt", "key-auth", "ldap-auth", "oauth2",
    "header-cert-auth", "jwt-signer", "key-auth-enc", "ldap-auth-advanced", "mtls-auth", "oauth2-introspection",
    "openid-connect", "saml", "vault-auth",
})  # fmt: skip
_CRUD: Final = frozenset({CRUD_PLUGIN})
_GROUPS: Final = frozenset({"acl", "opa"})
"""Plugins that distinguish consumers."""

_OPEN: Final = (
    "leads to Kong's Admin API (it has event-hooks-crud), and no authentication plugin is on it, on its service or "
    "at the top of this file: whoever reaches Kong's proxy port can change everything; add key-auth and, with a group "
    "for operators, acl"
)
_ANY_CONSUMER: Final = (
    "leads to Kong's Admin API (it has event-hooks-crud), and the credential of any consumer of this gateway opens it; "
    "add acl with a group for operators"
)


class RouteFindings(NamedTuple):
    errors: list[DeclarationError]
    warnings: list[DeclarationError]


class _Route(NamedTuple):
    entry: Mapping[str, Any]
    path: str
    service: Mapping[str, Any]


def check(document: Any, where: str) -> RouteFindings:
    """Return the findings in a parsed declarative document. ``where`` is the file's path."""
    if not isinstance(document, Mapping):
        return RouteFindings([], [])
    # Few, however large the file: routes are compared with these alone.
    apart = [plugin for plugin in _values(document.get("plugins")) if _on(plugin, _CRUD)]
    crud = [route for route in _routes(document) if _has_crud(route, apart)]
    if not crud and not apart:
        return RouteFindings([], [])
    errors = [DeclarationError(where, path, f"{error}; {_FIX}") for path, error in _key_errors(document)]
    return RouteFindings(errors, [DeclarationError(where, *warning) for warning in _open_routes(crud, document)])


def _key_errors(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for path, holder in [*_entries(document.get("consumers"), "consumers"), ("", document)]:
        below = f"{path}.keyauth_credentials" if path else "keyauth_credentials"
        for at, credential in _entries(holder.get("keyauth_credentials"), below):
            error = _key_error(credential.get("key"))
            if error is not None:
                yield f"{at}.key", error


def _key_error(key: Any) -> str | None:
    """Return the error of a key; None where it is unset too, since Kong then generates one."""
    if key is None:
        return None
    if not isinstance(key, str):
        return _NOT_A_STRING
    text = key.strip()
    return next((error for matches, error in _RULES if matches(text)), None)


def _is_placeholder(text: str) -> bool:
    word = _WORD_SIGNS.sub("", text).casefold()
    return word in _PLACEHOLDERS or len(set(word)) == 1 or _ANGLES.fullmatch(text) is not None


_RULES: Final = (
    (lambda text: not text, _EMPTY),
    (lambda text: "${{" in text, _DECK_UNFILLED),
    (is_reference, _REFERENCE),
    (_SHELL_VARIABLE.fullmatch, _SHELL_UNFILLED),
    (_DECK_VARIABLE.fullmatch, _DECK_MOCKED),
    (_is_placeholder, _PLACEHOLDER),
)
"""The first that matches is the key's error."""


def _open_routes(crud: Sequence[_Route], document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for route in crud:
        guards = [plugin for plugin in _plugins_of(route, document) if _is_guard(plugin)]
        if not guards:
            yield route.path, _OPEN
        elif not any(_on(plugin, _GROUPS) for plugin in _plugins_of(route, document)):
            yield route.path, _ANY_CONSUMER


def _is_guard(plugin: Mapping[str, Any]) -> bool:
    config = plugin.get("config")
    # With a consumer for anonymous callers, the plugin requires no credential.
    optional = isinstance(config, Mapping) and config.get("anonymous") is not None
    return _on(plugin, _AUTHENTICATION) and not optional


def _has_crud(route: _Route, apart: Sequence[Mapping[str, Any]]) -> bool:
    return any(_on(plugin, _CRUD) for plugin in _values(route.entry.get("plugins"))) or any(
        _refers(plugin.get("route"), route.entry) for plugin in apart
    )


def _plugins_of(route: _Route, document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the plugins that can run on a route, however they are declared."""
    yield from _values(route.entry.get("plugins"))
    yield from _values(route.service.get("plugins"))
    yield from _referring(document, "route", route.entry)
    yield from _referring(document, "service", route.service)
    for plugin in _values(document.get("plugins")):
        if not any(plugin.get(scope) for scope in ("route", "service", "consumer", "consumer_group")):
            yield plugin


def _referring(document: Mapping[str, Any], scope: str, entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for plugin in _values(document.get("plugins")):
        if _refers(plugin.get(scope), entry):
            yield plugin


def _routes(document: Mapping[str, Any]) -> Iterator[_Route]:
    services: dict[str, Mapping[str, Any]] = {}
    for path, service in _entries(document.get("services"), "services"):
        services.update(dict.fromkeys(_names_in(service), service))
        for at, route in _entries(service.get("routes"), f"{path}.routes"):
            yield _Route(route, at, service)
    for at, route in _entries(document.get("routes"), "routes"):
        named = [services[name] for name in _names_in(route.get("service")) if name in services]
        yield _Route(route, at, named[0] if named else {})


def _refers(reference: Any, entry: Mapping[str, Any]) -> bool:
    return not set(_names_in(reference)).isdisjoint(_names_in(entry))


def _names_in(reference: Any) -> tuple[str, ...]:
    """Return the id and the name of an entity, or of a reference to one: a mapping with either, or the text itself."""
    given = (reference.get("id"), reference.get("name")) if isinstance(reference, Mapping) else (reference,)
    return tuple(name for name in given if isinstance(name, str))


def _on(plugin: Mapping[str, Any], names: frozenset[str]) -> bool:
    name = plugin.get("name")
    return isinstance(name, str) and name in names and plugin.get("enabled", True) is not False


def _values(entries: Any) -> Iterator[Mapping[str, Any]]:
    for _, entry in _entries(entries, ""):
        yield entry


def _entries(entries: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, Mapping):
            yield f"{path}[{index}]", entry

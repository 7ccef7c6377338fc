"""Reads hooks from kong.yml: from every event-hooks plugin in a declarative file of Kong or decK.

Read are ``_format_version`` and the plugins event-hooks and event-hooks-crud, wherever Kong allows a plugin: at the
top, under services, routes, consumers. All else (``_info``, ``_comment``, ``select_tags``, ``_transform``, other
plugins and entities) is ignored.

A file with any error declares nothing: Kong and decK refuse it as a whole too. A document of any shape leads to
``DeclarationError`` and nothing else. Limits, each an error where it is passed: 500,000 entities walked, 200,000 values
in event-hooks plugins; 1,000 errors reported.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.declarations import documents
from kong_eventhooks_plugin.hooks.declarations.declared import Declared, at_most
from kong_eventhooks_plugin.hooks.definition import declaration_errors, to_hooks
from kong_eventhooks_plugin.hooks.lint import payload_objects
from kong_eventhooks_plugin.hooks.schema import CRUD_PLUGIN, PLUGIN
from kong_eventhooks_plugin.hooks.validation import json_values
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.model.hook import Hook, Origin
from kong_eventhooks_plugin.model.scope import HookScope

MAX_ENTITIES = 500_000
MAX_VALUES = 200_000
FORMAT_VERSIONS = ("1.1", "2.1", "3.0")

_NESTED: Mapping[str, tuple[str, ...]] = {
    "": ("services", "routes", "consumers", "consumer_groups", "plugins"),
    "services": ("routes", "plugins"),
    "routes": ("plugins",),
    "consumers": ("plugins",),
    "consumer_groups": ("plugins",),
}
"""Which entities can stand under which, as far as plugins can be below them."""

_SCOPES = {"services": "service", "routes": "route", "consumers": "consumer"}
_NAMES = {"services": ("id", "name"), "routes": ("id", "name"), "consumers": ("id", "username")}
"""How a hook's scope names an entity, best first. An id is what a plugin instance's configuration will say.

Not a consumer's custom_id: events do not have it as a name, since it may be another consumer's username.
"""

_UNRENDERED = "${{"
_RENDER_FIRST = "decK has not filled this in yet; render the file first (deck file render --populate-env-vars)"
_CRUD_PLACE = (
    "event-hooks-crud belongs on the route that leads to Kong's Admin API and nowhere else: Kong buffers every answer "
    "where it is enabled"
)
_CRUD_CONFIG = f"{texts.UNKNOWN}; event-hooks-crud takes no configuration, hooks belong to the plugin event-hooks"
_NO_GROUPS = "hooks cannot be declared on a consumer group; the open-source gateway has no plugins there"


class _Found(NamedTuple):
    """A plugin of ours, its place, and the entity around it (of kind "" at the top)."""

    entry: Mapping[str, Any]
    path: str
    kind: str
    parent: Mapping[str, Any]
    parent_path: str


class _Refused(Exception):
    """An error that ends the reading of one plugin, or of the whole file."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message
        super().__init__(message)


def parse(data: bytes, where: str, validation: Validation) -> Declared:
    """Return what a file declares. ``where`` is its path: JSON where it ends in ``.json``, else YAML."""
    try:
        document = documents.parse(data, where)
    except documents.Unreadable as error:
        return Declared(errors=(error.error,))
    return read(document, where, validation)


def read(document: Any, where: str, validation: Validation) -> Declared:
    """Return what a parsed document declares."""
    reading = _Reading(document, where, validation)
    reading.run()
    if reading.errors:
        # An error in what plugins share is found once for each of them.
        return Declared(errors=at_most(list(dict.fromkeys(reading.errors))))
    return Declared(hooks=tuple(reading.hooks), warnings=at_most(reading.warnings))


class _Reading:
    def __init__(self, document: Any, where: str, validation: Validation) -> None:
        self.errors: list[DeclarationError] = []
        self.warnings: list[DeclarationError] = []
        self.hooks: list[Hook] = []
        self._document = document
        self._where = where
        self._validation = validation
        self._entities = 0
        self._values = 0
        self._names: dict[str, str] = {}

    def run(self) -> None:
        if not isinstance(self._document, Mapping):
            self._add_error("", "expected a mapping that begins with _format_version")
            return
        self._check_version(self._document.get("_format_version"))
        try:
            for found in self._plugins("", self._document, ""):
                self._read_plugin(found)
        except _Refused as refused:
            self._add_error(refused.path, refused.message)

    def _add_error(self, path: str, message: str) -> None:
        self.errors.append(DeclarationError(where=self._where, path=path, message=message))

    def _check_version(self, version: Any) -> None:
        if version is None:
            self._add_error("_format_version", texts.REQUIRED)
        elif not isinstance(version, str):
            self._add_error("_format_version", f'{texts.STRING}; put it in quotes: _format_version: "3.0"')
        elif version not in FORMAT_VERSIONS:
            self._add_error("_format_version", texts.ONE_OF.format(", ".join(FORMAT_VERSIONS)))

    def _plugins(self, kind: str, entity: Mapping[str, Any], path: str) -> Iterator[_Found]:
        for child in _NESTED[kind]:
            below = f"{path}.{child}" if path else child
            for at, entry in self._entries(entity.get(child), below):
                if child != "plugins":
                    yield from self._plugins(child, entry, at)
                elif entry.get("name") in (PLUGIN, CRUD_PLUGIN):
                    yield _Found(entry, at, kind, entity, path)

    def _entries(self, entries: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if entries is None or entries == {}:
            return
        if not isinstance(entries, list):
            self._add_error(path, texts.ARRAY)
            return
        for index, entry in enumerate(entries):
            self._entities += 1
            if self._entities > MAX_ENTITIES:
                raise _Refused(path, f"the file has more than {MAX_ENTITIES:,} entities")
            if isinstance(entry, Mapping):
                yield f"{path}[{index}]", entry
            else:
                self._add_error(f"{path}[{index}]", texts.RECORD)

    def _read_plugin(self, found: _Found) -> None:
        if found.entry["name"] == CRUD_PLUGIN:
            self._check_crud(found)
            return
        if self._unrendered(found):
            return
        try:
            scope = _scope(found)
            enabled = _enabled(found)
            config = self._config(found)
        except _Refused as refused:
            self._add_error(refused.path, refused.message)
            return
        checked = self._validation.config(config)
        prefix = f"{found.path}.config"
        self.errors.extend(declaration_errors(checked.error, self._where, prefix))
        origin = Origin(place="file", key=self._where, path=f"{self._where}: {prefix}")
        for index, hook in zip(checked.hooks, to_hooks(checked.hooks, origin, scope, enabled=enabled), strict=True):
            path = f"{prefix}.hooks[{index}]"
            self._add_hook(hook, path)
            self.warnings.extend(payload_objects.warnings(config["hooks"][index], self._where, path))

    def _check_crud(self, found: _Found) -> None:
        if found.kind != "routes" and found.entry.get("route") is None:
            self._add_error(found.path, _CRUD_PLACE)
        config = found.entry.get("config")
        if isinstance(config, Mapping):
            for name in config:
                self._add_error(f"{found.path}.config.{name}", _CRUD_CONFIG)
        elif config not in (None, []):
            self._add_error(f"{found.path}.config", texts.RECORD)

    def _add_hook(self, hook: Hook, path: str) -> None:
        first = self._names.setdefault(hook.name, path)
        if first == path:
            self.hooks.append(hook)
        else:
            self._add_error(f"{path}.name", f"'{hook.name}' is the name of {first} already; names are unique")

    def _unrendered(self, found: _Found) -> bool:
        """Report every value that decK has yet to fill in; return whether there is any."""
        before = len(self.errors)
        names = {name: found.parent.get(name) for name in _NAMES.get(found.kind, ())}
        shared = (self._shared(found), f"_plugin_configs.{found.entry.get('_config')}")
        for value, at in ((names, found.parent_path), (found.entry, found.path), shared):
            for path, depth, each in json_values.walk(value, at):
                self._values += 1
                if self._values > MAX_VALUES:
                    raise _Refused(found.path, f"event-hooks plugins contain more than {MAX_VALUES:,} values")
                if isinstance(each, str) and _UNRENDERED in each:
                    self._add_error(path, _RENDER_FIRST)
                if depth > json_values.MAX_DEPTH + 8:
                    break
        return len(self.errors) > before

    def _config(self, found: _Found) -> Any:
        """Return the plugin's config, on top of what decK shares under ``_plugin_configs``."""
        own, shared = found.entry.get("config"), found.entry.get("_config")
        own = {} if own is None else own
        if shared is None:
            return own
        base = self._shared(found)
        if not isinstance(base, Mapping):
            raise _Refused(f"{found.path}._config", "names nothing under _plugin_configs")
        return {**base, **own} if isinstance(own, Mapping) else own

    def _shared(self, found: _Found) -> Any:
        """Return what stands under the plugin's ``_config`` in ``_plugin_configs``, None where nothing does."""
        name, shared = found.entry.get("_config"), self._document.get("_plugin_configs")
        return shared.get(name) if isinstance(shared, Mapping) and isinstance(name, str) else None


def _enabled(found: _Found) -> bool:
    enabled = found.entry.get("enabled", True)
    if not isinstance(enabled, bool):
        raise _Refused(f"{found.path}.enabled", texts.BOOLEAN if enabled is not None else texts.REQUIRED)
    return enabled


def _scope(found: _Found) -> HookScope:
    """Return the scope of the plugin's hooks: the entity around it and those that it names itself."""
    if found.kind == "consumer_groups":
        raise _Refused(found.path, _NO_GROUPS)
    if found.entry.get("consumer_group") is not None:
        raise _Refused(f"{found.path}.consumer_group", _NO_GROUPS)
    around = {_SCOPES[found.kind]: _name_of(found)} if found.kind else {}
    named = {scope: _reference(found, kind, scope) for kind, scope in _SCOPES.items()}
    for scope, name in around.items():
        if named[scope] not in (None, name):
            raise _Refused(f"{found.path}.{scope}", f"the plugin stands under another {scope}")
    return HookScope(**{**named, **around})


def _name_of(found: _Found) -> str:
    for name in _NAMES[found.kind]:
        value = found.parent.get(name)
        if isinstance(value, str) and value and json_values.json_error(value) is None:
            return value
    names = _NAMES[found.kind][1]
    raise _Refused(found.parent_path, f"has event-hooks, so it needs a {names} or an id")


def _reference(found: _Found, kind: str, scope: str) -> str | None:
    """Return what the plugin's own ``service``, ``route`` or ``consumer`` names, in any of the spellings in use."""
    value = found.entry.get(scope)
    if isinstance(value, Mapping):
        value = next((value[name] for name in _NAMES[kind] if value.get(name) is not None), value)
    if value is None:
        return None
    if not isinstance(value, str) or not value or json_values.json_error(value) is not None:
        raise _Refused(f"{found.path}.{scope}", f"expected the {scope}'s name or id, as a string")
    return value

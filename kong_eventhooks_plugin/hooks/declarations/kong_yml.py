"""Reads hooks from kong.yml: from every event-hooks plugin in a declarative file of Kong or decK.

Read are ``_format_version`` and the plugins event-hooks and event-hooks-crud, wherever Kong allows a plugin: at the
top, under services, routes, consumers. All else (``_info``, ``_comment``, ``select_tags``, ``_transform``, other
plugins and entities) is ignored.

A file with any error declares nothing: Kong and decK refuse it as a whole too. A document of any shape leads to
``DeclarationError`` and nothing else. Limits, each an error where it is passed: 500,000 entities walked, 200,000 values
in event-hooks plugins; 1,000 errors reported.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.declarations import documents, kong_payloads
from kong_eventhooks_plugin.hooks.declarations.declared import Declared, at_most
from kong_eventhooks_plugin.hooks.definition import declaration_errors, in_list, to_hooks, to_part
from kong_eventhooks_plugin.hooks.lint import near_names
from kong_eventhooks_plugin.hooks.schema import CRUD_PLUGIN, PLUGIN
from kong_eventhooks_plugin.hooks.validation import json_values
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.model.hook import Hook, Origin
from kong_eventhooks_plugin.model.scope import HookScope

T = TypeVar("T")

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
_STAND_IN = "{vault://env/unrendered}"
"""Validated instead of a text that decK has not filled in: most fields that hold one take a reference."""

_RENDER_FIRST = "decK has not filled this in yet; render the file first (deck file render --populate-env-vars)"
_CRUD_PLACE = (
    "event-hooks-crud belongs on the route that leads to Kong's Admin API and nowhere else: Kong buffers every answer "
    "where it is enabled"
)
_CRUD_CONFIG = f"{texts.UNKNOWN}; event-hooks-crud takes no configuration, hooks belong to the plugin event-hooks"
_HOOKS_BESIDE_CONFIG = f"{texts.UNKNOWN}; hooks belong in the plugin's config"
_NOT_KONG_S = f"{texts.UNKNOWN}; a plugin has none of this name, and Kong 3.9 and decK refuse the file"
_NO_PLACE = "Kong has no such entities, so nothing here is read; hooks belong in the config of a plugin event-hooks"
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
    found = examine(document, where, validation)
    return Declared(errors=found.errors) if found.errors else Declared(hooks=found.hooks)


class Examined(NamedTuple):
    """All that can be said of a document: its valid hooks, also beside errors, and how many hooks it has in all.

    ``parts`` is what is good of the others, as hooks; only to look for more errors.
    """

    hooks: tuple[Hook, ...]
    parts: tuple[Hook, ...]
    hook_count: int
    errors: tuple[DeclarationError, ...]
    warnings: tuple[DeclarationError, ...]
    unrendered: frozenset[str] = frozenset()

    def of_code(self, error: DeclarationError) -> bool:
        """Return whether an error of code is one of the file's, not of what decK has yet to fill in."""
        return not _is_of(error.path, self.unrendered)


def examine(document: Any, where: str, validation: Validation) -> Examined:
    """Return what can be said of a parsed document."""
    reading = _Reading(document, where, validation)
    reading.run()
    # An error in what plugins share is found once for each of them.
    errors = at_most(list(dict.fromkeys(reading.errors)))
    warnings = at_most(list(dict.fromkeys(reading.warnings)))
    return Examined(
        tuple(reading.hooks), tuple(reading.parts), reading.hook_count, errors, warnings, frozenset(reading.unrendered)
    )


class _Reading:
    def __init__(self, document: Any, where: str, validation: Validation) -> None:
        self.errors: list[DeclarationError] = []
        self.warnings: list[DeclarationError] = []
        self.hooks: list[Hook] = []
        self.parts: list[Hook] = []
        self.hook_count = 0
        self._document = document
        self._where = where
        self._validation = validation
        self._entities = 0
        self._values = 0
        self._names: dict[str, str] = {}
        self.unrendered: set[str] = set()

    def run(self) -> None:
        if not isinstance(self._document, Mapping):
            self._add_error("", "expected a mapping that begins with _format_version")
            return
        self._check_version(self._document.get("_format_version"))
        for name in ("hooks", "event_hooks", "event-hooks"):
            if name in self._document:
                self._warn(name, _NO_PLACE)
        try:
            for found in self._plugins("", self._document, ""):
                self._read_plugin(found)
        except _Refused as refused:
            self._add_error(refused.path, refused.message)

    def _add_error(self, path: str, message: str) -> None:
        self.errors.append(DeclarationError(where=self._where, path=path, message=message))

    def _warn(self, path: str, message: str) -> None:
        self.warnings.append(DeclarationError(where=self._where, path=path, message=message))

    def _check_version(self, version: Any) -> None:
        if version is None:
            self._add_error("_format_version", texts.REQUIRED)
        elif not isinstance(version, str):
            self._add_error("_format_version", f'{texts.STRING}; put it in quotes: _format_version: "3.0"')
        elif version not in FORMAT_VERSIONS:
            self._add_error("_format_version", texts.ONE_OF.format(", ".join(FORMAT_VERSIONS)))

    def _plugins(self, kind: str, entity: Mapping[str, Any], path: str) -> Iterator[_Found]:
        nested = [(child, child) for child in _NESTED[kind]]
        for near in near_names.near_lists(entity, _NESTED[kind]):
            self._add_error(f"{path}.{near.key}" if path else near.key, near.text)
            nested.append((near.meant, near.key))
        for child, key in nested:
            for at, entry in self._entries(entity.get(key), f"{path}.{key}" if path else key):
                if child != "plugins":
                    yield from self._plugins(child, entry, at)
                elif near_names.name_of(entry) in (PLUGIN, CRUD_PLUGIN):
                    yield _Found(entry, at, kind, entity, path)
                elif self._is_nearly_ours(entry, at):
                    yield _Found({**entry, "name": PLUGIN}, at, kind, entity, path)

    def _is_nearly_ours(self, plugin: Mapping[str, Any], path: str) -> bool:
        """Report a plugin whose name is nearly ours: an error where it has hooks, since nobody else has those.

        Return whether it has.
        """
        name = near_names.name_of(plugin)
        meant = near_names.plugin_meant(name)
        if meant is None:
            return False
        text = f"'{name}' is another plugin{{}}; did you mean {meant}?"
        has_hooks = near_names.has_hooks(plugin)
        if has_hooks:
            self._add_error(f"{path}.name", text.format(", so its hooks are not read"))
        else:
            self._warn(f"{path}.name", text.format(""))
        return has_hooks

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
        found = self._as_meant(found)
        if found.entry["name"] == CRUD_PLUGIN:
            self._check_crud(found)
            return
        unrendered, too_deep = self._unrendered(found)
        self.unrendered |= unrendered
        scope = self._attempt(_scope, found, HookScope(), unrendered)
        enabled = self._attempt(_enabled, found, True, unrendered)
        config: Any = self._attempt(self._config, found, {}, unrendered)
        if unrendered and not too_deep:
            config = _with_stand_ins(config)
        prefix = f"{found.path}.config"
        count = 0
        if isinstance(config, Mapping) and isinstance(config.get("hooks"), list):
            count = len(config["hooks"])
            config = {**config, "hooks": self._as_kong_holds(config["hooks"], prefix)}
        checked = self._validation.config(config)
        self.hook_count += count or len(checked.hooks) + len(checked.parts)
        if checked.error is not None:
            for error in declaration_errors(checked.error, self._where, prefix):
                if not _is_of(error.path, unrendered):
                    self.errors.append(error)
        origin = Origin(place="file", key=self._where, path=f"{self._where}: {prefix}")
        for index, hook in zip(checked.hooks, to_hooks(checked.hooks, origin, scope, enabled=enabled), strict=True):
            self.hooks.append(hook)
            self._add_name(hook, f"{prefix}.hooks[{index}]")
        for index, part in checked.parts.items():
            self.parts.append(to_part(part, in_list(origin, index)))
            self._add_name(self.parts[-1], f"{prefix}.hooks[{index}]")

    def _as_meant(self, found: _Found) -> _Found:
        """Report keys of a plugin that are nearly its own; return it with these, for the sake of its other errors."""
        for near in near_names.near_plugin_keys(found.entry):
            self._add_error(f"{found.path}.{near.key}", near.text)
            found = found._replace(entry={near.meant: found.entry[near.key], **found.entry})
        if found.entry["name"] == PLUGIN and "hooks" in found.entry:
            self._add_error(f"{found.path}.hooks", _HOOKS_BESIDE_CONFIG)
            found = found._replace(entry={"config": {"hooks": found.entry["hooks"]}, **found.entry})
        for key in near_names.far_plugin_keys(found.entry):
            if key != "hooks":
                self._warn(f"{found.path}.{key}", _NOT_KONG_S)
        return found

    def _as_kong_holds(self, hooks: list[Any], prefix: str) -> list[Any]:
        return [
            kong_payloads.hook_as_kong_holds(hook, f"{prefix}.hooks[{index}]", self._warn)
            for index, hook in enumerate(hooks)
        ]

    def _attempt(self, read: Callable[[_Found], T], found: _Found, otherwise: T, unrendered: Collection[str]) -> T:
        try:
            return read(found)
        except _Refused as refused:
            if refused.path not in unrendered:
                self._add_error(refused.path, refused.message)
            return otherwise

    def _check_crud(self, found: _Found) -> None:
        if found.kind != "routes" and found.entry.get("route") is None:
            self._add_error(found.path, _CRUD_PLACE)
        config = found.entry.get("config")
        if isinstance(config, Mapping):
            for name in config:
                self._add_error(f"{found.path}.config.{name}", _CRUD_CONFIG)
        elif config not in (None, []):
            self._add_error(f"{found.path}.config", texts.RECORD)

    def _add_name(self, hook: Hook, path: str) -> None:
        """Report a name that stands in another plugin too; in one list validation does."""
        first = self._names.setdefault(hook.name, path) if hook.name else path
        if first.rpartition("[")[0] != path.rpartition("[")[0]:
            self._add_error(f"{path}.name", f"'{hook.name}' is the name of {first} already; names are unique")

    def _unrendered(self, found: _Found) -> tuple[set[str], bool]:
        """Report every value that decK has yet to fill in; return their paths, and whether a value is too deep."""
        paths: set[str] = set()
        too_deep = False
        names = {name: found.parent.get(name) for name in _NAMES.get(found.kind, ())}
        shared = (self._shared(found), f"_plugin_configs.{found.entry.get('_config')}")
        for value, at in ((names, found.parent_path), (found.entry, found.path), shared):
            for path, depth, each in json_values.walk(value, at):
                self._values += 1
                if self._values > MAX_VALUES:
                    raise _Refused(found.path, f"event-hooks plugins contain more than {MAX_VALUES:,} values")
                if isinstance(each, str) and _UNRENDERED in each:
                    # A shared value also counts where it ends up.
                    paths |= {path, path.replace(at, f"{found.path}.config", 1)}
                    self._add_error(path, _RENDER_FIRST)
                if depth > json_values.MAX_DEPTH + 8:
                    too_deep = True
                    break
        return paths, too_deep

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


def _with_stand_ins(value: Any) -> Any:
    """Return the value with a reference for each text that decK has yet to fill in."""
    if isinstance(value, str):
        return _STAND_IN if _UNRENDERED in value else value
    if isinstance(value, Mapping):
        return {key: _with_stand_ins(each) for key, each in value.items()}
    return [_with_stand_ins(each) for each in value] if isinstance(value, list) else value


def _is_of(path: str, unrendered: Collection[str]) -> bool:
    """Return whether an error is of a value that decK has yet to fill in, or of a record with such a value."""
    within = (f"{path}.", f"{path}[")
    return _UNRENDERED in path or any(each == path or each.startswith(within) for each in unrendered)


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

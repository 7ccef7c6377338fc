"""The rules for Kong's entities, from its own schemas: secrets, references, names, what counts as a difference.

Every rule is made once per schema, at its first use, from /schemas/<entity> and, for a plugin, /schemas/plugins/<name>
(``schemas``, ``secrets``, ``comparing``); an entity then costs some microseconds. What no schema says is in
``entity_metadata``.

Fails closed: of an entity or a plugin without a schema only the id, the times, references, name and tags are shown
(``has_schema`` says that a schema is missing). Never raises for what an entity holds, however deep or large it is.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from kong_eventhooks_plugin.kong.admin_api.comparing import (
    ID_AND_TIMES,
    NEVER_COMPARED,
    Form,
    differing,
    record_form,
    reference,
)
from kong_eventhooks_plugin.kong.admin_api.digests import Digests, canonical, plain, text_bytes
from kong_eventhooks_plugin.kong.admin_api.entity_metadata import NATURAL_KEYS, PATH_NAMES, PLUGIN_SECRETS, SECRETS
from kong_eventhooks_plugin.kong.admin_api.schemas import SchemaField, read_schema
from kong_eventhooks_plugin.kong.admin_api.secrets import MaskBuilder, Masker, Tree, too_deep, tree_of
from kong_eventhooks_plugin.model.masking import MASK

PLUGINS = "plugins"

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_ALWAYS_SHOWN = ID_AND_TIMES | NEVER_COMPARED


class MaskedEntity(NamedTuple):
    """An entity without its secrets.

    ``shown`` has ``***`` for each secret and may share its parts with the entity it was made of: do not change it.
    ``digests`` has a keyed digest (hex) for each masked value, by dotted path; a list's secrets have one for the list.
    """

    shown: dict[str, Any]
    digests: dict[str, str]


class EntityReference(NamedTuple):
    """``field`` of an entity leads to the entity ``id`` of ``schema``; ``on_delete`` is cascade, null or None."""

    field: str
    schema: str
    id: str
    on_delete: str | None


class EntityRules:
    """Rules for every known schema. Immutable: a schema learnt later makes a new one."""

    def __init__(
        self,
        schemas: Mapping[str, Any],
        plugins: Mapping[str, Any],
        key: bytes,
        open_fields: Collection[str] = (),
    ) -> None:
        """Take the JSON of /schemas/<entity> and /schemas/plugins/<name>, a 32-byte key, and the fields to reveal.

        A field is a dotted path that begins with its schema (``keyauth_credentials.key``, ``plugins.config.url``) and
        reveals what is in it too. A key of another size is a ``ValueError``.
        """
        self._schemas = schemas
        self._plugins = plugins
        self._digests = Digests(key)
        self._opened = tree_of(list(open_fields))
        self._rules: dict[tuple[str, str | None], _Rules] = {}

    def has_schema(self, schema: str, entity: Mapping[str, Any]) -> bool:
        """Return whether the schema, for a plugin also its own, is known; ``SchemaCache.learn`` asks Kong for it."""
        return schema in self._schemas and (schema != PLUGINS or _plugin_name(entity) in self._plugins)

    def mask(self, schema: str, entity: Mapping[str, Any]) -> MaskedEntity:
        """Return an entity as Kong wrote it (raw) without its secrets."""
        digests: dict[str, str] = {}
        shown = entity if type(entity) is dict else dict(entity)
        rules = self._of(schema, shown)
        if too_deep(shown):
            return MaskedEntity(rules.mask_deep(shown, digests), digests)
        return MaskedEntity(rules.mask(shown, "", digests), digests)

    def content(self, schema: str, masked: MaskedEntity) -> bytes:
        """Return a 16-byte digest of what counts as a difference (``comparing`` says what does not)."""
        return plain([self._of(schema, masked.shown).form(masked.shown), masked.digests])

    def exact(self, schema: str, masked: MaskedEntity) -> bytes:
        """Return the same with id and times."""
        shown = masked.shown
        rules = self._of(schema, shown)
        id_and_times = [shown.get(name) for name in ("id", *rules.times)]
        return plain([rules.form(shown), masked.digests, id_and_times])

    def seen(self, schema: str, shown: Mapping[str, Any], *, times: bool) -> bytes:
        """Return a 16-byte digest of what people see of a masked state: the same whatever the key, without its id."""
        rules = self._of(schema, shown)
        stamps = [shown.get(name) for name in rules.times] if times else []
        return plain([rules.form(shown), stamps])

    def changed(self, schema: str, old: MaskedEntity, new: MaskedEntity) -> tuple[str, ...]:
        """Return the dotted paths that differ, sorted; arrays and sets as a whole."""
        before, after = (self._of(schema, each.shown).form(each.shown) for each in (old, new))
        found = set(differing(before, after))
        names = old.digests.keys() | new.digests.keys()
        found |= {name for name in names if old.digests.get(name) != new.digests.get(name)}
        return tuple(sorted(path for path in found if found.isdisjoint(_parents(path))))

    def name(self, schema: str, key: str) -> bytes:
        """Return the keyed 16-byte digest of a text that may name an entity in a path (``EntityPath.key``)."""
        return self._of(schema, {}).name(key)

    def names(self, schema: str, entity: Mapping[str, Any], *, with_id: bool = True) -> frozenset[bytes]:
        """Return the digests (``name``) of all that may name an entity in a path; needs it raw: a key is a name."""
        rules = self._of(schema, entity)
        fields = ("id", *rules.path_names) if with_id else rules.path_names
        return frozenset([rules.name(text) for text in _texts(entity, fields)])

    def natural_key(self, schema: str, entity: Mapping[str, Any]) -> bytes | None:
        """Return a keyed 16-byte digest of what is unique in Kong beside the id; needs the entity raw.

        None where the entity has no such thing, or its fields for it are not set.
        """
        rules = self._of(schema, entity)
        for fields in rules.natural_keys:
            values = [_value(entity.get(field)) for field in fields]
            if values[0] is not None:
                return rules.natural(canonical([fields, values]))
        return None

    def references(self, schema: str, entity: Mapping[str, Any]) -> tuple[EntityReference, ...]:
        """Return the references of the entity (raw or shown) that are set."""
        return tuple(
            EntityReference(field, target, leads_to, on_delete)
            for field, target, on_delete in self._of(schema, entity).references
            if isinstance(leads_to := _id(entity.get(field)), str)
        )

    def targets(self) -> dict[str, dict[str, str]]:
        """Return schema -> foreign field -> the schema it leads to, for each with an id (``AdminEndpoints``)."""
        return {
            schema: {field: target for field, target, _ in rules.references}
            for schema in self._schemas
            if (rules := self._of(schema, {})).has_id
        }

    def rules(self, schema: str, entity: Mapping[str, Any]) -> bytes:
        """Return a 16-byte digest of the rules that an entity is masked and compared by.

        It changes with Kong's schema and with the revealed fields: states masked by other rules are not comparable.
        """
        return self._of(schema, entity).digest

    def _of(self, schema: str, entity: Mapping[str, Any]) -> "_Rules":
        plugin = _plugin_name(entity) if schema == PLUGINS else None
        rules = self._rules.get((schema, plugin))
        if rules is None:
            # Plugins without a schema share one set of rules: their number has no limit.
            plugin = plugin if plugin in self._plugins else None
            rules = self._rules.get((schema, plugin)) or self._make(schema, plugin)
        return rules

    def _make(self, schema: str, plugin: str | None) -> "_Rules":
        if schema not in self._schemas:
            return _Rules(schema, None, self._opened.get(schema), SECRETS.get(schema, ()), self._digests)
        secrets = SECRETS.get(schema, ())
        field = read_schema(self._schemas[schema])
        if plugin is not None:
            config = (read_schema(self._plugins[plugin]).fields or {}).get("config")
            field = field._replace(fields={**(field.fields or {}), **({"config": config} if config else {})})
            secrets += PLUGIN_SECRETS.get(plugin, ())
        rules = self._rules[schema, plugin] = _Rules(schema, field, self._opened.get(schema), secrets, self._digests)
        return rules


class _Rules:
    """The rules of one schema (``field``; None: unknown), for plugins of one plugin; ``secrets`` are our table's."""

    def __init__(
        self, schema: str, field: SchemaField | None, opened: Tree | None, secrets: tuple[str, ...], digests: Digests
    ) -> None:
        self._schema = schema
        self._fields: Mapping[str, SchemaField] = (field and field.fields) or {}
        self._opened = opened
        self._secrets: Tree | None = tree_of(secrets) or None
        self._digests = digests
        self._name = digests.after(b"name", text_bytes(schema))
        self.natural = digests.after(b"natural key", text_bytes(schema))
        self.mask: Masker = self._known_mask() if field else self._unknown_mask()
        self.form: Form = self._form(field)
        stamps = {name for name, each in self._fields.items() if each.stamp}
        self.times = tuple(sorted((ID_AND_TIMES | stamps) - {"id"}))
        self.references = tuple(
            (name, each.reference, each.on_delete)
            for name, each in self._fields.items()
            if each.kind == "foreign" and each.reference
        )
        unique = tuple(name for name, each in self._fields.items() if each.unique)
        self.path_names = PATH_NAMES.get(schema, unique)
        self.natural_keys = NATURAL_KEYS.get(schema, tuple((name,) for name in unique))
        self.has_id = "id" in self._fields

    @cached_property
    def digest(self) -> bytes:
        """A digest of everything that these rules come from."""
        return plain(repr((self._schema, self._fields, self._secrets, self._opened)))

    def name(self, key: str) -> bytes:
        return self._name(text_bytes(key.lower() if _UUID.fullmatch(key) else key))

    def mask_deep(self, entity: dict[str, Any], digests: dict[str, str]) -> dict[str, Any]:
        """Mask what ``mask`` does and, whole, the fields that are nested too deep."""
        deep = {name for name, value in entity.items() if isinstance(value, dict | list) and too_deep([value])}
        shown = self.mask({name: value for name, value in entity.items() if name not in deep}, "", digests)
        digests |= {name: self._digest(name, entity[name]) for name in deep}
        return {name: shown.get(name, MASK) for name in entity}

    def _digest(self, path: str, value: Any) -> str:
        return self._digests.of_value(f"{self._schema}.{path}", value)

    def _known_mask(self) -> Masker:
        shown = {name: SchemaField("integer") for name in _ALWAYS_SHOWN}
        return MaskBuilder(self._digest).record({**shown, **self._fields}, self._secrets, self._opened)

    def _unknown_mask(self) -> Masker:
        builder = MaskBuilder(self._digest)
        fields = {name: SchemaField("integer") for name in _ALWAYS_SHOWN}
        known = builder.record(fields, None, self._opened)

        def mask(value: Any, path: str, digests: dict[str, str]) -> Any:
            harmless = {name: each for name, each in value.items() if _is_harmless(name, each)}
            rest = {name: each for name, each in value.items() if name not in harmless}
            shown = known(rest, path, digests)
            return {name: harmless.get(name, shown.get(name)) for name in value}

        return mask

    def _form(self, field: SchemaField | None) -> Form:
        left_out = _ALWAYS_SHOWN | {name for name, each in self._fields.items() if each.stamp}
        form = record_form(self._fields, left_out)
        if field is not None:
            return form
        return lambda value: {name: reference(each) for name, each in form(value).items()}


def _plugin_name(entity: Mapping[str, Any]) -> str | None:
    name = entity.get("name")
    return name if isinstance(name, str) else None


def _parents(path: str) -> Iterator[str]:
    """Yield ``a`` and ``a.b`` for ``a.b.c``."""
    end = path.find(".")
    while end != -1:
        yield path[:end]
        end = path.find(".", end + 1)


def _texts(entity: Mapping[str, Any], fields: tuple[str, ...]) -> Iterator[str]:
    for field in fields:
        value = entity.get(field)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (each for each in value if isinstance(each, str))


def _id(value: Any) -> Any:
    return value.get("id") if isinstance(value, dict) else None


def _value(value: Any) -> Any:
    return _id(value) if isinstance(value, dict) else value


def _is_harmless(name: str, value: Any) -> bool:
    """Return whether it is a reference, a name or tags."""
    if isinstance(value, dict):
        return value.keys() == {"id"} and isinstance(value["id"], str)
    if isinstance(value, list):
        return name == "tags" and all(isinstance(each, str) for each in value)
    return name == "name" and isinstance(value, str)

"""Which entity a path of Kong's Admin API names, read from the running Kong's own list of paths (GET /endpoints).

Kong's list names the entity in braces (``/consumers/{consumers}/key-auth/{keyauth_credentials}``), so plugins' own
entities and Enterprise's need no table here. What is an entity: a name in braces that stands behind its own root
collection (``/key-auths`` and ``/key-auths/{keyauth_credentials}``) and for which Kong has a schema. The caller passes
those names; without them a name that is a plural or the collection's own counts (``{key}`` behind /cache does not).

Everything else that a path can end in: a collection under an entity, an entity under an entity, a relation
(``/plugins/{plugins}/consumer`` ends in that plugin's consumer), or an action, which changes no entity. Where schemas
are known, an entity under one that it does not refer to is a membership (Enterprise's
``/consumer_groups/{consumer_groups}/consumers/{consumers}``), and that is an action too: a DELETE there deletes no
consumer, and the answer to a POST is no consumer.

Segments are split before they are decoded, and ``+`` is a space, as in Kong (seen: /consumers/a+b is ``a b``).

Limits: of /endpoints 10,000 paths of up to 16 segments are read, the rest is ignored. A path to resolve with more than
8,192 characters (Kong's own limit for a request line) or 32 segments names no entity, and so does one with more than 4
unknown segments before what Kong knows.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote_plus

from kong_eventhooks_plugin.kong.admin_api.entity_metadata import VIEWS, is_open_name
from kong_eventhooks_plugin.model.entity_path import EntityPath
from kong_eventhooks_plugin.model.masking import MASK

MAX_PATHS = 10_000
MAX_TEMPLATE_SEGMENTS = 16
MAX_PATH = 8_192
MAX_SEGMENTS = 32
MAX_PREFIX = 4

Targets = Mapping[str, Mapping[str, str]]
"""Entity -> its foreign fields -> the entity that each leads to."""

_Template = tuple[str, ...]
_CONFIG = "config"
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def is_open_key(schema: str, key: str) -> bool:
    """Return whether an entity's key in a path is certainly no secret."""
    return is_open_name(schema) or _UUID.fullmatch(key) is not None


class _Meaning(NamedTuple):
    """One of Kong's paths; positions count its segments. ``hidden``: names in braces that are no entity."""

    schema: str
    keys: tuple[tuple[int, str], ...] = ()
    own_key: bool = True
    relation: str | None = None
    action: str | None = None
    hidden: tuple[int, ...] = ()
    leads: bool = True


class _Node:
    """One segment of Kong's paths; ``meaning`` where a path ends here."""

    __slots__ = ("braces", "meaning", "static")

    def __init__(self) -> None:
        self.static: dict[str, _Node] = {}
        self.braces: dict[str, _Node] = {}
        self.meaning: _Meaning | None = None


class AdminEndpoints:
    """The paths of one Kong node: the list under ``data`` of GET /endpoints. Never changes; safe to share.

    ``schemas`` are the entities that Kong has a schema for, with the foreign fields of each and what they lead to
    (``EntityRules.targets()``); None where that is unknown: it is then guessed from the paths alone.
    """

    def __init__(self, paths: Sequence[str] = (), schemas: Targets | None = None) -> None:
        known = frozenset(_templates(paths))
        self._roots = _roots(known, schemas)
        self._reader = _TemplateReader(known, self._roots, schemas)
        self._enterprise = "workspaces" in self._roots
        self._top = _Node()
        for template in known:
            self._add(template)

    @staticmethod
    def candidates(paths: Sequence[str]) -> tuple[str, ...]:
        """Return every name in braces, sorted: those that Kong may have a schema for."""
        return tuple(sorted({name for template in _templates(paths) for part in template if (name := _brace(part))}))

    def lists(self) -> tuple[tuple[str, str], ...]:
        """Return (schema, ``/key-auths``): the root collection of each entity, targets of references first.

        Kong answers 404 on some all the same (/targets): see ``nested``. Where references form a circle, or are
        unknown, the order is that of the names.
        """
        return tuple((schema, "/" + "/".join(self._roots[schema])) for schema in self._reader.in_order())

    def __bool__(self) -> bool:
        """Whether any list is known."""
        return bool(self._roots)

    @property
    def entities(self) -> frozenset[str]:
        return self._reader.entities

    def nested(self, schema: str) -> tuple[tuple[str, str], ...]:
        """Return (parent schema, ``/upstreams/{}/targets``) for each collection of the schema under another entity.

        The way to list what has a root collection that answers 404, as Kong's targets.
        """
        return self._reader.nested(schema)

    def is_config(self, path: str) -> bool:
        """Return whether the path is /config (POST there replaces a DB-less node's whole configuration)."""
        found = self._find(_segments(path))
        return found is not None and found[0].action == _CONFIG

    def resolve(self, path: str) -> EntityPath | None:
        """Return what a path (with or without its query) names; None for no entity.

        Segments before what Kong knows (a workspace, a proxy's path) are skipped. Never raises.
        """
        segments = _segments(path)
        found = self._find(segments)
        if found is None or not found[0].leads:
            return None
        meaning, start = found
        shown = list(segments)
        keys = []
        for at, schema in meaning.keys:
            text = segments[start + at]
            if not is_open_key(schema, text):
                shown[start + at] = MASK
            keys.append((schema, unquote_plus(text)))
        for at in meaning.hidden:
            shown[start + at] = MASK
        key = keys.pop()[1] if meaning.own_key else None
        workspace = unquote_plus(segments[start - 1]) if start and self._enterprise else None
        masked = "/" + "/".join(shown)
        return EntityPath(meaning.schema, key, tuple(keys), workspace, meaning.relation, meaning.action, masked)

    def _find(self, segments: list[str]) -> tuple[_Meaning, int] | None:
        """Return what the segments mean and where that starts: as early as Kong knows a path."""
        for start in range(min(len(segments), MAX_PREFIX + 1)):
            meaning = _match(self._top, segments, start)
            if meaning is not None:
                return meaning, start
        return None

    def _add(self, template: _Template) -> None:
        node = self._top
        for part in template:
            name = _brace(part)
            node = node.braces.setdefault(name, _Node()) if name else node.static.setdefault(part, _Node())
        node.meaning = self._reader.meaning(template)


class _TemplateReader:
    def __init__(
        self, templates: frozenset[_Template], roots: Mapping[str, _Template], schemas: Targets | None
    ) -> None:
        self._templates = templates
        self._roots = roots
        self._targets_by_schema: Targets = schemas or {}
        self.entities = frozenset(roots) | (frozenset(schemas or ()) - VIEWS)
        self._collections: dict[_Template, str] = {}
        for template in templates:
            name = _brace(template[-1])
            if name in self.entities and self._keys(template)[1] == len(template):
                self._collections[template[:-1]] = name
        self._targets: Targets = self._guessed() if schemas is None else schemas

    def meaning(self, template: _Template) -> _Meaning:
        keys, end = self._keys(template)
        hidden = tuple(at for at, part in enumerate(template) if at >= end and _brace(part))
        if not keys:
            return self._beside_entities(template, hidden)
        owner, rest = keys[-1][1], template[end:]
        if not rest:
            return _Meaning(owner, keys)
        within = self._collections.get(template[: end + 1])
        if within is not None:
            return _Meaning(within, keys, own_key=False, action="/".join(rest[1:]) or None, hidden=hidden)
        target = self._targets.get(owner, {}).get(rest[0]) if len(rest) == 1 else None
        if target is not None:
            return _Meaning(target, keys, own_key=False, relation=rest[0])
        return _Meaning(owner, keys, action="/".join(rest), hidden=hidden)

    def nested(self, schema: str) -> tuple[tuple[str, str], ...]:
        found = []
        for template, name in self._collections.items():
            keys, end = self._keys(template)
            if name == schema and len(keys) == 1 and end < len(template):
                parts = ("{}" if _brace(part) else part for part in template)
                found.append((keys[0][1], "/" + "/".join(parts)))
        return tuple(sorted(found))

    def in_order(self) -> list[str]:
        """Return the entities that have a root, those that others refer to first."""
        ordered: list[str] = []
        rest = sorted(self._roots)
        while rest:
            waiting = set(rest)
            ready = [name for name in rest if not (set(self._targets.get(name, {}).values()) - {name}) & waiting]
            ordered += ready or rest
            rest = [name for name in rest if name not in ready] if ready else []
        return ordered

    def _keys(self, template: _Template) -> tuple[tuple[tuple[int, str], ...], int]:
        """Return the entities' keys in the path (position, entity) and where the last of them ends."""
        keys: list[tuple[int, str]] = []
        for at, part in enumerate(template):
            name = _brace(part)
            if name is None:
                continue
            if name not in self.entities or not (keys or template[:at] == self._roots.get(name)):
                break
            if keys and not self._is_child(name, keys[-1][1]):
                break
            keys.append((at, name))
        return tuple(keys), keys[-1][0] + 1 if keys else 0

    def _is_child(self, schema: str, parent: str) -> bool:
        """Return whether the schema's entities refer to the parent's; True where that is unknown."""
        return schema not in self._targets_by_schema or parent in self._targets_by_schema[schema].values()

    def _beside_entities(self, template: _Template, hidden: tuple[int, ...]) -> _Meaning:
        """Return the meaning of a path without any entity's key: a root collection, a view beside it, or nothing."""
        for schema, root in self._roots.items():
            if template[: len(root)] == root:
                action = "/".join(template[len(root) :]) or None
                return _Meaning(schema, own_key=False, action=action, hidden=hidden)
        return _Meaning("", own_key=False, action=_CONFIG if template == ("config",) else None, leads=False)

    def _guessed(self) -> Targets:
        """Return what relations lead to, guessed from the paths.

        In the other direction Kong has a collection too: /consumers/{consumers}/plugins/{plugins} says that in
        /plugins/{plugins}/consumer the last segment, which is part of the name of the former, leads there.
        """
        parents: dict[str, set[str]] = {}
        for template in self._collections:
            keys, end = self._keys(template)
            if keys and end < len(template):
                parents.setdefault(self._collections[template], set()).add(keys[-1][1])
        guessed: dict[str, dict[str, str]] = {}
        for template in self._templates:
            keys, end = self._keys(template)
            if not keys or end != len(template) - 1 or template in self._collections:
                continue
            owner, field = keys[-1][1], template[-1]
            fitting = [name for name in sorted(parents.get(owner, ())) if field in name or name[:-1] in field]
            if fitting:
                guessed.setdefault(owner, {})[field] = fitting[0]
        return guessed


def _roots(templates: frozenset[_Template], schemas: Targets | None) -> dict[str, _Template]:
    """Return each entity's root collection, of several the shortest: /acme/certificates is not that of certificates."""
    found: dict[str, _Template] = {}
    for template in sorted(templates, key=lambda each: (len(each), each)):
        root, name = template[:-1], _brace(template[-1])
        if name is None or root not in templates or any(_brace(part) for part in root) or name in VIEWS:
            continue
        if name in schemas if schemas is not None else name.endswith("s") or name == root[-1]:
            found.setdefault(name, root)
    return found


def _templates(paths: Sequence[str]) -> Iterable[_Template]:
    """Yield Kong's paths in segments; one that begins with a name in braces is Enterprise's twin with a workspace."""
    for path in paths[:MAX_PATHS]:
        parts = tuple(filter(None, path.split("/"))) if isinstance(path, str) else ()
        if parts and len(parts) <= MAX_TEMPLATE_SEGMENTS and not _brace(parts[0]):
            yield parts


def _brace(part: str) -> str | None:
    """Return the name in ``{name}``; None where the segment is a plain word."""
    return part[1:-1] if part[:1] == "{" and part[-1:] == "}" and len(part) > len("{}") else None


def _segments(path: str) -> list[str]:
    """Return the path's segments without the empty ones; none of a path that is past the limits."""
    path = path.partition("?")[0]
    if len(path) > MAX_PATH or path.count("/") > MAX_SEGMENTS:
        return []
    if not path.isascii():
        path = path.encode("utf-8", "replace").decode()
    return [segment for segment in path.split("/") if segment]


def _match(node: _Node, segments: list[str], at: int) -> _Meaning | None:
    """Return what the segments from ``at`` mean to the letter; a plain word wins over a name in braces."""
    if at == len(segments):
        return node.meaning
    plain = node.static.get(segments[at])
    if plain is not None and (found := _match(plain, segments, at + 1)) is not None:
        return found
    for child in node.braces.values():
        if (found := _match(child, segments, at + 1)) is not None:
            return found
    return None

"""The shape of the Kong node: its paths and the schemas of its entities and plugins, asked for once and kept.

Kong is asked for ``/`` at each refresh, and for the rest only where its version or its plugins are others than before,
or a schema is missing: /endpoints, /schemas/<entity> for each name in braces there, and /schemas/plugins/<name> for the
plugins in use (the others when one of them is met, ``learn``). One request at a time. What came is kept in the
notes (without defaults and descriptions), so that a start without Kong knows what the last one knew.

A schema that Kong does not have (404) is not asked for again until its version or plugins change. One that it cannot
give now (any other status) is asked for at the next refresh; meanwhile its entities are hidden but for the harmless. A
refresh that Kong does not answer at all changes nothing.

Limits: 1,000 schemas of each kind, names of up to 100 plain characters; what is beyond is not asked for and
logged.
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
import structlog

from kong_eventhooks_plugin.errors import AdminApiError, StoreUnavailable
from kong_eventhooks_plugin.gateway.admin_client import AdminClient
from kong_eventhooks_plugin.gateway.digests import KEY_SIZE
from kong_eventhooks_plugin.gateway.endpoints import Endpoints
from kong_eventhooks_plugin.gateway.entities import PLUGINS, Entities
from kong_eventhooks_plugin.gateway.notes import Notes
from kong_eventhooks_plugin.gateway.schemas import pruned

NOTE = "knowledge"
MAX_SCHEMAS = 1_000
_NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)
_NOT_FOUND = 404

_log = structlog.get_logger()


class _Known(msgspec.Struct, frozen=True):
    """What is kept. ``stamp`` says of which Kong it is: its version and its plugins' versions."""

    stamp: str = ""
    paths: tuple[str, ...] = ()
    schemas: dict[str, Any] = {}
    plugins: dict[str, Any] = {}
    absent: frozenset[str] = frozenset()
    """What Kong answered 404 for."""


class Knowledge:
    """Paths and rules as Kong last told them. ``open_fields`` are as for ``Entities``.

    ``key`` gives the key of their digests; it may block and raise, and is called by ``open``. Until then, and where
    that raised, digests fit nothing that was kept.
    """

    def __init__(
        self, client: AdminClient, notes: Notes, key: Callable[[], bytes], open_fields: Collection[str] = ()
    ) -> None:
        self._client = client
        self._notes = notes
        self._read_key = key
        self._key = secrets.token_bytes(KEY_SIZE)
        self._open_fields = open_fields
        self._one_at_a_time = asyncio.Lock()
        self._use(_Known())

    async def open(self) -> None:
        """Read the key and what the notes kept; without any, nothing is known until the first ``refresh``."""
        self._key = await asyncio.to_thread(self._read_key)
        self._use(self._known)
        try:
            content = await self._notes.get(NOTE)
            if content is not None:
                self._use(msgspec.json.decode(content, type=_Known))
        except (StoreUnavailable, msgspec.MsgspecError) as error:
            _log.warning("what was kept of kong's schemas cannot be read", reason=str(error))

    def endpoints(self) -> Endpoints:
        """Return the paths as last told; replaced as a whole by ``refresh`` and ``learn``."""
        return self._endpoints

    def entities(self) -> Entities:
        """Return the rules as last told; replaced as a whole by ``refresh`` and ``learn``."""
        return self._entities

    async def refresh(self) -> bool:
        """Ask Kong for what may have changed or is missing; tell whether anything is new. Raises ``AdminApiError``."""
        async with self._one_at_a_time:
            root = await self._client.get("/")
            stamp, in_use = _stamp(root), _in_use(root)
            known = self._known if self._known.stamp == stamp and self._known.paths else _Known()
            paths = known.paths or await self._paths()
            names = _plain(Endpoints.candidates(paths))
            schemas, absent = await self._missing("/schemas/", names, known.schemas, known.absent)
            plugins, gone = await self._missing("/schemas/plugins/", _plain(in_use), known.plugins, known.absent)
            return await self._become(_Known(stamp, paths, schemas, plugins, known.absent | absent | gone))

    async def learn(self, schema: str, entity: Mapping[str, Any]) -> bool:
        """Ask for the schema that ``Entities.knows`` missed; tell whether it is known now. Raises ``AdminApiError``.

        A schema that Kong was asked for in vain is not asked for again.
        """
        async with self._one_at_a_time:
            known = self._known
            schemas, absent = await self._missing("/schemas/", _plain([schema]), known.schemas, known.absent)
            plugins, gone = known.plugins, frozenset[str]()
            if schema == PLUGINS:
                names = _plain([entity.get("name")])
                plugins, gone = await self._missing("/schemas/plugins/", names, known.plugins, known.absent)
            await self._become(
                msgspec.structs.replace(known, schemas=schemas, plugins=plugins, absent=known.absent | absent | gone)
            )
        return self._entities.knows(schema, entity)

    async def _paths(self) -> tuple[str, ...]:
        paths = (await self._client.get("/endpoints")).get("data")
        if not isinstance(paths, list):
            raise AdminApiError("/endpoints: the answer has no list of paths under data")
        return tuple(path for path in paths if isinstance(path, str))

    async def _missing(
        self, under: str, names: Iterable[str], had: dict[str, Any], absent: Collection[str]
    ) -> tuple[dict[str, Any], frozenset[str]]:
        """Return the schemas that were had with those of the missing names, and what Kong does not have."""
        found = dict(had)
        not_there: set[str] = set()
        for name in names:
            path = under + quote(name, safe="")
            if name in found or path in absent:
                continue
            if len(found) + len(absent) + len(not_there) >= MAX_SCHEMAS:
                _log.warning("too many schemas, this one is not asked for", path=path)
                break
            try:
                found[name] = pruned(await self._client.get(path))
            except AdminApiError as error:
                if error.status is None:
                    raise
                if error.status == _NOT_FOUND:
                    not_there.add(path)
                else:
                    _log.warning("kong does not tell a schema now", reason=str(error))
        return found, frozenset(not_there)

    async def _become(self, known: _Known) -> bool:
        if known == self._known:
            return False
        self._use(known)
        try:
            await self._notes.put(NOTE, msgspec.json.encode(known))
        except StoreUnavailable as error:
            _log.warning("kong's schemas are not kept", reason=str(error))
        return True

    def _use(self, known: _Known) -> None:
        self._known = known
        self._entities = Entities(known.schemas, known.plugins, self._key, self._open_fields)
        self._endpoints = Endpoints.read(known.paths, self._entities.targets())


def _stamp(root: Mapping[str, Any]) -> str:
    """Return what changes with Kong's version, its plugins and theirs."""
    available = _mapping(_mapping(root.get("plugins")).get("available_on_server"))
    return msgspec.json.encode([root.get("version"), available], order="deterministic").decode()


def _in_use(root: Mapping[str, Any]) -> list[Any]:
    names = _mapping(root.get("plugins")).get("enabled_in_cluster")
    return names if isinstance(names, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _plain(names: Iterable[Any]) -> list[str]:
    """Return the names that can be those of a schema."""
    return sorted({name for name in names if isinstance(name, str) and _NAME.fullmatch(name)})

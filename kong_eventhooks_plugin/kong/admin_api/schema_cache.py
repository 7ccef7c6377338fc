"""The paths of the Kong node and the schemas of its entities and plugins, fetched once and kept.

Each refresh reads /status, /plugins/enabled and /endpoints, which show whether it is the same Kong:

=======================================  ===========================================================================
seen                                     then
=======================================  ===========================================================================
another version (header ``Server``),     everything known is dropped: every schema is fetched
other plugins, other paths
worker processes (/status) of which the  every schema is fetched again: only new workers can run other code of a
schemas were not fetched                 plugin that keeps its name, and nothing here shows a plugin's version
``RECHECK_SECONDS`` have passed          the same: in a container, workers can get the ids of those before a restart
our own start                            the same
nothing of it                            what Kong did not answer before is fetched
=======================================  ===========================================================================

"Every schema" is /schemas/<entity> for each name in braces in /endpoints, and /schemas/plugins/<name> for the plugins
that occurred; one that occurs for the first time is fetched then (``learn``), in a reconciliation's lists at the
latest. One request at a time. ``/``, which has plugins' versions, is not read: a Kong that starts the plugin server
itself answers 500 there. The result is kept in the notes (without defaults and descriptions), for a start without Kong.

Until the refresh after a plugin's upgrade its old schema is used. A field that this one does not have is masked
(``secrets``); one that was open before and is a secret now is shown until then.

A schema that Kong does not have (404) is not fetched again before every one is. One that it cannot return now (any
other status) is fetched at the next refresh, that of an unknown plugin when one occurs; meanwhile what was known
of this Kong counts, and where nothing was, the entities are masked but for the harmless. A refresh that Kong does not
answer at all changes nothing.

Limits: 1,000 schemas, names of up to 100 plain characters; what is beyond is not fetched and logged. Several nodes
behind one address are taken for one, whose schemas are fetched again for each node's workers.
"""

import asyncio
import math
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
import structlog

from kong_eventhooks_plugin.errors import AdminApiError, StoreUnavailable
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient
from kong_eventhooks_plugin.kong.admin_api.digests import KEY_SIZE
from kong_eventhooks_plugin.kong.admin_api.endpoints import AdminEndpoints
from kong_eventhooks_plugin.kong.admin_api.entities import PLUGINS, EntityRules
from kong_eventhooks_plugin.kong.admin_api.schemas import pruned
from kong_eventhooks_plugin.storage.notes import NoteStore

SCHEMA_NOTE = "knowledge"
MAX_SCHEMAS = 1_000
RECHECK_SECONDS: Final = 600.0
_VERSION = re.compile(r"\bkong/(\S{1,100})", re.ASCII | re.IGNORECASE)
_NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)
_NOT_FOUND = 404

_log = structlog.get_logger()


class _CachedSchemas(msgspec.Struct, frozen=True):
    """``stamp`` identifies the Kong: its version and its plugins' names."""

    stamp: str = ""
    paths: tuple[str, ...] = ()
    schemas: dict[str, Any] = {}
    plugins: dict[str, Any] = {}


class _Node(NamedTuple):
    """What distinguishes one Kong from another. ``workers`` are its processes' ids; empty where it lists none."""

    stamp: str
    paths: tuple[str, ...]
    workers: frozenset[int]


class _Fetched(NamedTuple):
    """``paths`` of the schemas that Kong returned or lacks, ``since`` when, and the ``workers`` that answered."""

    since: float = -math.inf
    workers: frozenset[int] = frozenset()
    paths: frozenset[str] = frozenset()


class SchemaCache:
    """``open_fields`` are as for ``EntityRules``; ``timer`` returns seconds.

    ``key`` returns the key of their digests; it may block and raise, and is called by ``open``. Until then, and where
    that raised, digests match nothing that was kept.
    """

    def __init__(
        self,
        client: AdminClient,
        notes: NoteStore,
        key: Callable[[], bytes],
        open_fields: Collection[str] = (),
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._notes = notes
        self._read_key = key
        self._key = secrets.token_bytes(KEY_SIZE)
        self._open_fields = open_fields
        self._timer = timer
        self._one_at_a_time = asyncio.Lock()
        self._fetched = _Fetched()
        self._use(_CachedSchemas())

    async def open(self) -> None:
        """Read the key and the notes; without any, nothing is known until the first ``refresh``."""
        self._key = await asyncio.to_thread(self._read_key)
        self._use(self._known)
        try:
            content = await self._notes.get(SCHEMA_NOTE)
            if content is not None:
                self._use(msgspec.json.decode(content, type=_CachedSchemas))
        except (StoreUnavailable, msgspec.MsgspecError) as error:
            _log.warning("schema_cache_unreadable", error=str(error))

    def endpoints(self) -> AdminEndpoints:
        """Return the last known paths; replaced as a whole by ``refresh`` and ``learn``."""
        return self._endpoints

    def paths(self) -> tuple[str, ...]:
        """Return the last known paths as Kong lists them."""
        return self._known.paths

    def entities(self) -> EntityRules:
        """Return the last known rules; replaced as a whole by ``refresh`` and ``learn``."""
        return self._entities

    async def refresh(self) -> bool:
        """Fetch what may have changed or is missing; return whether anything is new. Raises ``AdminApiError``."""
        async with self._one_at_a_time:
            node = await self._node()
            last, fetched = self._known, self._still_valid(node)
            known = last if self._is_known(node) else _CachedSchemas()
            paths = set(fetched.paths)
            schemas = await self._fetch("/schemas/", AdminEndpoints.candidates(node.paths), known.schemas, paths)
            plugins = await self._fetch("/schemas/plugins/", last.plugins, known.plugins, paths)
            self._fetched = fetched._replace(paths=frozenset(paths))
            return await self._become(_CachedSchemas(node.stamp, node.paths, schemas, plugins))

    async def learn(self, schema: str, entity: Mapping[str, Any]) -> bool:
        """Fetch a schema that ``EntityRules.has_schema`` missed; return whether it is known. Raises ``AdminApiError``.

        A schema that Kong lacks is not fetched again.
        """
        async with self._one_at_a_time:
            known, paths = self._known, set(self._fetched.paths)
            schemas, plugins = known.schemas, known.plugins
            if schema not in schemas:
                schemas = await self._fetch("/schemas/", [schema], schemas, paths)
            if schema == PLUGINS:
                names = [name for name in _texts([entity.get("name")]) if name not in plugins]
                plugins = await self._fetch("/schemas/plugins/", names, plugins, paths)
            self._fetched = self._fetched._replace(paths=frozenset(paths))
            await self._become(msgspec.structs.replace(known, schemas=schemas, plugins=plugins))
        return self._entities.has_schema(schema, entity)

    def _is_known(self, node: _Node) -> bool:
        return (node.stamp, node.paths) == (self._known.stamp, self._known.paths)

    def _still_valid(self, node: _Node) -> _Fetched:
        """Return which of the past answers are valid for this node."""
        fetched, now = self._fetched, self._timer()
        if not self._is_known(node) or now - fetched.since >= RECHECK_SECONDS:
            return _Fetched(now, node.workers)
        # For some seconds after a reload Kong lists none, or not all of them.
        if node.workers <= fetched.workers:
            return fetched
        return _Fetched(fetched.since, fetched.workers | node.workers)

    async def _node(self) -> _Node:
        # The workers first: so schemas that come from newer ones are fetched again.
        workers = _workers(await self._client.get("/status"))
        enabled, server = await self._client.answer("/plugins/enabled")
        plugins = sorted(_texts(enabled.get("enabled_plugins")))
        paths = (await self._client.get("/endpoints")).get("data")
        if not isinstance(paths, list):
            raise AdminApiError("/endpoints: the answer has no list of paths under data")
        version = _VERSION.search(server)
        stamp = msgspec.json.encode([version and version[1], plugins]).decode()
        return _Node(stamp, tuple(_texts(paths)), workers)

    async def _fetch(self, under: str, names: Iterable[Any], had: dict[str, Any], fetched: set[str]) -> dict[str, Any]:
        """Return the schemas ``had``, updated by Kong's answers for the names that are not ``fetched``."""
        found = dict(had)
        for name in _plain(names):
            path = under + quote(name, safe="")
            if path in fetched:
                continue
            if len(fetched) >= MAX_SCHEMAS:
                _log.warning("schema_limit_reached", path=path)
                break
            try:
                found[name] = pruned(await self._client.get(path))
            except AdminApiError as error:
                if error.status is None:
                    raise
                if error.status != _NOT_FOUND:
                    _log.warning("schema_fetch_failed", error=str(error))
                    continue
                found.pop(name, None)
            fetched.add(path)
        return found

    async def _become(self, known: _CachedSchemas) -> bool:
        if known == self._known:
            return False
        self._use(known)
        try:
            await self._notes.put(SCHEMA_NOTE, msgspec.json.encode(known))
        except StoreUnavailable as error:
            _log.warning("schema_cache_write_failed", error=str(error))
        return True

    def _use(self, known: _CachedSchemas) -> None:
        self._known = known
        self._entities = EntityRules(known.schemas, known.plugins, self._key, self._open_fields)
        self._endpoints = AdminEndpoints(known.paths, self._entities.targets())


def _workers(status: Mapping[str, Any]) -> frozenset[int]:
    memory = status.get("memory")
    workers = memory.get("workers_lua_vms") if isinstance(memory, dict) else None
    pids = [each.get("pid") for each in workers if isinstance(each, dict)] if isinstance(workers, list) else []
    return frozenset(pid for pid in pids if isinstance(pid, int))


def _texts(values: Any) -> Iterator[str]:
    return (each for each in values if isinstance(each, str)) if isinstance(values, list) else iter(())


def _plain(names: Iterable[Any]) -> list[str]:
    """Return the names that can be those of a schema."""
    return sorted({name for name in names if isinstance(name, str) and _NAME.fullmatch(name)})

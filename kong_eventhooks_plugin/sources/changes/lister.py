"""A reconciliation's requests: page after page of every list, with a pause after each.

=============================  =================================================================================
an entity's root collection    is listed, in each workspace
it answers 404                 the entity is listed under its parents, where it has parents of one kind alone
                               (Kong's targets): one list for each of those that this reconciliation listed
it answers 400, 403 or 404     the schema is skipped: there is no such list (for us; Kong answers 400 on
to its first page              /filter-chains while its wasm is off)
anything else goes wrong       the schema is skipped this time; after ``UNREACHED`` lists without any answer the
                               reconciliation fails
=============================  =================================================================================

One page is requested at a time, and after each comes a pause of its own time times a factor: by default Kong's worker
is busy with us for a third of the time at most.

Limits: ``PAUSE`` seconds for one pause; ``PAGES`` pages a list and ``PARENTS`` parents whose lists are requested, past
either the schema is skipped; ``WORKSPACES`` workspaces, past it everything is. Memory holds one page at a time.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import structlog

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminPage
from kong_eventhooks_plugin.kong.admin_api.schema_cache import SchemaCache
from kong_eventhooks_plugin.sources.changes.mirror.mirror import Mirror
from kong_eventhooks_plugin.sources.changes.mirror.ordering import TimeWindow
from kong_eventhooks_plugin.sources.changes.mirror.scan import ListSource, Scan

PAUSE: Final = 5.0
PAGES: Final = 20_000
PARENTS: Final = 10_000
WORKSPACES: Final = 1_000
UNREACHED: Final = 3

_NOT_FOUND: Final = 404
_SKIPPED_STATUSES: Final = frozenset({400, 403, _NOT_FOUND})

_REFUSALS: Final = tuple(f": answered {status}" for status in sorted(_SKIPPED_STATUSES))

log = structlog.get_logger()


class Pace(NamedTuple):
    """How pages are requested. ``clock`` gives Unix seconds, ``timer`` seconds for durations."""

    page_size: int
    pause_factor: float
    clock: Callable[[], float]
    timer: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


def is_refusal(why: str) -> bool:
    """Return whether a list was skipped because Kong has none, or none for us."""
    return why.endswith(_REFUSALS)


class Lister:
    """Lists everything into ``scan``. ``skipped`` receives path -> reason of each list that is skipped.

    ``check_lead`` raises where this process may send no more requests.
    """

    def __init__(
        self,
        mirror: Mirror,
        client: AdminClient,
        schema_cache: SchemaCache,
        pace: Pace,
        scan: Scan,
        skipped: dict[str, str],
        check_lead: Callable[[], None],
    ) -> None:
        self._mirror = mirror
        self._client = client
        self._schema_cache = schema_cache
        self._pace = pace
        self._scan = scan
        self._skipped = skipped
        self._check_lead = check_lead
        self._unreached = 0
        self._has_page = False  # of the schema that is being listed

    async def everything(self, workspaces: tuple[str, ...] = ()) -> list[str]:
        """List everything; return the schemas in their order, the skipped ones too. Raises ``AdminApiError``.

        ``workspaces``: only these.
        """
        endpoints = self._schema_cache.endpoints()
        lists = endpoints.lists()
        if not lists:
            raise AdminApiError("Kong's list of paths is not known yet")
        names = list(workspaces) or await self._workspaces()
        for schema, path in lists:
            await self._list_schema(schema, path, names, endpoints.nested(schema))
        return [schema for schema, _ in lists]

    async def _list_schema(
        self, schema: str, path: str, workspaces: list[str] | list[None], nested: tuple[tuple[str, str], ...]
    ) -> None:
        """List one schema, or keep why it is skipped."""
        self._has_page = False
        try:
            for workspace in workspaces:
                await self._root_or_nested(ListSource(schema, workspace), path, nested)
        except AdminApiError as error:
            self._scan.fail(schema, for_now=self._has_page or error.status not in _SKIPPED_STATUSES)
            self._skipped[path] = str(error)
            self._unreached += error.status is None
            if self._unreached >= UNREACHED:
                raise

    async def _root_or_nested(self, source: ListSource, path: str, nested: tuple[tuple[str, str], ...]) -> None:
        try:
            await self._pages(source, path)
        except AdminApiError as error:
            if error.status != _NOT_FOUND or len(nested) != 1 or nested[0][0] not in self._scan.windows:
                raise
        else:
            return
        parent, template = nested[0]
        parents = await self._mirror.listed(self._scan, ListSource(parent, source.workspace), PARENTS + 1)
        if len(parents) > PARENTS:
            raise AdminApiError(f"{path}: is listed by {parent}, of which there are more than {PARENTS:,}")
        await self._mirror.compare(self._scan, source, [], TimeWindow(self._pace.clock(), self._pace.clock()))
        for parent_id in parents:
            try:
                await self._pages(source, template.replace("{}", quote(parent_id, safe="")))
            except AdminApiError as error:
                # It was deleted since it was listed: then it has no children any more.
                if error.status != _NOT_FOUND:
                    raise

    async def _pages(self, source: ListSource, path: str) -> None:
        prefix = "" if source.workspace is None else f"/{quote(source.workspace, safe='')}"
        offset: str | None = None
        for _ in range(PAGES):
            page = await self._page(source, prefix + path, offset)
            if page.offset is None:
                return
            if page.offset == offset:
                raise AdminApiError(f"{path}: a page's offset is its own")
            offset = page.offset
        raise AdminApiError(f"{path}: more than {PAGES:,} pages")

    async def _page(self, source: ListSource, path: str, offset: str | None) -> AdminPage:
        """Request a page, compare it, and pause."""
        self._check_lead()
        pace = self._pace
        low, began = pace.clock(), pace.timer()
        page = await self._client.page(path, pace.page_size, offset)
        self._has_page = True
        spent = pace.timer() - began
        window = TimeWindow(low, max(low, pace.clock()))
        await self._learn_schemas(source, page.entities)
        await self._mirror.compare(self._scan, source, page.entities, window)
        await pace.sleep(min(spent * pace.pause_factor, PAUSE))
        return page

    async def _learn_schemas(self, source: ListSource, page: list[dict[str, Any]]) -> None:
        """Request the schemas that the page's entities need; each that Kong does not have, once a reconciliation."""
        for entity in self._scan.unknown(self._schema_cache.entities(), source, page):
            try:
                await self._schema_cache.learn(source.schema, entity)
            except AdminApiError as error:
                log.warning("schema_unknown", schema=source.schema, error=str(error))

    async def _workspaces(self) -> list[str] | list[None]:
        """Return the workspaces' names; one None where Kong has none."""
        names: list[str] = []
        offset: str | None = None
        try:
            while len(names) <= WORKSPACES:
                page = await self._client.page("/workspaces", self._pace.page_size, offset)
                names += [entity["name"] for entity in page.entities if isinstance(entity.get("name"), str)]
                offset = page.offset
                if offset is None:
                    return names or [None]
        except AdminApiError as error:
            if error.status in _SKIPPED_STATUSES:
                return [None]
            raise
        raise AdminApiError(f"more than {WORKSPACES:,} workspaces")

"""A round's requests: page after page of every list, with a pause after each.

=============================  =================================================================================
an entity's root collection    is listed, in each workspace
it answers 404                 the entity is listed under its parents, where it has parents of one kind alone
                               (Kong's targets): one list for each of those that this round listed
it answers 400, 403 or 404     the schema is left out: no such list (for us; Kong answers 400 on /filter-chains while
to its first page              its wasm is off)
anything else goes wrong       the schema is not judged by this round; after ``UNREACHED`` lists without any answer
                               the round is given up
=============================  =================================================================================

Pages come one after another, and after each there is a pause of its own time times a factor: by default Kong's worker
is busy with us for a third of the time at most.

Limits: ``PAUSE`` seconds for one pause; ``PAGES`` pages a list and ``PARENTS`` parents whose lists are asked for, past
either the schema is not judged; ``WORKSPACES`` workspaces, past it nothing is. In memory there is one page at a time.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote

import structlog

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.kong.admin_api.client import AdminPage
from kong_eventhooks_plugin.kong.admin_api.endpoints import AdminEndpoints
from kong_eventhooks_plugin.kong.admin_api.entities import EntityRules
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


class SchemaLookup(Protocol):
    """What a round needs of ``kong.admin_api.schema_cache.SchemaCache``."""

    def endpoints(self) -> AdminEndpoints:
        """Return the paths as last known."""

    def entities(self) -> EntityRules:
        """Return the rules as last known."""

    async def refresh(self) -> bool:
        """Ask Kong where something may have changed; raises ``AdminApiError``."""

    async def learn(self, schema: str, entity: Mapping[str, Any]) -> bool:
        """Ask for a schema that is missing; raises ``AdminApiError``."""


class Client(Protocol):
    """What a round needs of ``kong.admin_api.client.AdminClient``; both raise ``AdminApiError``."""

    async def get(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        """Return the object under a path."""

    async def page(self, path: str, size: int, offset: str | None = None) -> AdminPage:
        """Return one page of a list."""


class Pace(NamedTuple):
    """How pages are asked for. ``clock`` gives Unix seconds, ``timer`` seconds for durations."""

    page_size: int
    pause_factor: float
    clock: Callable[[], float]
    timer: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


def is_refusal(why: str) -> bool:
    """Tell whether what ``Lister.left_out`` says of a list is that Kong has none, or none for us."""
    return why.endswith(_REFUSALS)


class Lister:
    """Lists everything into ``listing``. ``left_out`` is told why a list is not judged, by its path.

    ``check_lead`` raises where this process may ask no more.
    """

    def __init__(
        self,
        mirror: Mirror,
        client: Client,
        knowledge: SchemaLookup,
        pace: Pace,
        listing: Scan,
        left_out: dict[str, str],
        check_lead: Callable[[], None],
    ) -> None:
        self._mirror = mirror
        self._client = client
        self._knowledge = knowledge
        self._pace = pace
        self._listing = listing
        self._skipped = left_out
        self._check_lead = check_lead
        self._unreached = 0
        self._begun = False  # a page of the schema under way has come

    async def everything(self, workspaces: tuple[str, ...] = ()) -> list[str]:
        """List everything; return the schemas in their order, those that failed among them. Raises ``AdminApiError``.

        ``workspaces``: none but these.
        """
        endpoints = self._knowledge.endpoints()
        lists = endpoints.lists()
        if not lists:
            raise AdminApiError("what Kong lists is not known yet")
        names = list(workspaces) or await self._workspaces()
        for schema, path in lists:
            await self._schema(schema, path, names, endpoints.nested(schema))
        return [schema for schema, _ in lists]

    async def _schema(
        self, schema: str, path: str, workspaces: list[str] | list[None], nested: tuple[tuple[str, str], ...]
    ) -> None:
        """List one schema, or keep why it is not judged."""
        self._begun = False
        try:
            for workspace in workspaces:
                await self._root_or_nested(ListSource(schema, workspace), path, nested)
        except AdminApiError as error:
            self._listing.fail(schema, for_now=self._begun or error.status not in _SKIPPED_STATUSES)
            self._skipped[path] = str(error)
            self._unreached += error.status is None
            if self._unreached >= UNREACHED:
                raise

    async def _root_or_nested(self, source: ListSource, path: str, nested: tuple[tuple[str, str], ...]) -> None:
        try:
            await self._pages(source, path)
        except AdminApiError as error:
            if error.status != _NOT_FOUND or len(nested) != 1 or nested[0][0] not in self._listing.windows:
                raise
        else:
            return
        parent, template = nested[0]
        parents = await self._mirror.listed(self._listing, ListSource(parent, source.workspace), PARENTS + 1)
        if len(parents) > PARENTS:
            raise AdminApiError(f"{path}: is listed by {parent}, of which there are more than {PARENTS:,}")
        await self._mirror.compare(self._listing, source, [], TimeWindow(self._pace.clock(), self._pace.clock()))
        for parent_id in parents:
            await self._of_parent(source, template.replace("{}", quote(parent_id, safe="")))

    async def _of_parent(self, source: ListSource, path: str) -> None:
        try:
            await self._pages(source, path)
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
        """Ask for a page, compare it, and make the pause."""
        self._check_lead()
        pace = self._pace
        low, began = pace.clock(), pace.timer()
        page = await self._client.page(path, pace.page_size, offset)
        self._begun = True
        spent = pace.timer() - began
        window = TimeWindow(low, max(low, pace.clock()))
        await self._learn(source, page.entities)
        await self._mirror.compare(self._listing, source, page.entities, window)
        await pace.sleep(min(spent * pace.pause_factor, PAUSE))
        return page

    async def _learn(self, source: ListSource, page: list[dict[str, Any]]) -> None:
        """Ask for what the page's entities need of Kong's schemas; for what it does not tell, once a round."""
        for entity in self._listing.unknown(self._knowledge.entities(), source, page):
            try:
                await self._knowledge.learn(source.schema, entity)
            except AdminApiError as error:
                log.warning("schema_unknown", schema=source.schema, error=str(error))

    async def _workspaces(self) -> list[str] | list[None]:
        """Return the workspaces' names; only None where Kong has none."""
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

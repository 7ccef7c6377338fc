"""Takes the changes that nodes without an Admin API saw on their route, and applies them as late ones of our own route.

Each is applied once its entity is read from our Kong, so that the mirror and the identities are what they would be. A
change leaves the shared store when its events are accepted, or nobody subscribes to them: a process that is killed
before leaves it to the next one, whose mirror knows the request, or whose events have the same ids.

==========================================  ==============================================================
a change                                    then
==========================================  ==============================================================
of an entity that was changed again, or     no event of its own: what is there now is that of the later one. Of
deleted, before it was read                 an entity that was not known it is the create, with what is there now
without an id, of an entity whose key in    counted (``change_unreadable``); a reconciliation finds it,
the path is hidden, or that Kong refuses    without its actor
older than ``AGE``                          the same, counted as ``changes_overflow``
that our code fails on                      the same, counted as ``change_failed``
==========================================  ==============================================================

While Kong does not answer, or the outbox cannot be emptied, changes wait in the shared store, in order.

Limits: ``BATCH`` at a time; the store is asked every ``POLL_SECONDS``, and at once when told to. What failed is tried
again after ``PAUSE_SECONDS``.
"""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec
import structlog

from kong_eventhooks_plugin.background import is_set_within
from kong_eventhooks_plugin.errors import AdminApiError, EventHooksError, ObservationError, QueueError
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient
from kong_eventhooks_plugin.kong.admin_api.schema_cache import SchemaCache
from kong_eventhooks_plugin.queue.polling import AGE, SharedPolling, WaitingChange
from kong_eventhooks_plugin.sources.changes.catalogue import CRUD
from kong_eventhooks_plugin.sources.changes.forwarded_change import ForwardedChange
from kong_eventhooks_plugin.sources.changes.forwarder import PATHS_NOTE, KongPaths
from kong_eventhooks_plugin.sources.changes.model import RouteChange
from kong_eventhooks_plugin.sources.changes.observer import ChangeObserver
from kong_eventhooks_plugin.telemetry.raised import raised_at

BATCH: Final = 100
POLL_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 1.0

_log = structlog.get_logger()


class ForwardedChanges:
    """``term`` gives that of our lease, 0 while another node takes them. ``run`` goes on until cancelled."""

    def __init__(
        self,
        shared: SharedPolling,
        term: Callable[[], int],
        client: AdminClient,
        schema_cache: SchemaCache,
        observer: ChangeObserver,
    ) -> None:
        self._shared = shared
        self._term = term
        self._client = client
        self._schema_cache = schema_cache
        self._observer = observer
        self._news = asyncio.Event()
        self._written: tuple[int, KongPaths] | None = None
        self.error: str | None = None
        """Why nothing can be taken now; None where it can."""

    def wake(self) -> None:
        """Have the store asked: changes have been forwarded."""
        self._news.set()

    async def run(self) -> None:
        while True:
            self._news.clear()
            try:
                more = await self.take() == BATCH if self._term() else False
            except EventHooksError as error:
                if self.error is None:
                    _log.warning("forwarded_changes_failed", error=str(error))
                self.error = str(error)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            self.error = None
            if not more:
                await is_set_within(self._news, POLL_SECONDS)

    async def take(self) -> int:
        """Take the next ones; return how many. Raises ``AdminApiError`` and ``QueueError`` where they have to wait."""
        if not await self._say_paths():
            return 0
        done: list[int] = []
        try:
            for waiting in await self._shared.waiting(BATCH):
                if not self._term():
                    break
                await self._process(waiting)
                done.append(waiting.n)
        finally:
            if done:
                await self._observer.published()
                await self._shared.remove(done)
        return len(done)

    async def _say_paths(self) -> bool:
        """Let those who forward know what is an entity; False where we do not know it yet."""
        known = KongPaths(self._schema_cache.paths(), self._schema_cache.entities().targets())
        term = self._term()
        if not self._schema_cache.endpoints():
            return False
        if self._written != (term, known):
            await self._shared.write_notes(CRUD, term, {PATHS_NOTE: msgspec.json.encode(known)})
            self._written = term, known
        return True

    async def _process(self, waiting: WaitingChange) -> None:
        """Process a change to its end. Raises ``AdminApiError`` and ``QueueError`` where it has to wait."""
        if time.time() - waiting.seen_at > AGE:
            self._observer.count_missed("changes_overflow", detail="forwarded too late")
            return
        try:
            await self._apply(msgspec.json.decode(waiting.change, type=ForwardedChange), waiting.seen_at)
        except (AdminApiError, QueueError):
            raise
        except ObservationError as error:
            self._observer.count_missed("change_unreadable", detail=str(error))
        except Exception as error:  # noqa: BLE001  one that our code fails on must not hold up the others
            self._observer.count_missed("change_failed", kind=type(error).__name__, raised_at=raised_at(error))

    async def _apply(self, change: ForwardedChange, seen_at: float) -> None:
        if change.is_delete:
            if change.hidden:
                raise ObservationError("a key in the path is hidden")
            entity = None
        else:
            entity = await self._read(change)
            if entity is None or await self._is_superseded(change, entity):
                _log.debug("forwarded_change_superseded", schema=change.place.schema, id=change.id)
                return
        began = seen_at - change.seconds
        await self._observer.apply(RouteChange(change.place, change.method, entity, change.actor, began, seen_at))

    async def _is_superseded(self, change: ForwardedChange, entity: dict[str, Any]) -> bool:
        """Return whether the state is not the one that the change led to, and a later change reports it."""
        if entity.get("updated_at") == change.updated_at:
            return False
        return await self._observer.knows(change.place.schema, str(entity.get("id")))

    async def _read(self, change: ForwardedChange) -> dict[str, Any] | None:
        """Return the entity as it is now; None where it is gone."""
        if change.id is None:
            raise ObservationError("Kong gave no answer")
        for path in self._paths(change, change.id):
            try:
                return dict(await self._client.get(path))
            except AdminApiError as error:
                if error.status is None:
                    raise
                if error.status != HTTPStatus.NOT_FOUND:
                    raise ObservationError(f"Kong refuses the entity ({error.status})") from error
        return None

    def _paths(self, change: ForwardedChange, entity: str) -> list[str]:
        """Return where an entity may be: below its own list, else below that of the parent that the path names."""
        endpoints, place = self._schema_cache.endpoints(), change.place
        lists = [path for schema, path in endpoints.lists() if schema == place.schema]
        parents = dict(place.parents)
        for parent, path in endpoints.nested(place.schema):
            if parent in parents:
                lists.append(path.replace("{}", quote(parents[parent], safe="")))
        workspace = "" if place.workspace is None else f"/{quote(place.workspace, safe='')}"
        return [f"{workspace}{path}/{quote(entity, safe='')}" for path in lists]

"""Looks at the certificates of Kong's entities once a day, and tells which come near their end.

What was told last of a certificate is kept in one note, until a whole look does not find that certificate any more.
A change of it and its events are written together first (``observing.kept``), so a killed process tells nothing twice.

Limits: a page of entities at a time, ``PAGE_PAUSE_SECONDS`` between two; the note has some 90 bytes a certificate that
was told. Of what cannot be read ``LOGGED`` names are remembered, so that each is logged once; all are counted.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
import structlog

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.gateway.admin_client import MAX_PAGES, AdminClient
from kong_eventhooks_plugin.gateway.certificates import LISTS, Found, read_certificates
from kong_eventhooks_plugin.gateway.expiry import identity, news
from kong_eventhooks_plugin.model.certificate import Kind
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.observing.kept import Kept, Note, Notes
from kong_eventhooks_plugin.observing.looking import Looking
from kong_eventhooks_plugin.observing.telling import Publish, Telling
from kong_eventhooks_plugin.observing.turns import Turns
from kong_eventhooks_plugin.sources.certificate import expiring_event
from kong_eventhooks_plugin.telemetry import Counts

NOTE: Final = "certificates"
PAGE_PAUSE_SECONDS: Final = 0.1
LOGGED: Final = 1_000

_log = structlog.get_logger()


class ExpiryPace(msgspec.Struct, frozen=True):
    """Seconds between two looks, and at how many days left it is told; that it has ended always is."""

    look_seconds: float = 86_400.0
    days: tuple[int, ...] = (30, 7, 1)


class Told(msgspec.Struct, frozen=True):
    """The threshold told last, by ``expiry.identity``."""

    thresholds: dict[str, int] = {}


class CertificateWatch(Looking):
    """Looks until cancelled (``run``). ``clock`` gives Unix seconds, ``monotonic`` those of a stopwatch."""

    def __init__(
        self,
        client: AdminClient,
        notes: Notes,
        publish: Publish,
        counts: Counts,
        turns: Turns,
        pace: ExpiryPace = ExpiryPace(),  # noqa: B008 - frozen
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("certificates", turns, counts)
        self._client = client
        self._pace = pace
        self._clock = clock
        self._monotonic = monotonic
        self._kept = Kept(notes, NOTE, Note[Told], Told(), lambda told: told.thresholds, Telling(publish, turns))
        self._loaded = False
        self._due = 0.0
        self._logged: set[str] = set()
        self._last: dict[str, Any] = {}

    def forget(self) -> None:
        """Know nothing: the note is read before the next look, which comes at the next turn."""
        self._loaded = False
        self._due = 0.0

    def state(self) -> dict[str, Any]:
        """Return what /readyz shows: of the last whole look, when it was and what it found."""
        return {**super().state(), **self._last}

    async def work(self) -> bool:
        """Look, or wait for the next look."""
        if not self._loaded:
            if not await self._kept.load():
                return False
            self._loaded = True
        if self._monotonic() < self._due:
            await self._turns.pause(self._due - self._monotonic())
            return False
        due = self._monotonic() + self._turns.about(self._pace.look_seconds)
        self._due = due
        try:
            return await self._look()
        except BaseException:
            self._due = 0.0
            raise

    async def _look(self) -> bool:
        seen: set[str] = set()
        sums = {"certificates": 0, "references": 0, "unreadable": 0}
        for kind, path in LISTS:
            async for found in self._read(kind, path):
                seen.update(identity(each) for each in found.certificates)
                self._add(sums, kind, found)
                if not await self._tell(found):
                    return False
        still = {name: days for name, days in self._kept.state.thresholds.items() if name in seen}
        if not await self._kept.become(Told(still)):
            return False
        self._last = {**sums, "looked_at": self._clock()}
        return True

    async def _read(self, kind: Kind, path: str) -> AsyncIterator[Found]:
        """Yield what each page holds; the page, with the keys on it, is gone by then."""
        offset: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._client.page(path, offset=offset)
            found = await asyncio.to_thread(read_certificates, kind, page.entities)
            offset = page.offset
            del page
            yield found
            if offset is None:
                return
            await self._turns.pause(PAGE_PAUSE_SECONDS)
        raise AdminApiError(f"{path}: more than {MAX_PAGES:,} pages")

    async def _tell(self, found: Found) -> bool:
        now = self._clock()
        told = dict(self._kept.state.thresholds)
        events: list[Event] = []
        for certificate in found.certificates:
            threshold = news(certificate, told, self._pace.days, now)
            if threshold is not None:
                told[identity(certificate)] = threshold
                events.append(expiring_event(certificate, threshold, now))
        return not events or await self._kept.become(Told(told), events)

    def _add(self, sums: dict[str, int], kind: Kind, found: Found) -> None:
        sums["certificates"] += len(found.certificates)
        sums["references"] += found.references
        sums["unreadable"] += len(found.unreadable)
        self.count("ok", len(found.certificates))
        self.count("unreadable", len(found.unreadable))
        for name in found.unreadable:
            if name not in self._logged and len(self._logged) < LOGGED:
                self._logged.add(name)
                _log.warning("certificate not readable, left alone", kind=kind, name=name)

"""Reads the certificates of Kong's entities once a day; publishes which expire soon, and which of those are gone.

What was published of a certificate, with its threshold, is kept in one note, until a whole poll does not find that
certificate any more: then it is resolved. The note and its events are written together first
(``sources.pollers.checkpoint``), so a killed process publishes nothing twice.

Limits: a page of entities at a time, ``PAGE_PAUSE_SECONDS`` between two; the note has some 500 bytes for each published
certificate, and its names (``reading.SNIS``). Of what cannot be read ``LOGGED`` names are remembered, so that each is
logged once; all are counted.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import structlog

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.kong.admin_api.client import MAX_PAGES
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.settings import DEFAULTS
from kong_eventhooks_plugin.sources.certificates.catalogue import EXPIRING, RESOLVED
from kong_eventhooks_plugin.sources.certificates.decision import identity, newly_crossed
from kong_eventhooks_plugin.sources.certificates.event import certificate_event
from kong_eventhooks_plugin.sources.certificates.model import Certificate, Kind
from kong_eventhooks_plugin.sources.certificates.reading import FIELDS, CertificateScan, read_certificates
from kong_eventhooks_plugin.sources.pollers.checkpoint import Checkpoint
from kong_eventhooks_plugin.sources.pollers.leader_gate import LeaderGate
from kong_eventhooks_plugin.sources.pollers.poller import Poller, PollerContext

CERTIFICATES_NOTE: Final = "certificates"
PAGE_PAUSE_SECONDS: Final = 0.1
LOGGED: Final = 1_000

_log = structlog.get_logger()


class CertificateSettings(msgspec.Struct, frozen=True):
    """Seconds between two polls, and the thresholds in days; an expired certificate always is an event."""

    poll_seconds: float = DEFAULTS.certificate_poll_seconds
    days: tuple[int, ...] = DEFAULTS.certificate_days


class Notified(msgspec.Struct, frozen=True, array_like=True):
    """A certificate with an event, and the threshold of its last one."""

    threshold: int
    certificate: Certificate


class NotifiedCertificates(msgspec.Struct, frozen=True):
    """The certificates that expire soon, by ``decision.identity``."""

    expiring: dict[str, Notified] = {}


class CertificatePoller(Poller):
    def __init__(
        self,
        context: PollerContext,
        gate: LeaderGate,
        settings: CertificateSettings | None = None,
    ) -> None:
        super().__init__("certificates", context, gate)
        self._settings = settings or CertificateSettings()
        self._checkpoint = Checkpoint(
            self._notes, CERTIFICATES_NOTE, NotifiedCertificates, lambda notified: notified.expiring, self._publisher
        )
        self._due = 0.0
        self._logged: set[str] = set()
        self._last: dict[str, Any] = {}

    def forget(self) -> None:
        """Poll at once when the gate opens again."""
        self._due = 0.0

    def state(self) -> dict[str, Any]:
        """Return what /readyz shows: of the last whole poll, when it was and what it found."""
        return {**super().state(), **self._last}

    async def load(self) -> bool:
        return await self._checkpoint.load()

    async def poll(self) -> bool:
        if self._monotonic() < self._due:
            await self._gate.pause(self._due - self._monotonic())
            return False
        due = self._monotonic() + self._gate.jittered(self._settings.poll_seconds)
        self._due = due
        try:
            return await self._poll_all()
        except BaseException:
            self._due = 0.0
            raise

    async def _poll_all(self) -> bool:
        seen: set[str] = set()
        sums = {"certificates": 0, "references": 0, "unreadable": 0}
        for kind in FIELDS:
            async for found in self._read(kind):
                seen.update(identity(each) for each in found.certificates)
                self._add(sums, kind, found)
                if not await self._publish_found(found):
                    return False
        if not await self._publish_resolved(seen):
            return False
        self._last = {**sums, "polled_at": self._clock()}
        return True

    async def _read(self, kind: Kind) -> AsyncIterator[CertificateScan]:
        """Yield what each page holds; the page, with its keys, is freed by then."""
        path, offset = f"/{kind}", None
        for _ in range(MAX_PAGES):
            page = await self._client.page(path, offset=offset)
            found = await asyncio.to_thread(read_certificates, kind, page.entities)
            offset = page.offset
            del page
            yield found
            if offset is None:
                return
            await self._gate.pause(PAGE_PAUSE_SECONDS)
        raise AdminApiError(f"{path}: more than {MAX_PAGES:,} pages")

    async def _publish_found(self, found: CertificateScan) -> bool:
        now = self._clock()
        notified = dict(self._checkpoint.state.expiring)
        last = {name: each.threshold for name, each in notified.items()}
        events: list[Event] = []
        for certificate in found.certificates:
            threshold = newly_crossed(certificate, last, self._settings.days, now)
            if threshold is not None:
                last[identity(certificate)] = threshold
                notified[identity(certificate)] = Notified(threshold, certificate)
                events.append(certificate_event(EXPIRING, certificate, threshold, now))
        return not events or await self._checkpoint.commit(NotifiedCertificates(notified), events)

    async def _publish_resolved(self, seen: set[str]) -> bool:
        now = self._clock()
        known = self._checkpoint.state.expiring
        still = {name: each for name, each in known.items() if name in seen}
        gone = [each for name, each in known.items() if name not in seen]
        events = [certificate_event(RESOLVED, each.certificate, each.threshold, now) for each in gone]
        return await self._checkpoint.commit(NotifiedCertificates(still), events)

    def _add(self, sums: dict[str, int], kind: Kind, found: CertificateScan) -> None:
        sums["certificates"] += len(found.certificates)
        sums["references"] += found.references
        sums["unreadable"] += len(found.unreadable)
        self.count("ok", len(found.certificates))
        self.count("unreadable", len(found.unreadable))
        for name in found.unreadable:
            if name not in self._logged and len(self._logged) < LOGGED:
                self._logged.add(name)
                _log.warning("certificate_unreadable", kind=kind, name=name)

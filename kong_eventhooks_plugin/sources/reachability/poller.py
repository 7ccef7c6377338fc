"""Polls the Admin API's status, and publishes when it becomes unreachable and when it recovers.

What counts as an outage is ``sources.reachability.decision``; it is kept in a note while it lasts, so one that began
before our restart still ends with an event, with its whole duration. Fewer failures are in memory alone.

Kong is asked which node it is once it answers, and every ``NODE_SECONDS``; one that does not say (a Kong that starts
the plugin server answers 500 there) is named by what else is known.

Limit: ``ANSWER_SECONDS`` for an answer. This poller does not back off after failures: its one small request is what
finds the recovery.
"""

import asyncio
import contextlib
from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.settings import DEFAULTS
from kong_eventhooks_plugin.sources.pollers.checkpoint import Checkpoint
from kong_eventhooks_plugin.sources.pollers.leader_gate import LeaderGate
from kong_eventhooks_plugin.sources.pollers.poller import Poller, PollerContext
from kong_eventhooks_plugin.sources.reachability.catalogue import RECOVERED, UNREACHABLE
from kong_eventhooks_plugin.sources.reachability.decision import database_error, error_of, public_url, step
from kong_eventhooks_plugin.sources.reachability.event import outage_event
from kong_eventhooks_plugin.sources.reachability.model import Outage, Reason

REACHABILITY_NOTE: Final = "gateway"
ANSWER_SECONDS: Final = 10.0
NODE_SECONDS: Final = 600.0


class ReachabilitySettings(msgspec.Struct, frozen=True):
    """Seconds between two polls, how many in a row must fail to be an outage, and the polled address, for events."""

    poll_seconds: float = DEFAULTS.gateway_poll_seconds
    failures: int = DEFAULTS.gateway_failures
    admin_url: str = ""


class Outages(msgspec.Struct, frozen=True):
    """The outages now, by reason."""

    now: dict[Reason, Outage] = {}

    def durable(self) -> dict[Reason, float]:
        """Return what a restart must not lose: outages with an event, by when they began."""
        return {reason: outage.since for reason, outage in self.now.items() if outage.counts}


class ReachabilityPoller(Poller):
    def __init__(
        self,
        context: PollerContext,
        gate: LeaderGate,
        settings: ReachabilitySettings | None = None,
    ) -> None:
        super().__init__("status", context, gate)
        self._settings = settings or ReachabilitySettings()
        self._admin_url = public_url(self._settings.admin_url)
        self._checkpoint = Checkpoint(self._notes, REACHABILITY_NOTE, Outages, Outages.durable, self._publisher)
        self._failures: dict[Reason, str | None] = {}
        self._identity = context.node
        self._node_due = 0.0

    def state(self) -> dict[str, Any]:
        """Return what /readyz shows: the errors now, and the outages with an event, by when they began."""
        failures = {reason: error for reason, error in self._failures.items() if error}
        return {**super().state(), "failures": failures, "outages": self._checkpoint.state.durable()}

    def errors(self) -> list[str]:
        now = self._checkpoint.state.now
        return super().errors() + [f"{reason}: {outage.error}" for reason, outage in now.items() if outage.counts]

    async def load(self) -> bool:
        return await self._checkpoint.load()

    async def poll(self) -> bool:
        self._failures = await self._check_status()
        self.count("unanswered" if self._failures["admin_api"] else "ok")
        if await self._update_outages():
            await self._gate.hold(self._gate.jittered(self._settings.poll_seconds))
        return True

    async def _check_status(self) -> dict[Reason, str | None]:
        """Return the error of each reason; what cannot be known is left out."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status = await self._client.get("/status")
        except TimeoutError:
            return {"admin_api": "timeout"}
        except AdminApiError as error:
            return {"admin_api": error_of(error)}
        await self._ask_node()
        return {"admin_api": None, "database": database_error(status)}

    async def _ask_node(self) -> None:
        if self._monotonic() < self._node_due:
            return
        self._node_due = self._monotonic() + NODE_SECONDS
        with contextlib.suppress(AdminApiError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                root = await self._client.get("/")
                self._identity.learn(root.get("node_id"), root.get("hostname"))

    async def _update_outages(self) -> bool:
        now = self._clock()
        outages = dict(self._checkpoint.state.now)
        events: list[Event] = []
        for reason, error in self._failures.items():
            before = outages.pop(reason, None)
            following = step(before, error, now, self._settings.failures, self._identity.node)
            if following.outage:
                outages[reason] = following.outage
            for name, changed in ((UNREACHABLE, following.began), (RECOVERED, following.ended)):
                if changed:
                    events.append(outage_event(name, reason, self._admin_url, changed, now))
        return await self._checkpoint.commit(Outages(outages), events)

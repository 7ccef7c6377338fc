"""Finished requests, recorded and made up; hooks; and stand-ins for the hook book and the queue."""

import asyncio
import json
from asyncio import Future
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from kong_eventhooks_plugin.hooks.contract import DeclarationError, HookChange
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook, Origin
from kong_eventhooks_plugin.model.ids import hook_id
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.queue.contract import HeldBack, Offer, Receipt
from kong_eventhooks_plugin.sources.requests.kong_log import decode
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource

SEEN_AT = 1_795_278_776.25
ORIGIN = Origin(place="file", key="kong.yml", path="kong.yml: plugins[0].config.hooks[0]")


def recorded() -> dict[int, LogObservation]:
    """Every log phase of the recorded proxy traffic that a plugin heard, by line (the first is 0)."""
    text = (files("kong_eventhooks_plugin") / "cli" / "demo" / "proxy-traffic.jsonl").read_text()
    calls = {line: json.loads(row) for line, row in enumerate(text.splitlines())}
    return {
        line: LogObservation(
            plugin=call["plugin"],
            status=call["pdk"]["kong.response.get_status"],
            serialized=json.dumps(call["pdk"]["kong.log.serialize"]),
            seen_at=SEEN_AT,
        )
        for line, call in calls.items()
        if call["call"] == "cmd_handle_event" and call["phase"] == "log"
    }


def serialized(**changes: Any) -> dict[str, Any]:
    """A request that rate-limiting refused, as Kong's log tells it; ``changes`` replace top-level fields."""
    log: dict[str, Any] = {
        "source": "kong",
        "client_ip": "192.0.2.7",
        "started_at": 1_795_278_775_522,
        "upstream_status": "",
        "tries": [],
        "request": {
            "id": "699a6f5b9b02ad58255431437282bb62",
            "method": "GET",
            "uri": "/demo/x?apikey=joekey",
            "url": "http://localhost:8100/demo/x?apikey=joekey",
            "querystring": {"apikey": "joekey"},
            "headers": {"apikey": "joekey", "host": "localhost:8100"},
        },
        "response": {"status": 429, "headers": refused(minute=3)},
        "service": {"id": "s-1", "name": "demo", "host": "127.0.0.1", "port": 9190, "protocol": "http", "path": "/a"},
        "route": {"id": "r-1", "name": "demo-route"},
        "consumer": {"id": "c-1", "username": "Joe", "custom_id": "42", "created_at": 1_795_278_761},
    }
    return log | changes


def refused(retry_after: str = "5", **limits: int) -> dict[str, str]:
    """The headers with which rate-limiting refuses; each named window is used up."""
    headers = {"retry-after": retry_after, "ratelimit-reset": retry_after, "ratelimit-remaining": "0"}
    for window, limit in limits.items():
        headers |= {f"x-ratelimit-limit-{window}": str(limit), f"x-ratelimit-remaining-{window}": "0"}
    return headers


def answered(**changes: Any) -> dict[str, Any]:
    """A request that response-ratelimiting refused after the service had answered."""
    headers = {
        "x-ratelimit-limit-sms-minute": "1",
        "x-ratelimit-remaining-sms-minute": "0",
        "x-ratelimit-remaining-sms": "0",
    }
    return serialized(**({"upstream_status": "200", "response": {"status": 429, "headers": headers}} | changes))


def seen(log: Mapping[str, Any], status: int = 429) -> LogObservation:
    """What the log phase saw of the request."""
    return LogObservation("event-hooks", status, json.dumps(log), SEEN_AT)


def events(source: RequestSource, observation: LogObservation) -> list[Event]:
    """What a source makes of an observation."""
    return source.events(decode(observation.serialized), observation)


def make_hook(name: str = "alert", **fields: Any) -> Hook:
    """A hook on rate-limiting; ``fields`` replace what is given here."""
    given: dict[str, Any] = {
        "id": hook_id(name),
        "source": "rate-limiting",
        "handler": "log",
        "config": {},
        "origin": ORIGIN,
    }
    return Hook(name=name, **(given | fields))


def make_event(**fields: Any) -> Event:
    """An event of rate-limiting; ``fields`` replace what is given here."""
    given: dict[str, Any] = {
        "id": "e-1",
        "source": "rate-limiting",
        "event": "rate-limit-exceeded",
        "data": {"a": 1},
        "time": SEEN_AT,
    }
    return Event(**(given | fields))


class StandInBook:
    """A hook book whose hooks a test sets."""

    def __init__(self, *hooks: Hook) -> None:
        self._hooks = {hook.id: hook for hook in hooks}
        self._listener: list[Callable[[list[HookChange]], None]] = []
        self.loaded = True

    def hooks(self) -> Mapping[str, Hook]:
        return self._hooks

    def get(self, hook_id: str) -> Hook | None:
        return self._hooks.get(hook_id)

    def resolved(self, hook: Hook) -> Mapping[str, Any]:
        return hook.config

    async def refreshed(self, hook: Hook) -> Mapping[str, Any]:
        return hook.config

    def errors(self) -> list[DeclarationError]:
        return []

    def on_change(self, heard: Callable[[list[HookChange]], None]) -> None:
        self._listener.append(heard)

    def change(self, *hooks: Hook) -> None:
        self._hooks = {hook.id: hook for hook in hooks}
        for heard in self._listener:
            heard([])


class StandInQueue:
    """Takes offers and commits each when the test says so; ``refusal`` is raised instead of taking one."""

    def __init__(self) -> None:
        self.offers: list[Offer] = []
        self.futures: list[Future[Receipt]] = []
        self.refusal: Exception | None = None

    def offer(self, offer: Offer) -> "Future[Receipt]":
        if self.refusal is not None:
            raise self.refusal
        future: Future[Receipt] = asyncio.get_running_loop().create_future()
        self.offers.append(offer)
        self.futures.append(future)
        return future

    async def commit(self, at: int = 0, *, duplicate: bool = False, **held_back: HeldBack) -> None:
        """Commit an offer; ``held_back`` is the name of a hook (made by ``make_hook``) and the reason."""
        offer = self.offers[at]
        reasons = {hook_id(name): reason for name, reason in held_back.items()}
        fired = tuple(each.hook_id for each in offer.candidates if each.hook_id not in reasons)
        self.futures[at].set_result(Receipt(offer.event.id, duplicate, fired, reasons))
        await asyncio.sleep(0)

    async def fail(self, error: Exception, at: int = 0) -> None:
        """Let the commit of an offer fail."""
        self.futures[at].set_exception(error)
        await asyncio.sleep(0)

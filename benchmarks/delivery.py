"""Deliveries per CPU second of the delivering process, and from queue to receiver.

``python benchmarks/delivery.py [--at-once 32 64] [--runs 5] [--requests 3000] [--deliveries 5000]``

Part one, the HTTP client (decision 12): the same signed POST by httpx alone, httpx over the package httpx-aiohttp (left
out where it is not installed), our client alone, our webhook handler with all that it does, and aiohttp alone;
in turns, in one run, against a receiver in a process of its own. The median of the runs counts, and its ratio to
aiohttp alone.

Part two, the whole way: events accepted by the SQLite queue, claimed, posted, settled durably; per CPU second of
this process (the queue's thread included) and per second; then again while other hooks' endpoints hang, and with every
delivery traced: two spans each, sent to the receiver as if it were a collector.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import msgspec
import structlog
import uvloop

from kong_eventhooks_plugin.delivery.delivery_spans import DeliverySpans
from kong_eventhooks_plugin.delivery.worker import DeliveryWorker
from kong_eventhooks_plugin.handlers.contract import DeliveryJob
from kong_eventhooks_plugin.handlers.http_client import Client, HttpAnswer, HttpClient, HttpRequest
from kong_eventhooks_plugin.handlers.target_url import parse_target
from kong_eventhooks_plugin.handlers.webhook import WebhookHandler
from kong_eventhooks_plugin.hooks.contract import HookChange
from kong_eventhooks_plugin.model.delivery import Delivered
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook, Origin
from kong_eventhooks_plugin.model.trace import begin_trace
from kong_eventhooks_plugin.queue.contract import Candidate, Offer
from kong_eventhooks_plugin.queue.sqlite.engine import SqliteQueue
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from kong_eventhooks_plugin.telemetry.span_export import SpanExport, otlp_exporter

DATA = {
    "consumer": {"id": "9a3ef8b2-6c0e-4f6c-8f5e-000000000001", "username": "Joe"},
    "ip": "192.0.2.7",
    "service": {"id": "9a3ef8b2-6c0e-4f6c-8f5e-000000000002", "name": "demo"},
    "rate": 6,
    "limit": 5,
    "window": "minute",
}
SECRET = "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="
Send = Callable[[], Awaitable[Any]]


# ---- the receiver, in a process of its own ----


class Receive(asyncio.Protocol):
    """Answers 200 to whatever is posted, as fast as Python can; on the path /hang it answers nothing."""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            start = head.find(b"content-length:")
            length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
            if len(self.buffer) < end + 4 + length or head.startswith(b"post /hang"):
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok")


async def receive() -> None:
    """Listen on two ports until killed: one to answer on, one to hang on."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Receive, "127.0.0.1", 0) for _ in range(2)]
    print(*[server.sockets[0].getsockname()[1] for server in servers], flush=True)
    await asyncio.Event().wait()


# ---- part one: the client ----


def job(url: str) -> DeliveryJob:
    """Return a first attempt of a webhook's delivery."""
    hook = make_hook("bench", url)
    return DeliveryJob("e_h", make_event(0), "rate-limiting", hook, hook.config, 1, time.time())


def make_hook(name: str, url: str) -> Hook:
    """Return a signed webhook."""
    config = {"url": url, "secret": SECRET, "ssl_verify": True}
    return Hook(name, name, "rate-limiting", "webhook", config, Origin("file", "x", "x"))


def make_event(number: int) -> Event:
    """Return a broken rate limit."""
    return Event(f"{number:032x}", "rate-limiting", "rate-limit-exceeded", DATA, time.time())


async def posted_once(url: str) -> tuple[dict[str, str], bytes]:
    """Return what our handler posts, so that all candidates post the same."""
    seen: list[HttpRequest] = []

    class Keep(Client):
        async def send(self, request: HttpRequest) -> HttpAnswer:
            seen.append(request)
            return HttpAnswer(200)

    await WebhookHandler(Keep()).deliver(job(url))
    return {name.decode(): value.decode() for name, value in seen[0].headers.items()}, seen[0].body


@asynccontextmanager
async def httpx_alone(url: str, headers: dict[str, str], body: bytes, at_once: int) -> AsyncIterator[Send]:
    """Make httpx as it is."""
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(trust_env=False, limits=limits) as client:
        yield lambda: client.post(url, content=body, headers=headers)


@asynccontextmanager
async def httpx_aiohttp(url: str, headers: dict[str, str], body: bytes, at_once: int) -> AsyncIterator[Send]:
    """Make httpx over the package that does what our engine does."""
    from httpx_aiohttp import AiohttpTransport

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once))
    async with httpx.AsyncClient(trust_env=False, transport=AiohttpTransport(client=session)) as client:
        yield lambda: client.post(url, content=body, headers=headers)


@asynccontextmanager
async def our_client(url: str, headers: dict[str, str], body: bytes, at_once: int) -> AsyncIterator[Send]:
    """Make the client that all our handlers use."""
    client, target = HttpClient(Metrics()), parse_target(url)
    raw = {name.encode(): value.encode() for name, value in headers.items()}

    async def send() -> None:
        await client.send(HttpRequest("POST", target.origin, target.host, target.path, raw, body))

    yield send
    await client.close()


@asynccontextmanager
async def our_handler(url: str, headers: dict[str, str], body: bytes, at_once: int) -> AsyncIterator[Send]:
    """Make all that a delivery costs: body, signatures, the answer kept."""
    handler = WebhookHandler(HttpClient(Metrics()))
    one = job(url)

    async def send() -> None:
        assert isinstance(await handler.deliver(one), Delivered)

    yield send
    await handler.close()


@asynccontextmanager
async def aiohttp_alone(url: str, headers: dict[str, str], body: bytes, at_once: int) -> AsyncIterator[Send]:
    """Make aiohttp as it is."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:

        async def send() -> None:
            async with session.post(url, data=body, headers=headers) as answer:
                await answer.read()

        yield send


CANDIDATES = {
    "httpx alone": httpx_alone,
    "httpx over httpx-aiohttp": httpx_aiohttp,
    "our client": our_client,
    "our webhook handler": our_handler,
    "aiohttp alone": aiohttp_alone,
}


async def rate(candidate: Any, url: str, at_once: int, requests: int) -> float:
    """Return requests per CPU second of this process."""
    headers, body = await posted_once(url)
    async with candidate(url, headers, body, at_once) as send:
        await drive(send, at_once, at_once * 2)
        started = time.process_time()
        await drive(send, at_once, requests)
        return requests / (time.process_time() - started)


async def drive(send: Send, at_once: int, requests: int) -> None:
    """Send so many requests, so many at once."""
    numbers = iter(range(requests))

    async def one_after_another() -> None:
        for _ in numbers:
            await send()

    await asyncio.gather(*[one_after_another() for _ in range(at_once)])


def clients(url: str, at_once: int, runs: int, requests: int) -> None:
    """Run part one and print it."""
    print(f"\nrequests per CPU second, {at_once} at once, median of {runs} runs (least to most)")
    rates: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for _ in range(runs):
        for name, candidate in CANDIDATES.items():
            # httpx alone is many times slower; it gets fewer, so that a run stays short.
            count = requests // 10 if name == "httpx alone" else requests
            try:
                rates[name].append(uvloop.run(rate(candidate, url, at_once, count)))
            except ModuleNotFoundError:
                continue
    best = statistics.median(rates["aiohttp alone"])
    for name, seen in rates.items():
        if seen:
            middle = statistics.median(seen)
            print(f"  {name:<26}{middle:>8,.0f}  {middle / best:5.2f}  ({min(seen):,.0f} to {max(seen):,.0f})")


# ---- part two: from queue to receiver ----


class Book:
    """The hooks of the benchmark."""

    def __init__(self, *hooks: Hook) -> None:
        self._hooks = {hook.id: hook for hook in hooks}

    loaded = True

    def hooks(self) -> dict[str, Hook]:
        """Return all."""
        return self._hooks

    def get(self, hook_id: str) -> Hook | None:
        """Return one."""
        return self._hooks.get(hook_id)

    def resolved(self, hook: Hook) -> dict[str, Any]:
        """Return its config: nothing is a reference."""
        return hook.config

    def errors(self) -> list[Any]:
        """Return none."""
        return []

    def on_change(self, heard: Callable[[list[HookChange]], None]) -> None:
        """Nothing changes."""


async def whole_way(url: str, hanging_url: str, deliveries: int, hanging: int, traced: bool) -> tuple[float, float]:
    """Return deliveries per CPU second and per second, with so many hooks whose endpoints hang."""
    hook = make_hook("bench", url)
    stuck = [make_hook(f"stuck-{number}", hanging_url) for number in range(hanging)]
    metrics = Metrics()
    handler = WebhookHandler(HttpClient(metrics))
    export = SpanExport(otlp_exporter(url.removesuffix("/hook"), {}), metrics.counts) if traced else None
    spans = None if export is None else DeliverySpans(export.record)
    with tempfile.TemporaryDirectory() as directory:
        queue = SqliteQueue(Path(directory) / "events.db")
        await queue.open()
        worker = DeliveryWorker(queue, Book(hook, *stuck), {"webhook": handler}, metrics, holder="bench", spans=spans)
        candidates = (Candidate(hook.id, hook.source),)
        for each in stuck:
            await queue.offer(Offer(make_event(deliveries + hash(each.id)), (Candidate(each.id, each.source),)))
        events = [make_event(number) for number in range(deliveries)]
        if traced:
            events = [msgspec.structs.replace(event, trace=begin_trace(None, 1.0, event.time)) for event in events]
        await asyncio.gather(*[queue.offer(Offer(event, candidates)) for event in events])
        started, cpu = time.perf_counter(), time.process_time()
        running = asyncio.create_task(worker.run())
        while (await queue.stats()).depth.get("delivered", 0) < deliveries:  # noqa: ASYNC110 - as a person would look
            await asyncio.sleep(0.02)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        running.cancel()
        await asyncio.wait([running])
        await handler.close()
        await queue.close()
        if export is not None:
            await export.close()
            assert metrics.counts.spans == {("exported",): 2 * deliveries}, metrics.counts.spans
    return deliveries / cpu, deliveries / seconds


def end_to_end(url: str, hanging_url: str, deliveries: int, runs: int) -> None:
    """Run part two and print it."""
    print(
        f"\nfrom the queue to the receiver, {deliveries:,} deliveries of one hook (8 in flight), median of {runs} runs"
    )
    cases = (("all endpoints answer", 0, False), ("30 other endpoints hang", 30, False), ("traced", 0, True))
    for name, hanging, traced in cases:
        seen = [uvloop.run(whole_way(url, hanging_url, deliveries, hanging, traced)) for _ in range(runs)]
        per_cpu, per_second = (statistics.median(column) for column in zip(*seen, strict=True))
        print(f"  {name:<26}{per_cpu:>8,.0f} a CPU second  {per_second:>8,.0f} a second")


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=3_000)
    parser.add_argument("--deliveries", type=int, default=5_000)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.receive:
        uvloop.run(receive())
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    command = [sys.executable, __file__, "--receive"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        port, hanging_port = receiver.stdout.readline().split()
        url, hanging_url = f"http://127.0.0.1:{port}/hook", f"http://127.0.0.1:{hanging_port}/hang"
        try:
            for at_once in chosen.at_once:
                clients(url, at_once, chosen.runs, chosen.requests)
            end_to_end(url, hanging_url, chosen.deliveries, chosen.runs)
        finally:
            receiver.terminate()


if __name__ == "__main__":
    main()

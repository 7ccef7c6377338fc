"""What a whole sidecar does, as ratios in one run.

``python benchmarks/figures.py [latency] [recovery] [memory] [day] [--runs 3] [--seconds 10] [--hours 24]``

==========  ========================================================================================  =================
figure      what is measured                                                                          goal
==========  ========================================================================================  =================
latency     p50 and p99 from a request's report on the plugin socket to its webhook at the receiver,  p99 of the others
            500 a second for twenty hooks, alone and while one of the twenty endpoints hangs; by      at most 1.5 times
            turns, ``--runs`` each                                                                    that of alone
recovery    from ``kill -9`` of the worker to the next webhook, 100,000 deliveries pending            under 5 s
memory      the largest RSS of supervisor and worker with 1,000,000 deliveries pending, which they    under 250 MB
            deliver, list and count
day         ``--hours`` of 50 events a second by a clock of ours, as fast as it goes: the store's     both flat
            size, p50 and p99 from an event's offer to its handler, and CPU, in each of 24 parts
==========  ========================================================================================  =================

``latency``, ``recovery`` and ``memory`` run ``serve`` and a receiver, each in processes of its own; ``day`` has the
queue, the delivery worker and the sweeps in this one, and a handler that has delivered at once.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import structlog
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))
from live import Clock, KongNode, Log, Receiver, Sidecar, Traffic, hook, kong_yml, over_socket, until

from kong_eventhooks_plugin.delivery.worker import DeliveryWorker
from kong_eventhooks_plugin.handlers.contract import DeliveryJob
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Outcome
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id, hook_id
from kong_eventhooks_plugin.queue.contract import Candidate, Offer, QueueLimits
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.delivery_time import FakeTime
from tests.support.delivery_world import Book, ScriptedHandler, scripted_hook

SERVICES = [f"service-{number}" for number in range(20)]
RATE = 500
SETTLING_SECONDS = 3.0
"""What is sent in the first seconds, while caches and connections are new, does not count."""
DAY_PARTS = 24
DATA = {"consumer": {"id": "b3f3a9d0-93a4-4f0e-9a3c-2a3c27ffdf41", "username": "alice"}, "rate": 6, "limit": 5}


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share lies."""
    return sorted(values)[int(share * (len(values) - 1))]


# ---- latency ----


@contextmanager
def serving(directory: Path, yml: str, *flags: str) -> Iterator[Sidecar]:
    """Run a sidecar, over a store that may be there."""
    data = directory / "data"
    data.mkdir(exist_ok=True)
    sidecar = Sidecar(directory, data, Clock(directory / "clock"), yml, *flags)
    try:
        sidecar.ready()
        until(lambda: sidecar.log("delivery_lease_acquired"), "it delivers", pace=0.01)
        yield sidecar
    finally:
        sidecar.stop()


async def latencies(seconds: float, *, hanging: bool) -> list[float]:
    """Return the milliseconds from report to receiver of the nineteen that answer."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        receiver = Receiver(directory / "arrived", ports=len(SERVICES))
        hung = Receiver(directory / "hung", hang=True)
        urls = [*receiver.urls[1:], hung.urls[0] if hanging else receiver.urls[0]]
        hooks = {service: hook(service, url, "rate-limiting") for service, url in zip(SERVICES, urls, strict=True)}
        log = Log(SERVICES)
        try:
            with serving(directory, kong_yml([], hooks)) as sidecar:
                over = asyncio.Event()
                async with KongNode(sidecar.path) as node:
                    traffic = Traffic(over_socket(node, log), RATE)
                    sending = asyncio.create_task(traffic.run(over))
                    await asyncio.sleep(SETTLING_SECONDS + seconds)
                    over.set()
                    await sending
                    assert node.played.lost == []
                counted = log.keys_of(SERVICES[:-1])
                arrived: dict[str, float] = {}
                until(lambda: _all_of(receiver, arrived, counted), "all arrive")
        finally:
            receiver.kill()
            hung.kill()
        starts = min(at for at, _ in traffic.accepted.values()) + SETTLING_SECONDS
        sent = {key: at for key, (at, _) in traffic.accepted.items() if at >= starts and key in counted}
        return [(arrived[key] - at) * 1000 for key, at in sent.items()]


def _all_of(receiver: Receiver, arrived: dict[str, float], keys: set[str]) -> bool:
    for at, _, key in receiver.news():
        arrived.setdefault(key, at)
    return keys <= arrived.keys()


def latency(options: argparse.Namespace) -> None:
    """Measure by turns and print."""
    print(
        f"\nreport to receiver, {RATE} a second over the socket, {len(SERVICES)} hooks; ms, medians of {options.runs}"
    )
    seen: dict[bool, list[list[float]]] = {False: [], True: []}
    for _ in range(options.runs):
        for hanging in seen:
            values = uvloop.run(latencies(options.seconds, hanging=hanging))
            seen[hanging].append([percentile(values, share) for share in (0.5, 0.99, 1.0)])
    middles = {
        hanging: [statistics.median(column) for column in zip(*runs, strict=True)] for hanging, runs in seen.items()
    }
    for hanging, text in ((False, "all answer"), (True, "one of twenty hangs")):
        p50, p99, most = middles[hanging]
        each = ", ".join(f"{run[1]:.1f}" for run in seen[hanging])
        print(f"  {text:<22} p50 {p50:6.1f}  p99 {p99:6.1f} (each run: {each})  longest {most:6.1f}")
    ratio = middles[True][1] / middles[False][1]
    print(f"  p99 hanging / alone: {ratio:.2f} (goal 1.5: {'reached' if ratio <= 1.5 else 'NOT reached'})")


# ---- recovery and memory ----


async def filled(directory: Path, names: list[str], each: int) -> None:
    """Make a store with so many deliveries pending for each hook."""
    (directory / "data").mkdir()
    queue = SqliteQueue(directory / "data" / "events.db", QueueLimits(deliveries=10**7, deliveries_per_hook=10**7))
    await queue.open()
    ids, now = [hook_id(name) for name in names], time.time()
    for start in range(0, each, 256):
        offers = []
        for number in range(start, min(each, start + 256)):
            for hook_number, one in enumerate(ids):
                key = f"{hook_number * each + number:032x}"
                event = Event(event_id(now, key), "custom", "filled", {**DATA, "id": key}, now)
                offers.append(queue.offer(Offer(event, (Candidate(one, "custom"),))))
        await asyncio.gather(*offers)
    await queue.close()


def custom_hooks(receiver: Receiver, names: list[str]) -> str:
    """Return a kong.yml with hooks that nothing but the filled store concerns."""
    return kong_yml([hook(name, url, "custom") for name, url in zip(names, receiver.urls, strict=True)], {})


def next_webhook(receiver: Receiver, killed: float) -> float:
    """Return when the next one arrived; what the killed one had sent is read sooner than any worker has started."""
    arrived = until(lambda: [at for at, *_ in receiver.news() if at > killed + 0.2], "it delivers again", pace=0.001)
    return arrived[0]


def recovery(options: argparse.Namespace) -> None:
    """Kill, wait, print."""
    names, each = SERVICES[:10], options.pending // 10
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        # More than are to be pending: some are delivered before the kill.
        uvloop.run(filled(directory, names, each + each // 10))
        receiver = Receiver(directory / "arrived", ports=len(names))
        seen = []
        try:
            with serving(directory, custom_hooks(receiver, names)) as sidecar:
                for _ in range(options.runs):
                    until(receiver.news, "it delivers", pace=0.001)
                    before, killed = sidecar.workers, time.time()
                    os.kill(sidecar.worker, 9)
                    seen.append(next_webhook(receiver, killed) - killed)
                    sidecar.ready(before)
                pending = sidecar.pending()
        finally:
            receiver.kill()
    worst = max(seen)
    print(f"\nkill -9 to the next webhook, {pending:,} deliveries pending after {options.runs} kills")
    print(f"  {', '.join(f'{value:.2f}' for value in seen)} s (goal 5: {'reached' if worst < 5 else 'NOT reached'})")


def memory(options: argparse.Namespace) -> None:
    """Fill, serve, look."""
    names, each = SERVICES[:10], options.million // 10
    flags = ("--queue-deliveries=2000000", "--queue-deliveries-per-hook=200000")
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        uvloop.run(filled(directory, names, each + 2_000))
        size = (directory / "data" / "events.db").stat().st_size / 1e6
        receiver = Receiver(directory / "arrived", ports=len(names))
        try:
            with serving(directory, custom_hooks(receiver, names), *flags) as sidecar:
                ends = time.monotonic() + options.seconds
                while time.monotonic() < ends and sidecar.pending() > options.million:
                    sidecar.get("/deliveries?size=1000")
                    sidecar.get("/metrics")
                pending, found = sidecar.pending(), sidecar.memory()
        finally:
            receiver.kill()
    total = sum(found.values())
    parts = ", ".join(f"{name} {value:.0f}" for name, value in found.items())
    print(f"\nlargest RSS with {pending:,} deliveries pending (the store: {size:,.0f} MB)")
    print(f"  {total:.0f} MB: {parts} (goal 250: {'reached' if total < 250 else 'NOT reached'})")


# ---- a day ----


class AtOnce(ScriptedHandler):
    """Has delivered as soon as it is called; ``called`` is told which event."""

    def __init__(self, called: Callable[[str], None]) -> None:
        super().__init__()
        self._called = called

    async def deliver(self, job: DeliveryJob) -> Outcome:
        """Deliver nothing, nowhere."""
        self._called(job.event.id)
        return Delivered(Answer(200, b"ok"))


class Day:
    """A store and a delivery worker that live by a clock of ours."""

    def __init__(self, queue: SqliteQueue, clock: FakeTime) -> None:
        self.queue, self.clock = queue, clock
        self.hooks = [scripted_hook(name) for name in SERVICES]
        self.offered: dict[str, float] = {}
        self.took: list[float] = []
        self.idle = asyncio.Event()
        self.handler = AtOnce(self.called)
        self.worker = DeliveryWorker(
            queue, Book(*self.hooks), {"scripted": self.handler}, Metrics(), holder="day", clock=clock, wait=clock.wait
        )  # fmt: skip

    def called(self, event: str) -> None:
        """Note how long an event took."""
        self.took.append((time.perf_counter() - self.offered.pop(event)) * 1000)
        if not self.offered:
            self.idle.set()

    async def second(self, number: int, per_second: int) -> None:
        """Offer a second's events, and wait until all are handled."""
        now, offers = self.clock(), []
        self.idle.clear()
        for each in range(per_second):
            one = self.hooks[each % len(self.hooks)]
            event = Event(event_id(now, f"{number} {each}"), "rate-limiting", "rate-limit-exceeded", DATA, now)
            self.offered[event.id] = time.perf_counter()
            offers.append(self.queue.offer(Offer(event, (Candidate(one.id, one.source),))))
        await asyncio.gather(*offers)
        await self.idle.wait()
        self.clock.advance(1.0)


def megabytes(folder: Path) -> float:
    """Return the size of a store with its log."""
    return sum(each.stat().st_size for each in folder.glob("events.db*")) / 1e6


async def simulated(hours: float, per_second: int, keep: int) -> None:
    """Live so many hours; print each of their parts."""
    part = max(1, int(hours * 3600 / DAY_PARTS))
    with tempfile.TemporaryDirectory() as made:
        file, clock = Path(made) / "events.db", FakeTime()
        queue = SqliteQueue(file, QueueLimits(settled_count=keep), clock)
        await queue.open()
        day = Day(queue, clock)
        running = asyncio.create_task(day.worker.run())
        while not day.worker.leading:  # noqa: ASYNC110 - as a person would look
            await asyncio.sleep(0.01)
        parts: list[tuple[float, float]] = []
        used = time.process_time()
        for number in range(1, part * DAY_PARTS + 1):
            await day.second(number, per_second)
            if number % 10 == 0:
                await queue.sweep()
            if number % part == 0:
                before, used = used, time.process_time()
                cpu = (used - before) / len(day.took) * 1e6
                p50, p99 = (percentile(day.took, share) for share in (0.5, 0.99))
                parts.append((p99, size := megabytes(Path(made))))
                told = f"p50 {p50:5.1f}  p99 {p99:5.1f} ms  CPU {cpu:5.0f} us an event  store {size:6.1f} MB"
                print(f"  until {timedelta(seconds=number)!s:>8}: {told}", flush=True)
                day.took.clear()
        running.cancel()
        await asyncio.wait([running])
        await queue.close()
    second, last = parts[1], parts[-1]
    print(f"  last part / second: p99 {last[0] / second[0]:.2f}, store {last[1] / second[1]:.2f}")


def day(options: argparse.Namespace) -> None:
    """Print a day."""
    print(f"\n{options.hours:g} hours of 50 events a second, offer to handler")
    uvloop.run(simulated(options.hours, 50, options.keep))


FIGURES = {"latency": latency, "recovery": recovery, "memory": memory, "day": day}


def main() -> None:
    """Measure what is named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--pending", type=int, default=100_000)
    parser.add_argument("--million", type=int, default=1_000_000)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--keep", type=int, default=100_000, help="settled deliveries that the store keeps in the day")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    for name in options.figures or FIGURES:
        FIGURES[name](options)


if __name__ == "__main__":
    main()

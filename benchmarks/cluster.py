"""What it costs that nodes share a PostgreSQL, as ratios in one run, and what happens when a part of it goes.

``python benchmarks/cluster.py [cpu] [latency] [takeover] [outage] [--runs 3] [--seconds 8] [--system NAME ...]``

========  ===========================================================================================  ================
figure    what is measured                                                                             goal
========  ===========================================================================================  ================
cpu       events accepted and delivered per CPU second of the nodes, as fast as 64 calls at a time     one node over
          go, by one node with its file (SQLite), one node over PostgreSQL, and three; PostgreSQL's    PostgreSQL 0.6 of
          own CPU for an event; bytes an event in its tables and its log. By turns, ``--runs`` each    one with a file
latency   p50 and p99 from a request's report on a plugin socket to its webhook at the receiver, 300   p99 of three
          a second for all nodes together, by the same three; CPU for an event at this rate            under 100 ms
takeover  three nodes that share six hooks out among them, one is killed: until of what the others     under 15 s
          accepted after that something has arrived for every hook
outage    three nodes at 300 a second, PostgreSQL stopped for ``--outage`` seconds: from its start     under 60 s
          to the arrival of everything that was accepted before
========  ===========================================================================================  ================

Nodes are ``serve`` as it is, PostgreSQL a server of Debian's on this machine with its defaults, durable, over a unix
socket; six hooks, an event fires one of them. Receiver, nodes, PostgreSQL and, in ``cpu``, what calls are processes of
their own. Each turn begins with empty stores. CPU is user and system time, of all of a node's processes.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Self

import psycopg
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))
from live import KongNode, Log, Receiver, Traffic, hook, kong_yml, over_socket
from processes import cpu, cpu_with_ended

from tests.cluster.nodes import Node
from tests.support import postgres
from tests.support.processes import Processes

DRIVER = Path(__file__).resolve().parent / "support" / "driver.py"
SERVICES = [f"service-{number}" for number in range(6)]
SETTINGS = ("max_connections=60", "log_min_messages=fatal")
RATE = 300.0
IN_FLIGHT = 64
BURST_SECONDS = 3.0
WARM_UP_SECONDS = 1.0
SETTLING_SECONDS = 3.0
"""What is sent in the first seconds, while caches and connections are new, does not count."""
QUIET_SECONDS = 0.5
PATIENCE = 100.0
SIZES = """
SELECT relname, pg_total_relation_size(c.oid) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE nspname = 'kong_event_hooks' AND relkind = 'r' AND relname IN ('events', 'deliveries', 'attempts')
"""


class System(NamedTuple):
    """What a figure compares."""

    nodes: int
    shared: bool


SYSTEMS = {
    "sqlite": System(1, shared=False),
    "postgresql": System(1, shared=True),
    "three": System(3, shared=True),
}
NAMES = {"sqlite": "one node, SQLite", "postgresql": "one node, PostgreSQL", "three": "three nodes, PostgreSQL"}


class Live:
    """A system that runs: its nodes, its PostgreSQL, its receiver, and what arrived when."""

    def __init__(self, nodes: Sequence[Node], store: postgres.Cluster | None, receiver: Receiver) -> None:
        self.nodes = nodes
        self.store = store
        self.receiver = receiver
        self.arrived: dict[str, float] = {}

    def read(self) -> int:
        """Return how many events have arrived."""
        for at, _, key in self.receiver.news():
            self.arrived.setdefault(key, at)
        return len(self.arrived)

    async def all_of(self, keys: set[str]) -> None:
        """Wait until these have arrived."""
        async with asyncio.timeout(PATIENCE):
            while self.read() < len(keys) or not keys <= self.arrived.keys():  # noqa: ASYNC110 - a file is read
                await asyncio.sleep(0.02)

    async def quiet(self, least: int) -> None:
        """Wait until so many have arrived and no more come."""
        async with asyncio.timeout(PATIENCE):
            count, since = self.read(), time.monotonic()
            while count < least or time.monotonic() - since < QUIET_SECONDS:
                await asyncio.sleep(0.05)
                if (now := self.read()) != count:
                    count, since = now, time.monotonic()

    def cpu(self) -> tuple[float, float]:
        """Return the CPU seconds of the nodes, and of PostgreSQL."""
        pid = None if self.store is None else self.store.pid
        return sum(cpu(node.running.pid) for node in self.nodes), 0.0 if pid is None else cpu_with_ended(pid)

    def sizes(self) -> tuple[dict[str, int], int]:
        """Return the bytes of the tables with their indexes, and of the log so far."""
        assert self.store is not None
        with psycopg.connect(self.store.url()) as connection:
            (position,) = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint").fetchone()
            return dict(connection.execute(SIZES).fetchall()), position


@asynccontextmanager
async def running(system: System) -> AsyncIterator[Live]:
    """Start it all over empty stores; everybody knows the hooks and somebody delivers."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = None
        if system.shared:
            programs = postgres.binaries()
            assert programs is not None, "there is no PostgreSQL: install Debian's package postgresql"
            store = stack.enter_context(postgres.cluster(programs, SETTINGS))
        receiver = Receiver(folder / "arrived", ports=len(SERVICES))
        stack.callback(receiver.kill)
        urls = dict(zip(SERVICES, receiver.urls, strict=True))
        declared = folder / "kong.yml"
        declared.write_text(kong_yml([], {name: hook(name, url, "rate-limiting") for name, url in urls.items()}))
        processes = stack.enter_context(Processes())
        url = None if store is None else store.url()
        nodes = [Node(f"node-{number}", folder, url, declared, processes) for number in range(system.nodes)]
        for node in nodes:
            stack.push_async_callback(node.close)
        await asyncio.gather(*(node.start() for node in nodes))
        for node in nodes:
            await node.reaches(hooks=len(SERVICES), status="ready")
        for node in nodes:
            await node.reaches(delivering=True)
        yield Live(nodes, store, receiver)


# ---- cpu ----


class Burst(NamedTuple):
    """One turn: events a CPU second of the nodes, microseconds of CPU an event, bytes an event."""

    per_cpu_second: float
    node: float
    store: float
    per_second: float
    tables: float
    wal: float


async def burst(system: System) -> Burst:
    """Have the nodes called for some seconds, after a warm-up."""
    async with running(system) as live:
        await called(live, WARM_UP_SECONDS, 0)
        tables, wal = ({"": 0}, 0) if live.store is None else live.sizes()
        before, (node, store), began = len(live.arrived), live.cpu(), time.monotonic()
        await called(live, BURST_SECONDS, 1)
        events, took = len(live.arrived) - before, time.monotonic() - began - QUIET_SECONDS
        node, store = (now - then for now, then in zip(live.cpu(), (node, store), strict=True))
        if live.store is not None:
            tables_after, wal_after = live.sizes()
            grown, written = sum(tables_after.values()) - sum(tables.values()), wal_after - wal
        else:
            grown = written = 0
    return Burst(
        events / node, node / events * 1e6, store / events * 1e6, events / took, grown / events, written / events
    )


async def called(live: Live, seconds: float, turn: int) -> None:
    """Call all nodes as fast as they answer; return when everything that they accepted has arrived."""
    drivers = []
    for number, node in enumerate(live.nodes):
        first = (turn * len(live.nodes) + number) << 40
        words = ["protobuf", str(node.socket), "durable", str(IN_FLIGHT // len(live.nodes)), str(seconds), str(first)]
        command = [sys.executable, str(DRIVER), *words, *SERVICES]
        drivers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))  # noqa: ASYNC220 - it returns at once
    before, answered = len(live.arrived), 0
    for driver in drivers:
        output, _ = await asyncio.to_thread(driver.communicate)
        assert driver.returncode == 0
        answered += int(output.split()[-1])
    await live.quiet(before + answered)


async def cpus(options: argparse.Namespace) -> None:
    """Measure by turns and print."""
    seen: dict[str, list[Burst]] = {name: [] for name in options.system}
    for _ in range(options.runs):
        for name, turns in seen.items():
            turns.append(await burst(SYSTEMS[name]))
    print(f"\nas fast as {IN_FLIGHT} calls at a time go; medians of {options.runs} (least to most)")
    print(f"{'':25}{'events/CPU s':>20}{'node µs':>9}{'PostgreSQL µs':>15}{'events/s':>10}{'B tables':>10}{'B WAL':>8}")
    for name, turns in seen.items():
        per_cpu, node, store, per_second, tables, wal = (statistics.median(each) for each in zip(*turns, strict=True))
        rates = [turn.per_cpu_second for turn in turns]
        text = f"{per_cpu:,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
        print(f"{NAMES[name]:25}{text:>20}{node:9,.0f}{store:15,.0f}{per_second:10,.0f}{tables:10,.0f}{wal:8,.0f}")
    for name in ("postgresql", "three"):
        if {"sqlite", name} <= seen.keys():
            pairs = zip(seen[name], seen["sqlite"], strict=True)
            ratios = sorted(ours.per_cpu_second / file.per_cpu_second for ours, file in pairs)
            print(f"{NAMES[name]} / one node, SQLite: {', '.join(f'{ratio:.2f}' for ratio in ratios)} (reach 0.6)")


# ---- latency ----


class Traffics:
    """Events at a steady rate through the sockets of nodes; ``async with`` sends until its end."""

    def __init__(self, nodes: Sequence[Node], rate: float) -> None:
        self._nodes = nodes
        self._rate = rate / len(nodes)
        self._over = asyncio.Event()
        self._closing = AsyncExitStack()
        self._traffics: list[Traffic] = []
        self._sending: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for node in self._nodes:
            kong: KongNode = await self._closing.enter_async_context(node.kong())
            self._traffics.append(Traffic(over_socket(kong, Log(SERVICES)), self._rate))
        self._sending = [asyncio.create_task(each.run(self._over)) for each in self._traffics]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await asyncio.gather(*self._sending)
        await self._closing.aclose()

    def accepted(self, since: float = 0.0, until: float = float("inf")) -> dict[str, float]:
        """Return what was accepted of what was reported in that time, and when it was reported."""
        found: dict[str, float] = {}
        for traffic in self._traffics:
            found |= {key: at for key, (at, _) in traffic.accepted.items() if since <= at < until}
        return found


async def steady(system: System, seconds: float) -> tuple[list[float], float, float]:
    """Return the milliseconds of each event, and the CPU microseconds of nodes and PostgreSQL for one."""
    async with running(system) as live:
        async with Traffics(live.nodes, RATE) as traffics:
            await asyncio.sleep(SETTLING_SECONDS)
            since, before = time.time(), live.cpu()
            await asyncio.sleep(seconds)
            node, store = (now - then for now, then in zip(live.cpu(), before, strict=True))
            until = time.time()
        sent = traffics.accepted(since, until)
        await live.all_of(set(sent))
        late = [(live.arrived[key] - at) * 1_000 for key, at in sent.items()]
        return late, node / len(sent) * 1e6, store / len(sent) * 1e6


async def latency(options: argparse.Namespace) -> None:
    """Measure by turns and print."""
    seen: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in options.system}
    for _ in range(options.runs):
        for name, turns in seen.items():
            late, node, store = await steady(SYSTEMS[name], options.seconds)
            late.sort()
            turns.append((late[len(late) // 2], late[len(late) * 99 // 100], node, store))
    print(
        f"\n{RATE:g} a second, report to receiver; ms, medians of {options.runs} (p99 least to most); CPU for an event"
    )
    print(f"{'':25}{'p50':>7}{'p99':>24}{'node µs':>9}{'PostgreSQL µs':>15}")
    for name, turns in seen.items():
        half, most, node, store = (statistics.median(each) for each in zip(*turns, strict=True))
        all_most = [turn[1] for turn in turns]
        text = f"{most:.1f} ({min(all_most):.1f} to {max(all_most):.1f})"
        print(f"{NAMES[name]:25}{half:7.1f}{text:>24}{node:9,.0f}{store:15,.0f}")


# ---- takeover ----


async def takeover_once() -> float:
    """Return the seconds from the kill until every hook delivers what was accepted after it."""
    async with running(SYSTEMS["three"]) as live:
        killed, *others = live.nodes
        async with Traffics(others, RATE / 3) as traffics:
            await asyncio.sleep(SETTLING_SECONDS)
            await killed.kill()
            since, enough = time.time(), 4 * len(SERVICES)
            async with asyncio.timeout(PATIENCE):
                while True:
                    await asyncio.sleep(0.05)
                    live.read()
                    # Each node's events fire the hooks in turn: the first of all that were reported are of every hook.
                    accepted = traffics.accepted(since)
                    keys = sorted(accepted, key=accepted.__getitem__)[:enough]
                    if len(keys) == enough and all(key in live.arrived for key in keys):
                        break
        await live.all_of(set(traffics.accepted()))
        return max(live.arrived[key] for key in keys) - since


async def takeover(options: argparse.Namespace) -> None:
    """Measure and print."""
    took = [await takeover_once() for _ in range(options.runs)]
    print(f"\nkilled node to the next webhook of every hook: {', '.join(f'{each:.1f}' for each in took)} s (goal 15 s)")


# ---- outage ----


async def outage(options: argparse.Namespace) -> None:
    """Stop PostgreSQL under load; measure and print."""
    async with running(SYSTEMS["three"]) as live:
        assert live.store is not None
        async with Traffics(live.nodes, RATE) as traffics:
            await asyncio.sleep(SETTLING_SECONDS)
            await asyncio.to_thread(live.store.stop)
            stopped = time.time()
            await asyncio.sleep(options.outage)
            spools = [(await node.readyz())["spool"] for node in live.nodes]
            waiting = sum(spool["events"] for spool in spools)
            size = sum(spool["bytes"] for spool in spools) / waiting
            await asyncio.to_thread(live.store.start)
            started = time.time()
            before = traffics.accepted(until=started)
            await live.all_of(set(before))
            caught_up = max(live.arrived[key] for key in before) - started
        await live.all_of(set(traffics.accepted()))
        count = len(traffics.accepted(stopped, started))
    print(
        f"\nPostgreSQL away for {started - stopped:.0f} s: {count:,} events accepted meanwhile, {waiting:,} of "
        f"{size:,.0f} bytes waited in the spools;\ncaught up in {caught_up:.1f} s, and every event arrived (goal 60 s)"
    )


FIGURES = {"cpu": cpus, "latency": latency, "takeover": takeover, "outage": outage}


async def measure(options: argparse.Namespace) -> None:
    """Run the figures one after the other."""
    for name in options.figure or FIGURES:
        await FIGURES[name](options)


def main() -> None:
    """Read what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", nargs="*", help=f"of {', '.join(FIGURES)}; all where none is named")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--outage", type=float, default=60)
    parser.add_argument("--system", nargs="+", choices=[*SYSTEMS], default=[*SYSTEMS])
    options = parser.parse_args()
    if unknown := set(options.figure) - FIGURES.keys():
        parser.error(f"there is no {', '.join(unknown)}")
    uvloop.run(measure(options))


if __name__ == "__main__":
    main()

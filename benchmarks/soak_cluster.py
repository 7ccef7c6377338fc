"""Faults without end on nodes over one PostgreSQL: every accepted event must arrive, and each duplicate have a cause.

``python benchmarks/soak_cluster.py [--seconds 60] [--seed N] [--socket-rate 10] [--api-rate 5] [--faults NAME ...]``

Three nodes as ``serve`` starts them, each with a machine's name, a data directory, a clock and a plugin socket (a
recorded Kong) of its own; a real PostgreSQL, which each node reaches through a relay; a receiver for each hook; and the
faults of ``FAULTS``, as in ``soak.py``. A part of the events is reported to two nodes, by Kong and by the API. One hook
is ``ordered``, and each node has events for it, one after the other. Consumers are written to a stand-in of the Admin
API, which all nodes reconcile with: most by the route of one node or two, the others past every route. The exit status
is 1 where one of these does not hold:

- Each event that the API took (2xx), and each that Kong was answered for, has arrived; none is counted as lost. So has
  each consumer that was made past the routes.
- An event has one webhook-id, however often it arrives, and by however many nodes it was reported or found.
- Events of the ordered hook arrive, for the first time, in the order in which their node accepted them.
- Whatever arrives twice was sent near a fault (``Chaos.cause_of``); one lasts from a backup to its restoration. Nothing
  does where no fault is one of ``REPEATING``.
- No log line says that something was a bug.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))
from chaos import Chaos, arguments
from live import PATIENCE, Clock, KongNode, Log, Sidecar, Traffic, hook, kong_yml, over_api, until

from tests.cluster.nodes import machine_of_its_own
from tests.kong_node.answers import change as change_through_route
from tests.support import postgres
from tests.support.admin_node import AdminNode
from tests.support.postgres_proxy import Proxy

NODES = ("first", "second", "third")
CHANGES_PER_SECOND = 2.0
CONSUMERS = 20
"""So many are written again and again."""
PAST_THE_ROUTE = 0.25
"""The part of the changes that reconciliations alone can find; each makes a consumer."""
TWICE = 0.25
"""The part of the events that two nodes are told of."""
IN_ORDER_SECONDS = 0.2
"""Between two events of a node for the ordered hook."""
BEYOND_LEASE = 12.0
"""Seconds: longer than the lease of who delivers."""
STUCK_SECONDS = 45.0
"""So long nothing more may arrive or be settled before the end is given up."""
FLAGS = (
    "--timeout-seconds=5",
    "--drain-seconds=3",
    "--hook-concurrency=8",
    "--crud-reconcile-seconds=2",
    "--admin-page-size=1000",
)

Publish = Callable[[str], Awaitable[bool]]


class Node:
    """A sidecar with its clock, and the relay through which it reaches the store."""

    def __init__(self, name: str, folder: Path, proxy: Proxy, admin: AdminNode, hooks: list[dict[str, Any]]) -> None:
        self.name = name
        self.proxy = proxy
        folder.mkdir(mode=0o700)
        data = folder / "data"
        data.mkdir(mode=0o700)
        self.clock = Clock(folder / "clock")
        under = (*under, name) if (under := machine_of_its_own()) else ()
        flags = (f"--store={proxy.url}", f"--admin-url={admin.url}", *FLAGS)
        self.sidecar = Sidecar(folder, data, self.clock, kong_yml(hooks, {}), *flags, under=under)

    def processes(self) -> tuple[int, int]:
        return self.sidecar.running.pid, self.sidecar.worker

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to supervisor and worker at once."""
        for pid in self.processes():
            os.kill(pid, number)

    def begun(self) -> None:
        """Wait until it serves, and knows what there was to begin with."""
        self.sidecar.ready()

        def reconciled() -> bool:
            return bool(self.ready()["pollers"]["crud"].get("reconciler", {}).get("ended_at"))

        until(reconciled, f"{self.name} has reconciled", PATIENCE)

    def ready(self) -> dict[str, Any]:
        return dict(msgspec.json.decode(self.sidecar.get("/readyz")))


class ClusterSoak(Chaos):
    """One run."""

    def __init__(self, options: argparse.Namespace, directory: Path, store: postgres.Cluster) -> None:
        super().__init__(options, directory, ("socket", "api", "ordered", "changes"), FAULTS)
        self.directory, self.store = directory, store
        self.admin = AdminNode()
        self.hooks = [
            hook("soak-socket", self.receivers["socket"].urls[0], "rate-limiting"),
            hook("soak-api", self.receivers["api"].urls[0], "custom", event="soak"),
            hook("soak-ordered", self.receivers["ordered"].urls[0], "custom", event="ordered"),
        ]
        self.hooks[-1]["handler_config"]["ordered"] = True
        self.hooks.append(hook("soak-changes", self.receivers["changes"].urls[0], "crud", event="consumers"))
        for each in self.hooks:
            each["handler_config"]["retry"] = {"attempts": 10, "schedule": [1]}
        self.nodes: list[Node] = []
        self.in_order: dict[str, list[str]] = {name: [] for name in NODES}
        self.lost = 0

    # ---- faults ----

    def a_node(self) -> Node:
        return self.random.choice(self.nodes)

    async def back(self, node: Node) -> None:
        """Start a node again over what it has on its disk."""
        await asyncio.to_thread(node.sidecar.restart)

    async def kill_node(self) -> None:
        """``kill -9`` of supervisor and worker, as a power cut does."""
        node = self.a_node()
        node.signal(signal.SIGKILL)
        await asyncio.to_thread(node.sidecar.running.wait)
        await asyncio.sleep(self.lasting(0, 3))
        await self.back(node)

    async def start_without_store(self) -> None:
        """Kill a node while it does not reach the store, and have its next start not reach it either."""
        node = self.a_node()
        node.proxy.refuse()
        node.proxy.close_all()
        await asyncio.sleep(self.lasting(0, 2))
        node.signal(signal.SIGKILL)
        await asyncio.to_thread(node.sidecar.running.wait)
        await self.back(node)
        await asyncio.sleep(self.lasting(0, 2))
        node.proxy.refuse(refuses=False)

    async def kill_worker(self) -> None:
        """``kill -9``."""
        node = self.a_node()
        before = node.sidecar.workers
        os.kill(node.sidecar.worker, signal.SIGKILL)
        await asyncio.to_thread(node.sidecar.ready, before)

    async def end_node(self) -> None:
        """SIGTERM, as an upgrade does."""
        node = self.a_node()
        await self.count_lost(node)
        node.sidecar.running.signal(signal.SIGTERM)
        await asyncio.to_thread(node.sidecar.running.wait)
        await asyncio.sleep(self.lasting(0, 2))
        await self.back(node)

    async def stop_node(self, seconds: float | None = None) -> None:
        """SIGSTOP of supervisor and worker, then SIGCONT."""
        node = self.a_node()
        node.signal(signal.SIGSTOP)
        await asyncio.sleep(self.lasting(0.5, 4) if seconds is None else seconds)
        node.signal(signal.SIGCONT)

    async def stall_node(self, seconds: float | None = None) -> None:
        """Have one's connections pass nothing on, and keep them."""
        proxy = self.a_node().proxy
        proxy.stall()
        await asyncio.sleep(self.lasting(0.5, 4) if seconds is None else seconds)
        proxy.stall(stalls=False)

    async def two_are_away(self) -> None:
        """Have one stand still and another cut off, for longer than the lease of who delivers."""
        await asyncio.gather(self.stop_node(BEYOND_LEASE), self.stall_node(BEYOND_LEASE))

    async def cut_node(self) -> None:
        """Cut one's connections, which may be made anew at once."""
        self.a_node().proxy.close_all()

    async def cut_all(self) -> None:
        """Cut all connections, and refuse new ones for a while."""
        for node in self.nodes:
            node.proxy.refuse()
            node.proxy.close_all()
        await asyncio.sleep(self.lasting(0.5, 4))
        for node in self.nodes:
            node.proxy.refuse(refuses=False)

    async def cut_commits(self) -> None:
        """Cut connections in a COMMIT or any call, on each side of the server; some cannot be made anew at once."""
        for node in self.nodes:
            for answered in (True, False):
                cuts = node.proxy.cuts
                node.proxy.cut(self.random.choice(("COMMIT", "")), answered=answered)
                node.proxy.refuse(times=self.random.randrange(4))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(3):
                        while node.proxy.cuts == cuts:  # noqa: ASYNC110 - it tells nobody
                            await asyncio.sleep(0.02)
                await asyncio.sleep(self.lasting(0, 0.5))

    async def restart_store(self, how: signal.Signals) -> None:
        await asyncio.to_thread(self.store.stop, how)
        await asyncio.sleep(self.lasting(0, 3))
        await asyncio.to_thread(self.store.start)

    async def restart_fast(self) -> None:
        """Restart it: connections are ended in order."""
        await self.restart_store(signal.SIGINT)

    async def restart_immediate(self) -> None:
        """Restart it as after a crash: connections end anywhere, the log is replayed."""
        await self.restart_store(signal.SIGQUIT)

    async def read_only(self) -> None:
        """Refuse writes for a while, as a standby does."""
        await self.set_in_store("on")
        await asyncio.sleep(self.lasting(0.5, 4))
        await self.set_in_store("off")

    async def set_in_store(self, read_only: str) -> None:
        async with await psycopg.AsyncConnection.connect(self.store.url(), autocommit=True) as connection:
            await connection.execute("SET default_transaction_read_only = off")
            await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {read_only}")
            await connection.execute("SELECT pg_reload_conf()")

    async def restore_store(self) -> None:
        """Put an older backup in its place."""
        await asyncio.to_thread(self.store.stop)
        await asyncio.to_thread(self.store.back_up)
        await asyncio.to_thread(self.store.start)
        await asyncio.sleep(self.lasting(2, 6))
        await asyncio.to_thread(self.store.stop, signal.SIGQUIT)
        await asyncio.to_thread(self.store.restore)
        await asyncio.to_thread(self.store.start)

    async def without_admin_api(self) -> None:
        """Have the Admin API answer nobody for a while; nothing is written meanwhile."""
        await self.admin.stop()
        await asyncio.sleep(self.lasting(0.5, 4))
        await self.admin.start()

    async def set_clock(self) -> None:
        """Set a node's clock ahead or back, by minutes to hours."""
        clock = self.a_node().clock
        clock.set(self.random.uniform(-7200, 7200))
        await asyncio.sleep(self.lasting(0, 1))

    async def kill_receiver(self) -> None:
        """Have nobody listen for a moment."""
        await self.without_receiver(0.1, 1)

    # ---- the run ----

    async def run(self) -> bool:
        """Run; return whether all that is promised holds."""
        over = asyncio.Event()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.admin)
            http = await stack.enter_async_context(aiohttp.ClientSession(self.admin.url))
            for name in NODES:
                proxy = await stack.enter_async_context(Proxy(self.store.url()))
                self.nodes.append(
                    await asyncio.to_thread(Node, name, self.directory / name, proxy, self.admin, self.hooks)
                )
            await asyncio.gather(*(asyncio.to_thread(node.begun) for node in self.nodes))
            kongs = [await stack.enter_async_context(KongNode(node.sidecar.path)) for node in self.nodes]
            apis = [await stack.enter_async_context(over_api(node.sidecar, over)) for node in self.nodes]
            self.began = time.time()
            self.traffic["changes"] = Traffic(partial(self.change, http, kongs), CHANGES_PER_SECOND)
            sending = [asyncio.create_task(one) for one in await self.senders(stack, kongs, apis, over)]
            sending.append(asyncio.create_task(self.traffic["changes"].run(over)))
            try:
                await self.chaos()
            finally:
                over.set()
            await asyncio.gather(*sending)
            self.say("nothing is sent any more")
            settled = await self.drain()
            unanswered = [lost.why for kong in kongs for lost in kong.played.lost]
            for node in self.nodes:
                await self.count_lost(node)
            statuses = [await self.end(node) for node in self.nodes]
        self.read_arrivals()
        return self.report(settled, unanswered, statuses)

    async def senders(
        self, stack: AsyncExitStack, kongs: list[KongNode], apis: list[Publish], over: asyncio.Event
    ) -> list[Any]:
        """Return what sends until it is over."""
        coroutines = []
        log = Log([])

        async def report(node: int, key: str) -> bool:
            line = log.next(key)
            return await self.tell(node, lambda at: kongs[at].log(log=line))

        async def publish(node: int, key: str) -> bool:
            return await self.tell(node, lambda at: apis[at](key))

        rates = (("socket", report, self.options.socket_rate), ("api", publish, self.options.api_rate))
        for at, node in enumerate(self.nodes):
            for name, send, rate in rates:
                self.traffic[f"{name} {node.name}"] = Traffic(partial(send, at), rate)
                coroutines.append(self.traffic[f"{name} {node.name}"].run(over))
            ordered = await stack.enter_async_context(over_api(node.sidecar, over, "ordered"))
            coroutines.append(self.publish_in_order(node, ordered, over))
        return coroutines

    async def tell(self, node: int, send: Callable[[int], Awaitable[bool]]) -> bool:
        """Tell a node, and sometimes another one at the same time."""
        if self.random.random() > TWICE:
            return await send(node)
        return any(await asyncio.gather(send(node), send((node + 1) % len(self.nodes))))

    async def change(self, http: aiohttp.ClientSession, kongs: list[KongNode], key: str) -> bool:
        """Write a consumer; return whether somebody has to tell of it."""
        past = self.random.random() < PAST_THE_ROUTE
        name = key if past else f"consumer-{self.random.randrange(CONSUMERS)}"
        path, began = f"/consumers/{name}", time.time()
        try:
            async with http.put(path, json={"custom_id": key}) as answer:
                body = await answer.read()
        except aiohttp.ClientError:
            return False
        if past:
            return answer.status == 200
        request = {"method": "PUT", "path": path, "status": answer.status, "body": body, "started_at": began}
        answers = change_through_route(**request, request_id=uuid.uuid4().hex)
        return await self.tell(self.random.randrange(len(kongs)), lambda at: kongs[at].respond(answers))

    async def publish_in_order(self, node: Node, publish: Publish, over: asyncio.Event) -> None:
        """Publish events of the ordered hook on a node, each after the one before was accepted."""
        while not over.is_set():
            key = uuid.uuid4().hex
            if await publish(key):
                self.in_order[node.name].append(key)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), IN_ORDER_SECONDS)

    async def drain(self) -> bool:
        """Have everything arrive and be settled; return whether it has. Dead letters are replayed."""
        ends, least = time.monotonic() + STUCK_SECONDS, (-1, -1)
        while True:
            self.read_arrivals()
            states = await asyncio.gather(*(asyncio.to_thread(node.ready) for node in self.nodes))
            spooled = sum(state["spool"].get("events", 1) for state in states)
            deliveries = {"pending": 1, "leased": 0, "dead": 0, **states[0]["queue"].get("deliveries", {})}
            missing = sum(map(len, self.missing().values())) + len(self.missing_in_order())
            if not (missing or spooled or deliveries["pending"] or deliveries["leased"] or deliveries["dead"]):
                return True
            if (left := (missing + spooled, deliveries["pending"] + deliveries["leased"])) != least:
                least, ends = left, time.monotonic() + STUCK_SECONDS
            if time.monotonic() > ends:
                self.say(f"gave up: {missing} missing, {spooled} in spools, {deliveries}")
                return False
            if deliveries["dead"]:
                for name in (each["name"] for each in self.hooks):
                    await asyncio.to_thread(self.nodes[0].sidecar.post, f"/event-hooks/{name}/replay")
            await asyncio.sleep(0.5)

    async def count_lost(self, node: Node) -> None:
        """Add what a worker has counted; call it before it ends."""
        self.lost += await asyncio.to_thread(node.sidecar.lost)

    async def end(self, node: Node) -> int:
        """End a node; return its exit status."""
        node.sidecar.running.signal(signal.SIGTERM)
        return await asyncio.to_thread(node.sidecar.running.wait)

    # ---- the report ----

    def missing_in_order(self) -> list[str]:
        return [key for keys in self.in_order.values() for key in keys if key not in self.ids]

    def out_of_order(self) -> list[str]:
        """Return the keys that arrived, for the first time, before one that their node had accepted earlier."""
        places = {key: place for place, key in enumerate(self.arrivals)}
        found = []
        for keys in self.in_order.values():
            arrived = [key for key in keys if key in places]
            found += [key for before, key in pairwise(arrived) if places[key] < places[before]]
        return found

    def report(self, settled: bool, unanswered: list[str], statuses: list[int]) -> bool:
        """Print what came of it."""
        duplicates = self.duplicates()
        counts = {name: sum(fault.name == name for fault in self.faults) for name in FAULTS}
        print(f"\nfaults: { ({name: count for name, count in counts.items() if count}) }")
        print(f"machines of their own: {bool(machine_of_its_own())}")
        self.print_traffic()
        print(f"in order: {sum(map(len, self.in_order.values())):,} accepted, {len(self.missing_in_order()):,} missing")
        print(f"Kong's calls without an answer: {len(unanswered):,}; counted as lost: {self.lost:,}")
        print(f"duplicates: {sum(duplicates.values()):,} {dict(duplicates)}")
        out_of_order = self.out_of_order()
        repeating = REPEATING & set(self.options.faults)
        verdicts = {
            f"{sum(duplicates.values())} were told twice, and no node was killed": bool(duplicates) and not repeating,
            "an accepted event is missing": any(self.missing().values()) or bool(self.missing_in_order()),
            f"{len(out_of_order)} events are out of order: {out_of_order[:3]}": bool(out_of_order),
            f"{self.lost} events are counted as lost": bool(self.lost),
            "not everything was settled in the end": not settled,
            f"the sidecars' exit statuses are {statuses}": any(statuses),
        }
        return self.conclude(verdicts, [node.sidecar for node in self.nodes])

    def close(self) -> None:
        """End every process."""
        for node in self.nodes:
            with contextlib.suppress(ProcessLookupError, IndexError):
                node.signal(signal.SIGCONT)
            node.sidecar.stop()
        self.kill_receivers()


FAULTS: dict[str, Callable[[Any], Awaitable[None]]] = {
    "node killed": ClusterSoak.kill_node,
    "node started without the store": ClusterSoak.start_without_store,
    "worker killed": ClusterSoak.kill_worker,
    "node ended": ClusterSoak.end_node,
    "node stopped": ClusterSoak.stop_node,
    "node cut off": ClusterSoak.stall_node,
    "two nodes away": ClusterSoak.two_are_away,
    "connections cut": ClusterSoak.cut_node,
    "store out of reach": ClusterSoak.cut_all,
    "commits cut": ClusterSoak.cut_commits,
    "store restarted": ClusterSoak.restart_fast,
    "store crashed": ClusterSoak.restart_immediate,
    "store read-only": ClusterSoak.read_only,
    "store restored": ClusterSoak.restore_store,
    "Admin API away": ClusterSoak.without_admin_api,
    "clock set": ClusterSoak.set_clock,
    "receiver killed": ClusterSoak.kill_receiver,
}


REPEATING = {
    "node killed", "node started without the store", "worker killed", "node stopped", "two nodes away",
    "store restored", "receiver killed",
}  # fmt: skip
"""Faults after which what was under way is sent again."""


def main() -> int:
    """Run; return the exit status."""
    options = arguments(__doc__, FAULTS, socket_rate=10.0, api_rate=5.0).parse_args()
    programs = postgres.binaries()
    if programs is None:
        print("no PostgreSQL is installed: nothing to run")
        return 1
    print(f"soak of a cluster: {options.seconds:g} s, seed {options.seed}", flush=True)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        store = stack.enter_context(postgres.cluster(programs, postgres.DURABLE))
        soak = ClusterSoak(options, directory, store)
        try:
            held = asyncio.run(soak.run())
        finally:
            if options.log is not None:
                lines = (line for node in soak.nodes for line in (f"== {node.name}", *node.sidecar.output()))
                options.log.write_text("\n".join(lines))
            soak.close()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

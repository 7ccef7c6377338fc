"""Faults without end on a whole sidecar: every accepted event must arrive, and each duplicate must have a cause.

``python benchmarks/soak.py [--seconds 60] [--seed N] [--socket-rate 100] [--api-rate 50] [--faults NAME ...]``

Supervisor and worker as ``serve`` starts them; events through the plugin socket (a recorded Kong) and the API; two
receivers, processes of their own, which keep every webhook-id in a file; and a schedule of faults (``FAULTS``) that the
seed decides. Each round has all of them, in another order; the first round is finished whatever ``--seconds`` says. In
the end nothing is broken any more, the clock is set ahead until no retry waits, and dead letters are replayed. The exit
status is 1 where one of these does not hold:

- Each event that the API took (2xx), and each that Kong was answered for, has arrived; of Kong's as many may be missing
  as the workers counted as lost (``events_lost_total``: those of a full disk). What a worker had counted dies with it:
  where one is killed while its disk is full, Kong's events of that time may be missing. The report says how many.
- An event has one webhook-id, however often it arrives.
- Whatever arrives twice was sent near a fault (``Chaos.cause_of``).
- No log line says that something was a bug.

The worker answers Kong after the commit, however late (``settable_clock``): what is answered early, and is not
committed when the worker is killed, may be lost (docs/architecture.md, "The promise").

The disk is a small tmpfs in a mount namespace of our own. Where the system allows none, a limit on the size of the
worker's files takes its place (``RLIMIT_FSIZE``), and the report says so.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))
from chaos import Chaos, Fault, arguments
from live import Clock as SettableClock
from live import KongNode, Log, Sidecar, Traffic, hook, kong_yml, over_api, over_socket, until

DISK_MEGABYTES = 96
ATTEMPT_SECONDS = 1
WATCHDOG_SECONDS = 2
ANSWERS_READ_SECONDS = 0.05
STUCK_SECONDS = 30.0
"""So long nothing more may be delivered before the end is given up."""
IN_NAMESPACE = "SOAK_IN_NAMESPACE"
FLAGS = (
    f"--timeout-seconds={ATTEMPT_SECONDS}",
    f"--watchdog-seconds={WATCHDOG_SECONDS}",
    "--keep-settled-count=5000",
    "--drain-seconds=5",
)


class Disk:
    """The sidecar's disk, which can be full."""

    def __init__(self, mount: Path | None, data: Path) -> None:
        self.mount, self.data = mount, data
        self.how = "a tmpfs" if mount is not None else "RLIMIT_FSIZE (no mount namespace here)"

    @contextlib.contextmanager
    def full(self, worker: int) -> Iterator[None]:
        """Leave no room, and no room in the log either, which SQLite would use again."""
        if self.mount is None:
            _, hard = resource.prlimit(worker, resource.RLIMIT_FSIZE)
            resource.prlimit(worker, resource.RLIMIT_FSIZE, (4096, hard))
            yield
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(worker, resource.RLIMIT_FSIZE, (hard, hard))
            return
        ballast = self.mount / "ballast"
        with ballast.open("wb", buffering=0) as file:
            for _ in range(2):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(65536))
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(4096))
                with contextlib.suppress(sqlite3.Error), contextlib.closing(self.store()) as connection:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield
        ballast.unlink()

    def store(self) -> sqlite3.Connection:
        return sqlite3.connect(self.data / "events.db", isolation_level=None, timeout=0.5)


class Soak(Chaos):
    """One run."""

    def __init__(self, options: argparse.Namespace, directory: Path, data: Path, mount: Path | None) -> None:
        super().__init__(options, directory, ("socket", "api"), FAULTS)
        self.clock = SettableClock(directory / "clock")
        self.disk = Disk(mount, data)
        hooks = [
            hook("soak-socket", self.receivers["socket"].urls[0], "rate-limiting"),
            hook("soak-api", self.receivers["api"].urls[0], "custom"),
        ]
        self.sidecar = Sidecar(directory, data, self.clock, kong_yml(hooks, {}), *FLAGS)
        self.blind: list[Fault] = []
        self.counted_lost = 0
        self._lost_of_worker = 0

    # ---- faults ----

    async def count_lost(self) -> None:
        """Add what the worker has counted since the last time; call it before a worker ends."""
        lost = await asyncio.to_thread(self.sidecar.lost)
        self.counted_lost += max(0, lost - self._lost_of_worker)
        self._lost_of_worker = lost

    async def next_worker(self, before: int) -> None:
        """Wait for a worker's successor."""
        await asyncio.to_thread(self.sidecar.ready, before)
        self._lost_of_worker = 0

    async def kill_worker(self) -> None:
        """``kill -9``."""
        await self.count_lost()
        before = self.sidecar.workers
        os.kill(self.sidecar.worker, signal.SIGKILL)
        await self.next_worker(before)

    async def kill_supervisor(self) -> None:
        """``kill -9``; its worker ends by itself, and a service manager starts another one at once."""
        await self.count_lost()
        self.sidecar.running.signal(signal.SIGKILL)
        await asyncio.to_thread(self.sidecar.running.wait)
        await asyncio.to_thread(self.sidecar.restart)
        self._lost_of_worker = 0

    async def stop_worker(self) -> None:
        """SIGSTOP for less than the watchdog waits."""
        worker = self.sidecar.worker
        os.kill(worker, signal.SIGSTOP)
        await asyncio.sleep(self.lasting(0.2, 0.7 * WATCHDOG_SECONDS))
        os.kill(worker, signal.SIGCONT)

    async def hang_worker(self) -> None:
        """SIGSTOP until the watchdog has replaced it."""
        await self.count_lost()
        before = self.sidecar.workers
        os.kill(self.sidecar.worker, signal.SIGSTOP)
        await self.next_worker(before)

    async def stop_supervisor(self) -> None:
        """SIGSTOP: its worker goes on."""
        self.sidecar.running.signal(signal.SIGSTOP)
        await asyncio.sleep(self.lasting(0.5, 4))
        self.sidecar.running.signal(signal.SIGCONT)

    async def kill_receiver(self) -> None:
        """Have nobody listen for a while."""
        await self.without_receiver(0.5, 5)

    async def stop_receiver(self) -> None:
        """Have one take connections and answer none in time."""
        receiver = self.random.choice([*self.receivers.values()])
        receiver.signal(signal.SIGSTOP)
        await asyncio.sleep(ATTEMPT_SECONDS + self.lasting(0.3, 3))
        receiver.signal(signal.SIGCONT)

    async def reset_by_receiver(self) -> None:
        """Have one reset every connection, with the event."""
        await self.misbehave(signal.SIGUSR1)

    async def endless_answers(self) -> None:
        """Have one answer without end."""
        await self.misbehave(signal.SIGUSR2)

    async def misbehave(self, how: signal.Signals) -> None:
        """Change how a receiver answers for a while."""
        receiver = self.random.choice([*self.receivers.values()])
        receiver.signal(how)
        await asyncio.sleep(self.lasting(0.5, 3))
        receiver.signal(signal.SIGHUP)

    async def fill_disk(self) -> None:
        """Leave no room until /readyz says so, and for a while."""
        with self.disk.full(self.sidecar.worker):
            await self.store_is("disk")
            await asyncio.sleep(self.lasting(0, 4))
        await self.store_is("ok")
        await asyncio.sleep(1.5)  # /metrics is a page that is kept for a second
        await self.count_lost()

    async def lock_database(self) -> None:
        """Have another process hold the store's lock until /readyz says so, or for less."""
        with contextlib.closing(self.disk.store()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(self.lasting(0.5, 4))
            if self.scale == 1:
                await self.store_is("lock")
            connection.execute("ROLLBACK")
        await self.store_is("ok")

    async def take_descriptors(self) -> None:
        """Leave the worker no descriptor that it does not have yet."""
        limit = resource.prlimit(self.sidecar.worker, resource.RLIMIT_NOFILE)
        resource.prlimit(self.sidecar.worker, resource.RLIMIT_NOFILE, (3, limit[1]))
        await asyncio.sleep(self.lasting(0.5, 4))
        resource.prlimit(self.sidecar.worker, resource.RLIMIT_NOFILE, limit)

    async def store_is(self, word: str) -> None:
        """Wait until /readyz says this of the store: what an operator sees."""

        def said() -> bool:
            return word in str(msgspec.json.decode(self.sidecar.get("/readyz"))["store"])

        await asyncio.to_thread(until, said, f"/readyz says {word!r} of the store")

    async def kill_worker_on_full_disk(self) -> None:
        """Have its successor begin without room."""
        began = time.time()
        await self.count_lost()
        before = self.sidecar.workers
        with self.disk.full(self.sidecar.worker):
            await asyncio.sleep(self.lasting(1, 3))
            os.kill(self.sidecar.worker, signal.SIGKILL)
            # Its last answers may still lie in the sockets; its successor takes longer to start than to read them.
            await asyncio.sleep(ANSWERS_READ_SECONDS)
            self.blind.append(Fault("", began, time.time()))
            await asyncio.sleep(self.lasting(1, 4))
        await self.next_worker(before)
        await self.store_is("ok")
        await asyncio.sleep(1.5)
        await self.count_lost()

    async def set_clock_ahead(self) -> None:
        """By minutes to hours."""
        self.clock.set(self.clock.ahead + self.random.uniform(60, 7200))
        await asyncio.sleep(self.lasting(0.5, 3))

    async def set_clock_back(self) -> None:
        """By minutes to hours."""
        self.clock.set(self.clock.ahead - self.random.uniform(60, 7200))
        await asyncio.sleep(self.lasting(0.5, 3))

    # ---- the run ----

    async def run(self) -> bool:
        """Run; tell whether all that is promised holds."""
        await asyncio.to_thread(self.sidecar.ready)
        over = asyncio.Event()
        async with KongNode(self.sidecar.path) as node, over_api(self.sidecar, over) as publish:
            self.traffic = {
                "socket": Traffic(over_socket(node, Log([])), self.options.socket_rate),
                "api": Traffic(publish, self.options.api_rate),
            }
            self.began = time.time()
            sending = [asyncio.create_task(each.run(over)) for each in self.traffic.values()]
            try:
                await self.chaos()
            finally:
                over.set()
            await asyncio.gather(*sending)
            self.say("nothing is sent any more")
            await self.drain()
            self.unanswered = Counter(lost.why for lost in node.played.lost)
        await self.count_lost()
        self.sidecar.running.signal(signal.SIGTERM)
        status = await asyncio.to_thread(self.sidecar.running.wait)
        self.read_arrivals()
        return self.report(status)

    async def drain(self) -> None:
        """Have everything delivered: retries become due as the clock is set ahead, dead letters are replayed."""
        ends, ahead, least = time.monotonic() + STUCK_SECONDS, 60.0, -1
        while (left := await asyncio.to_thread(self.deliveries))["pending"] + left["leased"] + left["dead"]:
            if time.monotonic() > ends:
                self.say(f"gave up: {left}")
                return
            if left["dead"]:
                await asyncio.to_thread(self.replay)
            if left["leased"] == 0 and left["pending"] == least:
                self.clock.set(self.clock.ahead + ahead)
                self.say(f"clock set ahead by {ahead:,.0f} s; {left['pending']} pending")
                ahead = min(2 * ahead, 172_800.0)
            if left["pending"] != least:
                least, ends = left["pending"], time.monotonic() + STUCK_SECONDS
            await asyncio.sleep(1.1)

    def deliveries(self) -> dict[str, int]:
        """Return how many there are in each state."""
        ready = msgspec.json.decode(self.sidecar.get("/readyz"))
        return {"pending": 1, "leased": 0, "dead": 0, **ready["queue"].get("deliveries", {})}

    def replay(self) -> None:
        """Send dead letters again."""
        for name in ("soak-socket", "soak-api"):
            self.sidecar.post(f"/event-hooks/{name}/replay")

    # ---- the report ----

    def report(self, status: int) -> bool:
        """Print what came of it."""
        missing = self.missing()
        blind = [key for key in missing["socket"] if self._in_blind(*self.traffic["socket"].accepted[key])]
        duplicates = self.duplicates()
        print(f"\nfull disk: {self.disk.how}; faults: {dict(Counter(fault.name for fault in self.faults))}")
        self.print_traffic()
        print(f"counted as lost: {self.counted_lost:,}; missing where the counting worker was killed: {len(blind):,}")
        print(f"Kong's calls without an answer: {dict(self.unanswered)}")
        print(f"duplicates: {sum(duplicates.values()):,} {dict(duplicates)}")
        unexcused = len(missing["socket"]) - self.counted_lost - len(blind)
        verdicts = {
            "an event that the API took is missing": bool(missing["api"]),
            f"{unexcused} more of Kong's events are missing than were counted": unexcused > 0,
            f"the sidecar's exit status is {status}": status != 0,
        }
        return self.conclude(verdicts, [self.sidecar])

    def _in_blind(self, _sent: float, answered: float) -> bool:
        return any(fault.began <= answered <= fault.ended for fault in self.blind)

    def close(self) -> None:
        """End every process."""
        self.sidecar.stop()
        self.kill_receivers()


FAULTS: dict[str, Callable[[Any], Awaitable[None]]] = {
    "worker killed": Soak.kill_worker,
    "supervisor killed": Soak.kill_supervisor,
    "worker stopped": Soak.stop_worker,
    "worker hung": Soak.hang_worker,
    "supervisor stopped": Soak.stop_supervisor,
    "receiver killed": Soak.kill_receiver,
    "receiver timed out": Soak.stop_receiver,
    "receiver resets": Soak.reset_by_receiver,
    "receiver answers without end": Soak.endless_answers,
    "descriptors exhausted": Soak.take_descriptors,
    "database locked": Soak.lock_database,
    "disk full": Soak.fill_disk,
    "worker killed on a full disk": Soak.kill_worker_on_full_disk,
    "clock set ahead": Soak.set_clock_ahead,
    "clock set back": Soak.set_clock_back,
}


def enter_namespace() -> None:
    """Start anew in a mount namespace, where the system allows one."""
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    try:
        allowed = subprocess.run([*unshare, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    except OSError:
        return
    if allowed.returncode == 0:
        os.environ[IN_NAMESPACE] = "1"
        os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])  # noqa: S606 - ourselves


def main() -> int:
    """Run; return the exit status."""
    options = arguments(__doc__, FAULTS, socket_rate=100.0, api_rate=50.0).parse_args()
    if IN_NAMESPACE not in os.environ:
        enter_namespace()
    print(f"soak: {options.seconds:g} s, seed {options.seed}", flush=True)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mount = directory / "disk" if IN_NAMESPACE in os.environ else None
        data = directory / "data" if mount is None else mount / "data"
        if mount is not None:
            mount.mkdir()
            size = f"size={DISK_MEGABYTES}m,mode=0700"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(mount)], check=True)
            stack.callback(subprocess.run, ["umount", "--lazy", str(mount)], check=False)
        data.mkdir()
        soak = Soak(options, directory, data, mount)
        try:
            held = asyncio.run(soak.run())
        finally:
            if options.log is not None:
                options.log.write_text("\n".join(soak.sidecar.output()))
            soak.close()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

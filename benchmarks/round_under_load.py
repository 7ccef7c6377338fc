"""What a round over a large Kong costs, whom it disturbs, and what the Admin API's route adds to an answer.

``python benchmarks/round_under_load.py --kong-bin PATH [--kong-pg URL] [--entities 100000] [--rate 200] [--rounds 3]``

A real Kong with so many consumers: in PostgreSQL, filled by one statement, or without a database, from a file that is
loaded anew before each round (there a round comes only when the configuration moved). With ``--credentials`` half of
those in the file are keys, whose ids Kong renews with each load. A steady client's requests are proxied all the time,
by another process; those that were due during a round are set against those while nothing ran.

- p99 of proxied requests, quiet and during a round, and the requests that failed
- the sidecar's CPU seconds a round (both processes), and its largest RSS
- CPU of Kong's workers, and of PostgreSQL for it, during a round beyond what traffic alone costs
- with PostgreSQL, ``--writes`` changes through the route, and through an equal route without event-hooks-crud: what the
  plugin adds to an answer, and how long after its answer a change's event is committed (as the event stream tells it)
"""

import argparse
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.support.processes import children, cpu_seconds  # noqa: E402  from where they are
from tests.integration.conftest import Kong, Sidecar  # noqa: E402  as the tests do it
from tests.support.admin_route import WITH_KEY, filled_in, put_into_database  # noqa: E402
from tests.support.kong_postgres import Postgres  # noqa: E402
from tests.support.waiting import until  # noqa: E402

SUPPORT = Path(__file__).resolve().parent / "support"
SETTLING = 5.0
"""Seconds after a load of the configuration, or a round, that count as neither quiet nor a round."""
PATIENCE = 900.0
MANY = """
INSERT INTO consumers (id, username, tags, ws_id, created_at, updated_at)
SELECT gen_random_uuid(), ws.id || ':consumer-' || n, ARRAY['team-' || n %% 50], ws.id, now(), now()
FROM generate_series(1, %s) AS n, (SELECT id FROM workspaces WHERE name = 'default') AS ws
"""


class Round(NamedTuple):
    """When it began and ended (Unix seconds), and CPU seconds: the sidecar's, Kong's, PostgreSQL's.

    They were counted for ``counted`` seconds, the wait before it included.
    """

    began: float
    ended: float
    cpu: tuple[float, float, float]
    counted: float


Used = tuple[dict[int, float], dict[int, float], dict[int, float]]
"""CPU seconds so far, by process: the sidecar's, Kong's workers, PostgreSQL's for this Kong."""


def spent(before: Used, after: Used) -> tuple[float, float, float]:
    """Return what was used between two looks; of a process that ended in between nothing."""
    sums = [
        sum(seconds - early.get(pid, 0.0) for pid, seconds in late.items())
        for early, late in zip(before, after, strict=True)
    ]
    return sums[0], sums[1], sums[2]


class Bench:
    """One Kong, one sidecar, one client, and what is read of them."""

    def __init__(self, kong: Kong, sidecar: Sidecar, database: str | None) -> None:
        self.kong, self.sidecar, self.database = kong, sidecar, database

    def cpu(self) -> Used:
        """Look at what was used so far."""
        assert self.sidecar.process is not None
        own = self.sidecar.process.pid
        master = int((self.kong.prefix / "pids" / "nginx.pid").read_text())
        return cpu_seconds([own, *children(own)]), cpu_seconds(children(master)), cpu_seconds(self._backends())

    def _backends(self) -> list[int]:
        if self.database is None:
            return []
        found = []
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                text = each.read_bytes()
            except OSError:
                continue
            if text.startswith(b"postgres:") and self.database.encode() in text:
                found.append(int(each.parent.name))
        return found

    def largest_rss(self) -> float:
        """Return the largest RSS of supervisor and worker so far, together, in MB."""
        assert self.sidecar.process is not None
        own = self.sidecar.process.pid
        sizes = []
        for pid in (own, *children(own)):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            sizes += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
        return sum(sizes)

    def ended(self) -> list[dict[str, Any]]:
        """Return the log lines of the rounds that are done."""
        lines = map(json.loads, self.sidecar.log.read_text().splitlines())
        return [line for line in lines if line["event"] == "reconciliation_finished" and line["outcome"] == "done"]

    def round(self) -> Round:
        """Wait for the next round, and return it; CPU is counted from the call on, when none runs."""
        count, before, called = len(self.ended()), self.cpu(), time.time()
        until(lambda: len(self.ended()) > count, "a round ends", PATIENCE, pace=0.2)
        after, ended = self.cpu(), time.time()
        return Round(ended - self.ended()[-1]["seconds"], ended, spent(before, after), ended - called)


@contextmanager
def client(kong: Kong, rate: float, file: Path) -> Iterator[tuple[int, Any]]:
    """Run the upstream and the client; give the upstream's port, and what to call to have the client begin."""
    command = [sys.executable, str(SUPPORT / "proxied.py"), str(kong.proxy), "/load", str(rate), str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def begin() -> None:
            process.stdin.write("go\n")
            process.stdin.flush()

        yield int(process.stdout.readline()), begin
        process.stdin.close()
        process.wait(30)


def straight(kong: Kong, path: str, entity: dict[str, Any]) -> None:
    """Create an entity at the admin port."""
    status, answer, _ = kong.send("POST", path, json.dumps(entity), {"content-type": "application/json"}, admin=True)
    assert status == 201, answer


def document(kong: Kong, sidecar: Sidecar, upstream: int) -> dict[str, Any]:
    """Return kong-admin.yml, an equal route without event-hooks-crud, and the service that is under load."""
    found = filled_in(kong.admin, sidecar.port)
    admin = next(service for service in found["services"] if service["name"] == "admin-api")
    bare = json.loads(json.dumps(admin["routes"][0])) | {"name": "bare", "paths": ["/bare"]}
    bare["plugins"] = [plugin for plugin in bare["plugins"] if plugin["name"] != "event-hooks-crud"]
    admin["routes"].append(bare)
    load = {"name": "load", "url": f"http://127.0.0.1:{upstream}", "routes": [{"name": "load", "paths": ["/load"]}]}
    found["services"].append(load)
    return found


def fill(
    kong: Kong, sidecar: Sidecar, postgres: Postgres | None, entities: int, upstream: int, *, credentials: bool
) -> None:
    """Start Kong with the entities in it."""
    wanted = document(kong, sidecar, upstream)
    if postgres is None:
        for number in range(entities // 2 if credentials else entities):
            consumer: dict[str, Any] = {"username": f"consumer-{number}", "tags": [f"team-{number % 50}"]}
            if credentials:
                consumer["keyauth_credentials"] = [{"key": f"key-{number}"}]
            wanted["consumers"].append(consumer)
        # As JSON, which is YAML as well: PyYAML takes minutes for so many.
        kong.declarative.write_text(json.dumps({"_format_version": "3.0", **wanted}))
        kong.start()
        return
    with postgres.connection(kong.extra_conf["pg_database"]) as connection:
        connection.execute(MANY, [entities])
    with postgres.connection(kong.extra_conf["pg_database"]) as connection:
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE consumers")
    kong.start()
    put_into_database(wanted, lambda path, entity: straight(kong, path, entity))


def percentile(values: list[float], share: float) -> float:
    """Return the value below which that share of them is."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def during(lines: list[list[str]], spans: list[tuple[float, float]]) -> list[float]:
    """Return the milliseconds of the requests that were due in one of the spans."""
    return [float(spent) for due, spent, _ in lines if any(began <= float(due) < ended for began, ended in spans)]


class Stream:
    """The sidecar's event stream, read by a thread: when an event of a request was told."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._answer = urllib.request.urlopen(
            f"http://127.0.0.1:{sidecar.port}/events/stream?source=dao:crud", timeout=60
        )
        self.told: queue.Queue[tuple[float, str]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._answer:
            if line.startswith(b"data:"):
                at, event = time.time(), json.loads(line[5:])
                actor = event.get("data", {}).get("actor")
                if actor:
                    self.told.put((at, actor["request_id"]))

    def at(self, request_id: str) -> float:
        """Wait for the event of a request; return when it was told, Unix seconds."""
        while True:
            at, told = self.told.get(timeout=30)
            if told == request_id:
                return at


def writes(bench: Bench, count: int) -> dict[str, list[float]]:
    """Change a consumer through both routes in turn; return milliseconds: of answers, by route, and until committed."""
    stream = Stream(bench.sidecar)
    connection = HTTPConnection("127.0.0.1", bench.kong.proxy, timeout=30)
    found: dict[str, list[float]] = {"/admin": [], "/bare": [], "committed": []}
    for number in range(2 * count):
        path = ("/admin", "/bare")[number % 2]
        body = json.dumps({"custom_id": f"w{number}"})
        began = time.perf_counter()
        connection.request(
            "PATCH", f"{path}/consumers/kong-operators", body, {"content-type": "application/json", **WITH_KEY}
        )
        answer = connection.getresponse()
        answer.read()
        seconds, at = time.perf_counter() - began, time.time()
        assert answer.status == 200, answer.status
        found[path].append(seconds * 1000)
        if path == "/admin":
            request_id = answer.headers["X-Kong-Request-Id"]
            found["committed"].append(max(0.0, stream.at(request_id) - at) * 1000)
    return found


def measure(bench: Bench, args: argparse.Namespace, begin: Any) -> tuple[list[tuple[float, float]], list[Round]]:
    """Have quiet time, the first round, and then the others with quiet time between; return when each was."""
    sidecar, kong = bench.sidecar, bench.kong
    begin()
    time.sleep(SETTLING)
    began, before = time.time(), bench.cpu()
    time.sleep(args.interval)
    quiet = [(began, time.time())]
    kongs = spent(before, bench.cpu())[1] / (quiet[0][1] - began)
    sidecar.make_hooks({"name": "dao", "source": "dao:crud", "handler": "log"})
    first = bench.round()
    print(f"first round (fills the mirror): {shown(first, kongs)}", flush=True)
    rounds = []
    for number in range(args.rounds):
        if bench.database is None:
            kong.declarative.write_text(kong.declarative.read_text().rstrip() + " " * (number % 2) + "\n")
            assert kong.post_config() == 201
            time.sleep(SETTLING)
        waits = time.time()
        rounds.append(bench.round())
        quiet.append((waits, rounds[-1].began))
        print(f"round: {shown(rounds[-1], kongs)}", flush=True)
    return quiet, rounds


def shown(each: Round, kongs_quiet: float) -> str:
    """Return a round in one line; ``kongs_quiet`` is what traffic alone takes of Kong's CPU each second."""
    seconds = each.ended - each.began
    return (
        f"{seconds:.1f} s; CPU seconds: sidecar {each.cpu[0]:.2f}, Kong {each.cpu[1] - kongs_quiet * each.counted:.2f} "
        f"beyond traffic, PostgreSQL {each.cpu[2]:.2f}"
    )


def report(
    args: argparse.Namespace,
    bench: Bench,
    lines: list[list[str]],
    quiet: list[tuple[float, float]],
    rounds: list[Round],
) -> None:
    """Print what rounds cost, and whom they disturbed."""
    calm, busy = during(lines, quiet), during(lines, [(each.began, each.ended) for each in rounds])
    failed = sum(status != "200" for _, _, status in lines)
    p99, in_round = percentile(calm, 0.99), percentile(busy, 0.99)
    cpu = statistics.median(each.cpu[0] for each in rounds)
    print(f"{args.entities:,} entities, {args.rate:g} proxied requests a second, {failed} of {len(lines)} failed")
    for name, values in (("quiet", calm), ("during rounds", busy)):
        points = ", ".join(f"p{share * 100:g} {percentile(values, share):.1f}" for share in (0.5, 0.9, 0.99, 0.999))
        print(f"  proxied, {name}: {points} ms ({len(values):,} requests)")
    reach = max(20.0, 4 * p99)
    rss = bench.largest_rss()
    for what, value, limit in (
        ("proxied p99 during a round, ms", in_round, reach),
        ("sidecar's largest RSS, MB", rss, 300.0),
        ("sidecar's CPU a round, s", cpu, 5.0),
    ):
        print(f"  {what}: {value:.1f} (reach: {limit:.1f}) {'ok' if value <= limit else 'MISSED'}")
    print(f"  ratio to quiet: {in_round / p99:.1f}; events told: {len(bench.sidecar.events('dao:crud'))}")


def report_writes(found: dict[str, list[float]]) -> None:
    """Print what changes through the routes took."""
    for name, values in found.items():
        print(f"  {name}: p50 {percentile(values, 0.5):.2f}, p99 {percentile(values, 0.99):.2f} ms ({len(values)})")
    added = statistics.median(found["/admin"]) - statistics.median(found["/bare"])
    print(f"  the plugin adds {added:.2f} ms (median; reach: 5)")


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="see the file's head")
    parser.add_argument("--kong-bin", default=os.environ.get("KONG_BIN"))
    parser.add_argument("--kong-pg", default=os.environ.get("KONG_PG"))
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument(
        "--credentials", action="store_true", help="without a database: half of them keys, renewed each load"
    )
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--interval", type=float, default=20, help="quiet seconds between two rounds")
    parser.add_argument("--writes", type=int, default=300)
    return parser.parse_args()


def main() -> None:
    """Run it."""
    args = arguments()
    if not args.kong_bin:
        print("not measured: name a real Kong's executable with --kong-bin PATH or KONG_BIN")
        return
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sidecar = Sidecar(directory)
        stack.callback(sidecar.close)
        kong = Kong(args.kong_bin, directory, sidecar.socket_path)
        postgres = Postgres(args.kong_pg) if args.kong_pg else None
        database = None
        sidecar.watch(kong, crud_reconcile_seconds=args.interval, log_level="debug")
        sidecar.start()
        if postgres is not None:
            database = stack.enter_context(postgres.database())
            kong.extra_conf |= postgres.conf(database)
            done = kong.run("migrations", "bootstrap", "-c", str(kong.conf))
            assert done.returncode == 0, done.stdout + done.stderr
        stack.callback(kong.stop)
        file = directory / "requests"
        with client(kong, args.rate, file) as (upstream, begin):
            fill(kong, sidecar, postgres, args.entities, upstream, credentials=args.credentials)
            until(lambda: kong.get("/load")[0] == 200, "Kong proxies")
            bench = Bench(kong, sidecar, database)
            quiet, rounds = measure(bench, args, begin)
        lines = [line.split() for line in file.read_text().splitlines()]
        report(args, bench, lines, quiet, rounds)
        if database is not None:
            until(lambda: kong.send("GET", "/bare/status", headers=WITH_KEY, admin=False)[0] == 200, "the bare route")
            report_writes(writes(bench, args.writes))


if __name__ == "__main__":
    main()

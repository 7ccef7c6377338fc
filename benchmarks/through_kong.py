"""What a plugin costs a real Kong, and itself: ours beside file-log, http-log and a plugin written with go-pdk.

``python benchmarks/through_kong.py --kong-bin PATH [--go-pdk BINARY] [--starts 5] [--seconds 2] [--case 200]``

One Kong with one nginx worker and a route for each plugin and status, one sidecar, one upstream, one receiver. A client
with 32 connections (wrk where there is one) sends as fast as it is answered, to one route after the other, in turns. A
run ends when Kong, the plugin and the deliveries are idle again, so that its CPU includes what came after the answers.

Kong is started anew for each round of runs: LuaJIT finds a text by a hash of some of its bytes, and which ones is drawn
at a start, so that the same log can cost Kong ten times as much after one start as after another, for each plugin that
makes a text of it (docs/performance.md). One start decides nothing, many short ones do; ``--results FILE`` keeps the
runs, and adds those that are in it already. Printed are medians over the starts, quartiles in parentheses:

- answers a second that clients get
- Kong's CPU for an answer, its worker's alone; the plugin's beside it, all its processes. For ours it includes the
  event's delivery. The plugins of Kong itself run in Kong's
- log phases that never reached the plugin, of a thousand: for ours what Kong's access log has more than we counted
  calls, for go-pdk the lines of Kong's error log about its timers; http-log drops uncounted
- ours / file-log and ours / go-pdk in answers a second of one start

``200``: proxied, and no hook is interested. ``429``: refused by rate-limiting; ours has the event committed
(synchronous=FULL) and delivered, the go-pdk plugin asks Kong the same and keeps nothing. That plugin is
``benchmarks/support/go_pdk_plugin``: ``go mod init status_log && go mod tidy && go build -o status-log`` in a copy of
that folder; its plugin's name is the file's.

Each request to ours is accounted for, exactly: Kong's access log has as many as we had calls, and as many 429s as there
are events, unread logs and losses, but for what Kong's error log says was dropped. Else the run says so, and the exit
status is 1.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.support.processes import children, cpu_seconds  # noqa: E402  from where they are
from tests.integration.conftest import Kong, Sidecar, has_user, open_directory  # noqa: E402
from tests.support.hooks import plugin_config  # noqa: E402
from tests.support.kong_account import CONF, DROPPED, LOG, Account, account, logged  # noqa: E402
from tests.support.waiting import until  # noqa: E402

BENCHMARKS = Path(__file__).resolve().parent
CONNECTIONS = 32
CASES = ("200", "429")
DRAIN_SECONDS = 60.0
ARRIVAL_SECONDS = 5.0
"""How long calls may take to arrive once Kong is idle."""
IDLE_SECONDS = 0.3
PENDING = re.compile(rb'^kong_event_hooks_queue_deliveries\{state="(?:pending|leased)"\} (\S+)$', re.MULTILINE)
COMPARED = ("file-log", "go-pdk")


class Run(NamedTuple):
    """Answers a second, CPU microseconds an answer (Kong's, the plugin's), log phases of a thousand dropped."""

    rate: float
    kong: float
    plugin: float
    dropped: float


class Bench:
    """The Kong, the sidecar, and which processes belong to whom."""

    def __init__(self, kong: Kong, sidecar: Sidecar, go: "subprocess.Popen[bytes] | None") -> None:
        self.kong, self.sidecar, self.go = kong, sidecar, go
        self.wrk = shutil.which("wrk")
        self.unexplained = 0
        """Runs in which something is missing that Kong's error log does not explain."""

    def pids(self, plugin: str) -> tuple[list[int], list[int]]:
        """Return Kong's workers, and the plugin's processes."""
        assert self.sidecar.process is not None
        master = int((self.kong.prefix / "pids" / "nginx.pid").read_text())
        own = self.sidecar.process.pid
        if plugin == "ours":
            return children(master), [own, *children(own)]
        return children(master), [self.go.pid] if plugin == "go-pdk" and self.go else []

    def cpu(self, plugin: str) -> tuple[float, float]:
        """Return the CPU seconds so far, Kong's and the plugin's."""
        kongs, plugins = (sum(cpu_seconds(pids).values()) for pids in self.pids(plugin))
        return kongs, plugins

    def account(self) -> Account:
        """Return what the sidecar has counted so far."""
        return account(self.sidecar.get("/metrics")[1])

    def log_size(self) -> int:
        """Return where Kong's access log ends."""
        return (self.kong.prefix / LOG).stat().st_size

    def drops(self) -> int:
        """Return how many log phases Kong has dropped: it writes a line for each."""
        return self.kong.error_log().count(DROPPED)

    def idle(self) -> bool:
        """Whether nothing is left to do of a run."""
        counts = PENDING.findall(self.sidecar.get("/metrics")[1])
        before = self.cpu("ours")[0]
        time.sleep(IDLE_SECONDS)
        return bool(counts) and not any(map(float, counts)) and self.cpu("ours")[0] - before < IDLE_SECONDS / 10

    def run(self, plugin: str, case: str, seconds: float) -> Run:
        """Send requests to a route for so many seconds; return what they cost."""
        path = f"/{case}/{plugin}"
        cpu, counts, drops, start = self.cpu(plugin), self.account(), self.drops(), self.log_size()
        answers = self.load(f"http://127.0.0.1:{self.kong.proxy}{path}", seconds)
        until(self.idle, "Kong and the deliveries are idle", DRAIN_SECONDS)
        after = self.cpu(plugin)
        dropped = self.drops() - drops
        if plugin == "ours":
            dropped = self.missing(path, counts, start, dropped)
        kong, beside = (1e6 * (late - early) / answers for early, late in zip(cpu, after, strict=True))
        return Run(answers / seconds, kong, beside, 1000 * dropped / answers)

    def missing(self, path: str, before: Account, start: int, dropped: int) -> int:
        """Return how many log phases never reached us; say so where Kong's error log does not explain it."""
        statuses = [request.status for request in logged(self.kong.prefix, path, start)]
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while True:
            counts = self.account().since(before)
            calls, events = len(statuses) - counts.calls, statuses.count(429) - counts.known
            if calls == dropped and 0 <= events <= dropped:
                return calls
            if time.monotonic() > deadline:
                break
            time.sleep(IDLE_SECONDS)
        self.unexplained += 1
        print(
            f"  not accounted for: of {len(statuses)} requests to {path} {calls} calls and {events} events are missing,"
        )
        print(f"  Kong dropped {dropped}; {counts}")
        return calls

    def load(self, url: str, seconds: float) -> int:
        """Return how many answers came."""
        if self.wrk is None:
            command = [sys.executable, str(BENCHMARKS / "support" / "closed_loop.py"), url, str(CONNECTIONS)]
            return int(subprocess.check_output([*command, str(seconds)]))
        command = [self.wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", url]
        said = subprocess.check_output(command, text=True)
        return int(re.findall(r"(\d+) requests in", said)[0])


@contextmanager
def receiving() -> Iterator[int]:
    """Run an upstream or a receiver in a process of its own; give its port."""
    command = [sys.executable, str(BENCHMARKS / "delivery.py"), "--receive"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().split()[0])
        finally:
            process.terminate()


@contextmanager
def go_pdk(binary: str | None, directory: Path, kong: Kong) -> Iterator["subprocess.Popen[bytes] | None"]:
    """Run a plugin server of go-pdk's beside Kong."""
    if binary is None:
        yield None
        return
    name, path = Path(binary).name, Path(binary).resolve()
    key = f"pluginserver_{name.replace('-', '_')}"
    kong.extra_conf |= {
        "plugins": f"bundled,event-hooks,{name}",
        "pluginserver_names": f"event-hooks,{name}",
        f"{key}_socket": str(directory / f"{name}.socket"),
        f"{key}_query_cmd": f"{path} -kong-prefix {directory} -dump",
    }
    with subprocess.Popen([path, "-kong-prefix", str(directory)], stderr=subprocess.DEVNULL) as process:
        try:
            until((directory / f"{name}.socket").exists, "the go-pdk plugin listens")
            (directory / f"{name}.socket").chmod(0o666)  # the workers' user is another one
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def declare(kong: Kong, plugins: list[str], upstream: int, receiver: int, go_name: str) -> None:
    """Give Kong a route for each plugin and case."""
    logged = kong.prefix.parent / "logged"
    logged.touch()
    if has_user():
        shutil.chown(logged, "kong")
    entries: dict[str, dict[str, Any]] = {
        "file-log": {"name": "file-log", "config": {"path": str(logged)}},
        "http-log": {"name": "http-log", "config": {"http_endpoint": f"http://127.0.0.1:{receiver}/logged"}},
        "go-pdk": {"name": go_name, "config": {}},
        "ours": {"name": "event-hooks", "config": plugin_config(hook(receiver))},
    }
    limit = {"name": "rate-limiting", "config": {"hour": 1, "policy": "local"}}
    routes = []
    for plugin in plugins:
        own = [entries[plugin]] if plugin in entries else []
        for case, limits in (("200", []), ("429", [limit])):
            name = f"{case}-{plugin}"
            routes.append({"name": name, "paths": [f"/{case}/{plugin}"], "plugins": [*own, *limits]})
    kong.declare({"services": [{"name": "up", "url": f"http://127.0.0.1:{upstream}", "routes": routes}]})


def hook(receiver: int) -> dict[str, Any]:
    """Return the one hook: it receives every refusal."""
    config = {"url": f"http://127.0.0.1:{receiver}/hook"}
    return {"name": "bench", "source": "rate-limiting", "handler": "webhook", "config": config}


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return the median and the quartiles on both sides; of a single value that."""
    first, middle, third = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return middle, first, third


def report(case: str, rounds: list[dict[str, Run]]) -> None:
    """Print a case's medians; a round is one start's runs."""
    print(f"\n{case}s, {len(rounds)} starts: answers/s   Kong's CPU, us   plugin's CPU, us   dropped of 1,000")
    for plugin in rounds[0]:
        columns = zip(*(each[plugin] for each in rounds), strict=True)
        rate, kong, beside, dropped = (quartiles(list(column)) for column in columns)
        print(
            f"  {plugin:9}{rate[0]:10,.0f} ({rate[1]:,.0f} to {rate[2]:,.0f})"
            f"{kong[0]:10,.0f} ({kong[1]:,.0f} to {kong[2]:,.0f}){beside[0]:8,.0f}{dropped[0]:8,.1f}"
        )
    for other in COMPARED:
        if {"ours", other} <= set(rounds[0]):
            ratios = [each["ours"].rate / each[other].rate for each in rounds]
            middle, first, third = quartiles(ratios)
            ahead = sum(ratio > 1 for ratio in ratios)
            print(f"  ours / {other:9}{middle:.2f} ({first:.2f} to {third:.2f}), ahead after {ahead} of {len(ratios)}")


def read_results(results: Path, case: str, plugins: list[str]) -> list[dict[str, Run]]:
    """Return the rounds of a case with these plugins, of this call and earlier ones."""
    rounds = [json.loads(line) for line in results.read_text().splitlines()]
    return [
        {plugin: Run(*each["runs"][plugin]) for plugin in plugins}
        for each in rounds
        if each["case"] == case and set(plugins) <= set(each["runs"])
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kong-bin", default=os.environ.get("KONG_BIN"))
    parser.add_argument("--go-pdk", help="the plugin's executable")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--plugin", action="append", choices=("none", "file-log", "http-log", "go-pdk", "ours"))
    parser.add_argument("--results", type=Path, help="a file that keeps the runs of several calls: a line a start")
    chosen = parser.parse_args()
    if not chosen.kong_bin:
        print("not measured: name a real Kong's executable with --kong-bin PATH or KONG_BIN")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no Kong is left behind
    plugins = chosen.plugin or ["none", "file-log", "http-log", *(["go-pdk"] if chosen.go_pdk else []), "ours"]
    cases = chosen.case or CASES
    with ExitStack() as stack:
        directory = stack.enter_context(open_directory())
        results = chosen.results or directory / "results"
        sidecar = Sidecar(directory)
        stack.callback(sidecar.close)
        kong = Kong(chosen.kong_bin, directory, sidecar.socket_path)
        kong.extra_conf |= {
            **CONF, "proxy_access_log": CONF["proxy_access_log"] + " buffer=64k flush=100ms",
            "nginx_worker_processes": "1", "plugins": "bundled,event-hooks", "pluginserver_names": "event-hooks",
        }  # fmt: skip
        go = stack.enter_context(go_pdk(chosen.go_pdk, directory, kong))
        upstream, receiver = stack.enter_context(receiving()), stack.enter_context(receiving())
        declare(kong, plugins, upstream, receiver, Path(chosen.go_pdk or "").name)
        sidecar.start()
        stack.callback(kong.stop)
        bench = Bench(kong, sidecar, go)
        for start in range(chosen.starts):
            first = start % len(plugins)
            kong.start()
            for case in cases:
                runs = measure(bench, case, plugins[first:] + plugins[:first], chosen.seconds)
                with results.open("a") as kept:
                    kept.write(json.dumps({"case": case, "runs": runs}) + "\n")
            kong.stop()
            until(lambda: not (kong.prefix / "pids" / "nginx.pid").exists(), "Kong has ended")
        for case in cases:
            report(case, read_results(results, case, plugins))
        sys.exit(1 if bench.unexplained else 0)


def measure(bench: Bench, case: str, plugins: list[str], seconds: float) -> dict[str, Run]:
    """Return a run of each plugin, in this order."""
    for plugin in plugins:
        bench.run(plugin, case, 1)  # to warm up: the limit is exceeded, the instance started, Lua compiled
    runs = {}
    for plugin in plugins:
        runs[plugin] = run = bench.run(plugin, case, seconds)
        print(
            f"  {case} {plugin:9}{run.rate:12,.0f}{run.kong:17,.0f}{run.plugin:19,.0f}{run.dropped:12,.1f}", flush=True
        )
    return runs


if __name__ == "__main__":
    main()

"""What a plugin costs a real Kong, and itself: ours beside file-log, http-log and a plugin written with go-pdk.

``python benchmarks/through_kong.py --kong-bin PATH [--go-pdk BINARY] [--seconds 2] [--runs 5] [--case 200 --case 429]``

One Kong with one nginx worker and a route for each plugin and status, one sidecar, one upstream, one receiver. A client
with 32 connections (wrk where there is one) sends as fast as it is answered, to one route after the other, in turns. A
run ends when Kong, the plugin and the deliveries are idle again, so that its CPU includes what came after the answers.
Each run has a Kong of its own start: LuaJIT finds a text by a hash of some of its bytes, and which ones is drawn at a
start. So the same log can cost Kong ten times as much after one start as after another, for each plugin that makes a
text of it (docs/performance.md). Medians of the runs:

- answers a second that clients get
- Kong's CPU for an answer, its worker's alone; the plugin's beside it, all its processes. For ours it includes the
  event's delivery. The plugins of Kong itself run in Kong's
- answers whose log never reached the plugin, of a thousand: Kong's timers were full. Seen for ours by its own counter,
  for go-pdk by Kong's error log; http-log drops uncounted

``200``: proxied, and no hook is interested. ``429``: refused by rate-limiting; ours has the event committed
(synchronous=FULL) and delivered, the go-pdk plugin asks Kong the same and keeps nothing. That plugin is
``benchmarks/support/go_pdk_plugin``: ``go mod init status_log && go mod tidy && go build -o status-log`` in a copy of
that folder; its plugin's name is the file's.
"""

import argparse
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
from tests.support.waiting import until  # noqa: E402

BENCHMARKS = Path(__file__).resolve().parent
CONNECTIONS = 32
CASES = ("200", "429")
DRAIN_SECONDS = 60.0
IDLE_SECONDS = 0.3
CALLS = re.compile(rb'^kong_event_hooks_plugin_calls_total\{call="handle_event"\} (\S+)$', re.MULTILINE)
PENDING = re.compile(rb'^kong_event_hooks_queue_deliveries\{state="(?:pending|leased)"\} (\S+)$', re.MULTILINE)
DROPPED = "lua_max_running_timers are not enough"


class Run(NamedTuple):
    """Answers a second, CPU microseconds an answer (Kong's, the plugin's), answers of a thousand that were dropped."""

    rate: float
    kong: float
    plugin: float
    dropped: float


class Bench:
    """The Kong, the sidecar, and which processes belong to whom."""

    def __init__(self, kong: Kong, sidecar: Sidecar, go: "subprocess.Popen[bytes] | None") -> None:
        self.kong, self.sidecar, self.go = kong, sidecar, go
        self.wrk = shutil.which("wrk")

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

    def calls(self) -> float:
        """Return how many calls the sidecar has had."""
        found = CALLS.search(self.sidecar.get("/metrics")[1])
        return float(found[1]) if found else 0.0

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
        before, calls, drops = self.cpu(plugin), self.calls(), self.drops()
        answers = self.load(f"http://127.0.0.1:{self.kong.proxy}/{case}/{plugin}", seconds)
        until(self.idle, "Kong and the deliveries are idle", DRAIN_SECONDS)
        after = self.cpu(plugin)
        dropped = max(0.0, answers - (self.calls() - calls)) if plugin == "ours" else self.drops() - drops
        kong, beside = (1e6 * (late - early) / answers for early, late in zip(before, after, strict=True))
        return Run(answers / seconds, kong, beside, 1000 * dropped / answers)

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


def report(case: str, runs: dict[str, list[Run]]) -> None:
    """Print a case's medians."""
    print(f"\n{case}s         answers/s   Kong's CPU, us   plugin's CPU, us   dropped of 1,000")
    for plugin, seen in runs.items():
        middle = Run(*(statistics.median(column) for column in zip(*seen, strict=True)))
        rates = sorted(run.rate for run in seen)
        print(
            f"  {plugin:9}{middle.rate:12,.0f}{middle.kong:17,.0f}{middle.plugin:19,.0f}{middle.dropped:19,.1f}"
            f"   ({rates[0]:,.0f} to {rates[-1]:,.0f}/s)"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kong-bin", default=os.environ.get("KONG_BIN"))
    parser.add_argument("--go-pdk", help="the plugin's executable")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--plugin", action="append", choices=("none", "file-log", "http-log", "go-pdk", "ours"))
    chosen = parser.parse_args()
    if not chosen.kong_bin:
        print("not measured: name a real Kong's executable with --kong-bin PATH or KONG_BIN")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no Kong is left behind
    plugins = chosen.plugin or ["none", "file-log", "http-log", *(["go-pdk"] if chosen.go_pdk else []), "ours"]
    with ExitStack() as stack:
        directory = stack.enter_context(open_directory())
        sidecar = Sidecar(directory)
        stack.callback(sidecar.close)
        kong = Kong(chosen.kong_bin, directory, sidecar.socket_path)
        kong.extra_conf |= {
            "nginx_worker_processes": "1", "proxy_access_log": "off", "plugins": "bundled,event-hooks",
            "pluginserver_names": "event-hooks",
        }  # fmt: skip
        go = stack.enter_context(go_pdk(chosen.go_pdk, directory, kong))
        upstream, receiver = stack.enter_context(receiving()), stack.enter_context(receiving())
        declare(kong, plugins, upstream, receiver, Path(chosen.go_pdk or "").name)
        sidecar.start()
        stack.callback(kong.stop)
        bench = Bench(kong, sidecar, go)
        for case in chosen.case or CASES:
            runs: dict[str, list[Run]] = {plugin: [] for plugin in plugins}
            for _ in range(chosen.runs):
                kong.start()
                for plugin in plugins:
                    bench.run(plugin, case, 1)  # to warm up: the limit is exceeded, the instance started, Lua compiled
                for plugin, seen in runs.items():
                    seen.append(bench.run(plugin, case, chosen.seconds))
                    print(
                        f"  {plugin:9}{seen[-1].rate:12,.0f}{seen[-1].kong:17,.0f}{seen[-1].plugin:19,.0f}", flush=True
                    )
                kong.stop()
            report(case, runs)


if __name__ == "__main__":
    main()

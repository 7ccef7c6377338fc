"""Events per CPU second of the plugin server's process, beside a bare server and kong-pdk doing equal PDK calls.

``python benchmarks/plugin_server.py [--seconds 2.5] [--runs 5] [--case none --case status --case durable]``

Server and driver are processes of their own, each on its own processor where there are two; every server gets the same
driver, in the same run, one after the other, and the median of the runs counts. A server's CPU time (user and system,
all its threads) is read from /proc by this process. Sixty-four calls are in flight, one a connection.

- ``none``: no hook cares, nothing is asked.
- ``status``: one PDK call, and no hook cares for that status.
- ``durable``: two PDK calls, an event for one hook, committed to SQLite (synchronous=FULL) before the answer.
  Afterwards the store is opened and counted. kong-pdk and the bare server ask the same and keep nothing.

At the end the memory of our server at rest, with its dispatcher and its store.
"""

import argparse
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUPPORT = Path(__file__).resolve().parent / "support"
TICKS = os.sysconf("SC_CLK_TCK")
SERVERS = {"bare": "protobuf", "ours": "protobuf", "kong_pdk": "msgpack"}
CASES = ("none", "status", "durable")
STORE = "bench.db"
REACH = {"none": 0.75, "status": 0.75, "durable": 0.22}
"""Of the bare server."""


@contextmanager
def serving(name: str, case: str, directory: Path) -> Iterator[tuple[int, Path]]:
    """Run a server; give its pid and socket."""
    path = directory / f"{name}.sock"
    command = [sys.executable, str(SUPPORT / f"serve_{name}.py"), str(path), case, str(directory)]
    said = directory / f"{name}.log"  # kong-pdk tells of every connection that the driver leaves at its end
    with said.open("w") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as server:
        assert server.stdout is not None
        try:
            if server.stdout.readline().strip() != "ready":
                raise SystemExit(f"{name} did not start:\n{said.read_text()}")
            apart(server.pid, server=True)
            yield server.pid, path
        finally:
            server.send_signal(signal.SIGKILL)


def apart(pid: int, *, server: bool) -> None:
    """Keep server and driver on processors of their own, where there are two: fewer moves, less scatter."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) > 1:
        mine = processors[-1:] if server else processors[:-1]
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), mine)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its threads so far."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS


def memory(pid: int) -> dict[str, float]:
    """Return a process's memory in MB: Rss, and Pss (shared pages counted by share)."""
    lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
    sizes = {words[0].rstrip(":"): int(words[1]) / 1024 for words in lines}
    return {name: sizes[name] for name in ("Rss", "Pss")}


def measure(name: str, case: str, in_flight: int, seconds: float) -> tuple[float, float]:
    """Return events per CPU second of the server, and per second of the clock."""
    with tempfile.TemporaryDirectory() as made, serving(name, case, Path(made)) as (pid, path):
        events, spent = drive(pid, [SERVERS[name], str(path), case, str(in_flight), str(seconds)])
        if name == "ours" and case == "durable":
            hold_stored(Path(made), events[1])
    answered = events[1] - events[0]
    return answered / (spent[1] - spent[0]), answered / seconds


def drive(pid: int, arguments: list[str]) -> tuple[list[int], list[float]]:
    """Run a driver against the server ``pid``; return its two counts, and the server's CPU seconds at each."""
    events, spent = [], []
    with subprocess.Popen([sys.executable, str(SUPPORT / "driver.py"), *arguments], stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        apart(driver.pid, server=False)
        for _ in range(2):
            line = driver.stdout.readline().split()
            spent.append(cpu_seconds(pid))
            if not line:
                raise SystemExit(f"the driver ended: {arguments}")
            events.append(int(line[1]))
    return events, spent


def hold_stored(directory: Path, answered: int) -> None:
    """Look into the store, with the server gone: every call that was answered left a delivery."""
    with sqlite3.connect(directory / STORE) as store:
        (stored,) = store.execute("SELECT count(*) FROM deliveries").fetchone()
    store.close()
    if stored < answered:
        raise SystemExit(f"{answered} calls were answered, {stored} deliveries stored")


def report(case: str, rates: dict[str, list[tuple[float, float]]]) -> None:
    """Print a case's medians, ratios and whether the reach is met."""
    medians = {name: statistics.median(rate for rate, _ in runs) for name, runs in rates.items()}
    wall = {name: statistics.median(rate for _, rate in runs) for name, runs in rates.items()}
    print(f"\n{case}")
    for name, median in medians.items():
        lowest, highest = min(rates[name])[0], max(rates[name])[0]
        print(
            f"  {name:9} {median:10,.0f} events per CPU second  ({lowest:,.0f} to {highest:,.0f}),"
            f" {wall[name]:10,.0f} a second"
        )
    if "ours" not in medians or "bare" not in medians:
        return
    for name in medians.keys() - {"ours"}:
        print(f"  ours / {name}: {medians['ours'] / medians[name]:.2f}")
    reached = medians["ours"] / medians["bare"]
    print(f"  reach: {reached:.2f} of {REACH[case]} {'met' if reached >= REACH[case] else 'NOT MET'}")


def report_memory() -> None:
    """Print the memory of our server, with its queue, before any call."""
    with tempfile.TemporaryDirectory() as made, serving("ours", "durable", Path(made)) as (pid, _):
        sizes = memory(pid)
    print(f"\nat rest: {sizes['Pss']:.1f} MB (PSS), {sizes['Rss']:.1f} MB (RSS)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--server", action="append", choices=tuple(SERVERS))
    chosen = parser.parse_args()
    for case in chosen.case or CASES:
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen.server or SERVERS}
        for _ in range(chosen.runs):
            for name, runs in rates.items():
                runs.append(measure(name, case, chosen.in_flight, chosen.seconds))
        report(case, rates)
    report_memory()


if __name__ == "__main__":
    main()

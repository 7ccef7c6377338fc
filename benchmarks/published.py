"""Events published over HTTP until they are received: a burst, and a steady rate. Ours beside the least that forwards.

``python benchmarks/published.py [--burst 20000] [--rate 300] [--seconds 10] [--runs 3]``

``serve`` as it is, with SQLite (synchronous=FULL) and one signed webhook that answers at once; its peer
(``support/serve_forward.py``) takes the same requests, keeps nothing and posts them on. This process publishes over 32
connections and is the receiver, so that it sees both ends of each event. The two take turns; medians of the runs:

- a burst: deliveries a second from the first publication to the last delivery, and CPU microseconds of all the system's
  processes for an event
- the steady rate: the same CPU, and from publication to receipt p50 and p99 in milliseconds
- memory of all its processes at the end (PSS)
"""

import argparse
import asyncio
import json
import math
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.support.processes import cpu, processes  # noqa: E402  from where they are
from tests.support.hooks import plugin_config  # noqa: E402
from tests.support.processes import Running  # noqa: E402

SUPPORT = Path(__file__).resolve().parent / "support"
CONNECTIONS = 32
PATIENCE = 60.0
SECRET = "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="
SYSTEMS = ("ours", "forwards")


class Run(NamedTuple):
    """What one run of one system gave."""

    burst_rate: float
    burst_cpu: float
    steady_cpu: float
    p50: float
    p99: float
    memory: float


class Received:
    """What has arrived of the events that were published, and how long after."""

    def __init__(self) -> None:
        self.sent: dict[int, float] = {}
        self.seconds: list[float] = []
        self.wanted = 0
        self.all = asyncio.Event()

    def expect(self, count: int) -> None:
        """Begin anew, with so many to come."""
        self.sent.clear()
        self.seconds.clear()
        self.wanted = count
        self.all.clear()

    def arrived(self, number: int) -> None:
        """Note one, once."""
        at = self.sent.pop(number, None)
        if at is not None:
            self.seconds.append(time.perf_counter() - at)
            if len(self.seconds) == self.wanted:
                self.all.set()


class Receiver(asyncio.Protocol):
    """Answers each request at once."""

    def __init__(self, received: Received) -> None:
        self.received, self.had = received, b""

    def connection_made(self, transport: Any) -> None:
        """Keep what to answer on."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take whole requests."""
        self.had += data
        while (end := self.had.find(b"\r\n\r\n")) >= 0:
            head = self.had[:end].lower()
            start = head.find(b"content-length:") + 15
            whole = end + 4 + int(head[start:].split(b"\r\n", 1)[0])
            if len(self.had) < whole:
                return
            body = json.loads(self.had[end + 4 : whole])
            self.had = self.had[whole:]
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            self.received.arrived(body.get("number"))


class Publisher(asyncio.Protocol):
    """One connection, one request at a time; ``free`` is called when the answer has come."""

    def __init__(self, free: Any) -> None:
        self.free, self.had = free, b""

    def connection_made(self, transport: Any) -> None:
        """Begin as free."""
        self.transport = transport
        self.free(self)

    def publish(self, number: int) -> None:
        """Send one event."""
        data = {"number": number, "ip": "192.0.2.7", "service": {"name": "demo"}, "limit": 5, "window": "minute"}
        body = json.dumps({"event": "bench", "data": data}).encode()
        head = b"POST /events HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))

    def data_received(self, data: bytes) -> None:
        """Take the answer."""
        self.had += data
        end = self.had.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.had[:end].lower()
        start = head.find(b"content-length:") + 15
        if len(self.had) >= end + 4 + int(head[start:].split(b"\r\n", 1)[0]):
            assert head.startswith(b"http/1.1 201"), self.had
            self.had = b""
            self.free(self)


class Load:
    """Publishes to one port."""

    def __init__(self, received: Received) -> None:
        self._received = received
        self._free: list[Publisher] = []
        self._one_free = asyncio.Event()
        self._number = 0

    def _is_free(self, publisher: Publisher) -> None:
        self._free.append(publisher)
        self._one_free.set()

    async def connect(self, port: int) -> None:
        """Open the connections."""
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Publisher(self._is_free), "127.0.0.1", port)

    async def publish(self, count: int, rate: float = math.inf) -> None:
        """Publish so many, at a rate a second, and wait until all have arrived."""
        received, began = self._received, time.perf_counter()
        received.expect(count)
        for at in range(count):
            if (late := began + at / rate - time.perf_counter()) > 0:
                await asyncio.sleep(late)
            while not self._free:
                self._one_free.clear()
                await self._one_free.wait()
            self._number += 1
            received.sent[self._number] = time.perf_counter()
            self._free.pop().publish(self._number)
        await asyncio.wait_for(received.all.wait(), PATIENCE)


@contextmanager
def ours(url: str, directory: Path, flags: list[str]) -> Iterator[tuple[int, int]]:
    """Run the sidecar; give its supervisor's process id and its port."""
    hook = {"name": "bench", "source": "custom", "handler": "webhook", "config": {"url": url, "secret": SECRET}}
    plugins = [{"name": "event-hooks", "config": plugin_config(hook)}]
    (directory / "kong.yml").write_text(json.dumps({"_format_version": "3.0", "plugins": plugins}))
    command = [sys.executable, "-P", "-m", "kong_eventhooks_plugin", "serve", "--log-format=json", *flags]
    command += [f"--socket-path={directory}/plugin.sock", f"--data-dir={directory}", "--listen=127.0.0.1:0"]
    running = Running([*command, f"--kong-yml={directory}/kong.yml"], {"PYTHONPATH": str(ROOT)})
    try:
        yield running.process.pid, int(running.wait_for("api_listening", 1, PATIENCE)["port"])
    finally:
        running.stop()


@contextmanager
def forwards(url: str, _directory: Path, _flags: list[str]) -> Iterator[tuple[int, int]]:
    """Run the peer."""
    command = [sys.executable, str(SUPPORT / "serve_forward.py"), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGKILL)


def memory(pid: int) -> float:
    """Return the memory of a process and all below it in MB."""
    lines = [line for each in processes(pid) for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


async def measure(name: str, chosen: argparse.Namespace) -> Run:
    """Run one system once."""
    received = Received()
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(received), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    started = {"ours": ours, "forwards": forwards}[name]
    with tempfile.TemporaryDirectory() as made, started(url, Path(made), chosen.flag) as (pid, port):
        load = Load(received)
        await load.connect(port)
        await load.publish(200, 500)
        began, spent = time.perf_counter(), cpu(pid)
        await load.publish(chosen.burst)
        seconds, burst_cpu = time.perf_counter() - began, cpu(pid) - spent
        await asyncio.sleep(1)
        spent, count = cpu(pid), round(chosen.rate * chosen.seconds)
        await load.publish(count, chosen.rate)
        await asyncio.sleep(0.2)
        steady_cpu = cpu(pid) - spent
        late = sorted(second * 1_000 for second in received.seconds)
        used = memory(pid)
    server.close()
    return Run(
        chosen.burst / seconds,
        burst_cpu / chosen.burst * 1e6,
        steady_cpu / count * 1e6,
        late[len(late) // 2],
        late[len(late) * 99 // 100],
        used,
    )


def main() -> None:
    """Run both in turns; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--burst", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--flag", action="append", default=[], help="of serve, such as --flag=--hook-concurrency=32")
    parser.add_argument("--system", action="append", choices=SYSTEMS)
    chosen = parser.parse_args()
    systems = chosen.system or SYSTEMS
    runs: dict[str, list[Run]] = {name: [] for name in systems}
    for _ in range(chosen.runs):
        for name in systems:
            runs[name].append(uvloop.run(measure(name, chosen)))
    print(f"burst of {chosen.burst:,}, then {chosen.rate:g}/s; CPU in microseconds an event, medians of {chosen.runs}")
    print(f"{'':10}{'burst/s':>9}{'CPU':>7}{'steady CPU':>12}{'p50 ms':>8}{'p99 ms':>8}{'MB':>6}")
    for name, seen in runs.items():
        rate, burst, steady, p50, p99, used = (statistics.median(column) for column in zip(*seen, strict=True))
        print(f"{name:10}{rate:9,.0f}{burst:7,.0f}{steady:12,.0f}{p50:8.1f}{p99:8.1f}{used:6.0f}")


if __name__ == "__main__":
    main()

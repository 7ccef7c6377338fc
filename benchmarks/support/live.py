"""A whole sidecar as it is in service, and what is around it: receivers, a recorded Kong, a client of the API, a clock.

Nothing here decides whether something is right; ``soak.py`` and ``figures.py`` do.
"""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from struct import Struct
from typing import Any

import aiohttp

BENCHMARKS = Path(__file__).resolve().parents[1]
SUPPORT = BENCHMARKS / "support"
sys.path.insert(0, str(BENCHMARKS.parent))

from tests.kong_node.node import KongNode, request_log  # noqa: E402  as the tests do it, from where they are
from tests.support.processes import Running  # noqa: E402
from tests.support.waiting import until  # noqa: E402

PATIENCE = 60.0
AHEAD = Struct("d")


class Clock:
    """The clock of day of every worker, ``ahead`` of the machine's by so many seconds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ahead = 0.0
        self.set(0.0)

    def set(self, ahead: float) -> None:
        """Set it, for all at once."""
        self.ahead = ahead
        if not self.path.exists():
            self.path.write_bytes(AHEAD.pack(ahead))
        else:
            with self.path.open("r+b") as file:  # in place: workers have it mapped
                file.write(AHEAD.pack(ahead))


class Receiver:
    """A process that keeps what arrives, on the same ports however often it is killed and started again."""

    def __init__(self, file: Path, *, ports: int = 1, hang: bool = False) -> None:
        self.file, self.ports = file, [0] * ports
        self._hang = ["hang"] if hang else []
        self._read_to = 0
        self.start()

    def start(self) -> None:
        """Start it, and return when it listens."""
        command = [sys.executable, str(SUPPORT / "receiver.py"), str(self.file), *map(str, self.ports), *self._hang]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ports = [int(word) for word in self.process.stdout.readline().split()]
        self.process.stdout.close()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Stop it, or let it go on."""
        self.process.send_signal(number)

    @property
    def urls(self) -> list[str]:
        """Return what hooks call, one a port."""
        return [f"http://127.0.0.1:{port}/hook" for port in self.ports]

    def news(self) -> list[tuple[float, str, str]]:
        """Return what has arrived since the last call: when, webhook-id, key."""
        if not self.file.exists():
            return []
        with self.file.open("rb") as file:
            file.seek(self._read_to)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read_to += len(whole)
        lines = (line.decode().split() for line in whole.splitlines())
        return [(float(at), webhook_id, key) for at, webhook_id, key in lines]


def hook(name: str, url: str, source: str, **fields: Any) -> dict[str, Any]:
    """Return a signed webhook, as kong.yml has it."""
    config = {"url": url, "secret": "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="}
    return {"name": name, "source": source, "handler": "webhook", "handler_config": config, **fields}


def kong_yml(everywhere: Iterable[dict[str, Any]], services: dict[str, dict[str, Any]]) -> str:
    """Return a kong.yml with global hooks, and with one hook for each service."""
    one = [{"name": "event-hooks", "config": {"hooks": list(everywhere)}}]
    some = [
        {"name": name, "url": "http://127.0.0.1:9", "plugins": [{"name": "event-hooks", "config": {"hooks": [each]}}]}
        for name, each in services.items()
    ]
    return json.dumps({"_format_version": "3.0", "plugins": one, "services": some})


class Sidecar:
    """``serve``, started again whenever it is told; ``ready`` waits for the worker that is newest."""

    def __init__(
        self, directory: Path, data: Path, clock: Clock, kong_yml: str, *flags: str, under: Sequence[str] = ()
    ) -> None:
        self.path, self.data = directory / "plugin.sock", data
        file = directory / "kong.yml"
        file.write_text(kong_yml)
        settings = [f"--socket-path={self.path}", f"--data-dir={data}", f"--kong-yml={file}", "--listen=127.0.0.1:0"]
        self._command = [*under, sys.executable, "-P", "-m", "kong_eventhooks_plugin", "serve", "--log-format=json"]
        self._command += [*settings, *flags]
        self._environment = {"PYTHONPATH": str(SUPPORT / "settable_clock"), "SETTABLE_CLOCK": str(clock.path)}
        self._runs: list[Running] = []
        self._workers = 0
        self.start()

    def start(self) -> None:
        """Start a supervisor."""
        self._runs.append(Running(self._command, self._environment))
        self._workers = 0

    @property
    def running(self) -> Running:
        """The newest supervisor."""
        return self._runs[-1]

    def restart(self) -> None:
        """Start a supervisor as a service manager does: again where it ends, until there is a worker."""

        def started() -> bool:
            if self.running.process.poll() is not None:
                self.running.stop()
                self.start()
            return self.workers > 0

        self.start()
        until(started, "a worker of the next supervisor", PATIENCE)
        self.ready(0)

    def ready(self, since: int | None = None) -> int:
        """Wait for one worker more than ``since`` (as far as is known) to be ready and serve; return its process id."""
        count = self._workers + 1 if since is None else since + 1
        line = self.running.wait_for("worker_ready", count, PATIENCE)
        self.running.wait_for("api_listening", 1, PATIENCE)
        self.running.wait_for("declarative_file_loaded", 1, PATIENCE)  # no event fires before a first start has read it
        self._workers = len(self.running.lines("worker_ready"))
        return int(line["pid"])

    @property
    def workers(self) -> int:
        """How many workers of the newest supervisor have become ready."""
        return len(self.running.lines("worker_ready"))

    @property
    def worker(self) -> int:
        """The process id of the newest worker."""
        return int(self.running.lines("worker_ready")[-1]["pid"])

    @property
    def api(self) -> str:
        """The REST API's address."""
        lines = self.running.lines("api_listening")
        return f"http://127.0.0.1:{lines[-1]['port']}" if lines else "http://127.0.0.1:9"

    def get(self, path: str, seconds: float = PATIENCE) -> str:
        """Return what the API answers, whatever the status; repeated where nobody answers."""

        def answer() -> str:
            try:
                with urllib.request.urlopen(self.api + path, timeout=5) as got:  # noqa: S310 - our own server
                    return str(got.read(), "utf-8")
            except urllib.error.HTTPError as error:
                return str(error.read(), "utf-8")
            except OSError:
                return ""

        return until(answer, f"an answer to {path}", seconds)

    def post(self, path: str) -> None:
        """Post nothing to the API; it may not answer."""
        request = urllib.request.Request(self.api + path, method="POST")  # noqa: S310 - our own server
        with contextlib.suppress(OSError):
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310

    def lost(self) -> int:
        """Return how many events the worker has counted as lost."""
        lines = self.get("/metrics").splitlines()
        counts = [line for line in lines if line.startswith("kong_event_hooks_events_lost_total{")]
        return sum(int(float(line.rpartition(" ")[2])) for line in counts)

    def pending(self) -> int:
        """Return how many deliveries are not settled."""
        deliveries = json.loads(self.get("/readyz"))["queue"]["deliveries"]
        return int(deliveries["pending"] + deliveries["leased"])

    def memory(self) -> dict[str, float]:
        """Return the largest RSS so far of supervisor and worker, in MB."""
        found = {}
        for name, pid in (("supervisor", self.running.pid), ("worker", self.worker)):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            found[name] = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
        return found

    def log(self, event: str) -> list[dict[str, Any]]:
        """Return an event's lines of all supervisors."""
        return [line for run in self._runs for line in run.lines(event)]

    def output(self) -> list[str]:
        """Return all lines so far."""
        return [line for run in self._runs for line in run.output]

    def stop(self) -> None:
        """End all of them."""
        for run in self._runs:
            run.signal(signal.SIGCONT)
            run.stop()


class Log:
    """Logs of requests that a rate limit refused, each a new request, of services by turns."""

    def __init__(self, services: list[str]) -> None:
        self._base = request_log()
        self._services = services
        self._keys: list[str] = []

    def next(self, key: str) -> bytes:
        """Return the next one, with ``key`` as the request's id."""
        request = {**self._base["request"], "id": key}
        log = {**self._base, "request": request, "started_at": int(time.time() * 1000)}
        if self._services:
            log["service"] = {**log["service"], "name": self._services[len(self._keys) % len(self._services)]}
            self._keys.append(key)
        return json.dumps(log).encode()

    def keys_of(self, services: list[str]) -> set[str]:
        """Return the requests of these services."""
        turns = len(self._services)
        return {key for number, key in enumerate(self._keys) if self._services[number % turns] in services}


class Traffic:
    """Events at a steady rate: ``send`` makes one of a key and says whether it was accepted.

    ``at_once`` may be under way; where they are, the next ones wait.
    """

    def __init__(self, send: Callable[[str], Awaitable[bool]], per_second: float, at_once: int = 200) -> None:
        self._send = send
        self._per_second = per_second
        self._free = asyncio.Semaphore(at_once)
        self.sent = 0
        self.accepted: dict[str, tuple[float, float]] = {}
        """Key -> when it was sent and when the answer came, Unix seconds."""

    async def _one(self, key: str) -> None:
        at = time.time()
        try:
            if await self._send(key):
                self.accepted[key] = at, time.time()
        finally:
            self._free.release()

    async def run(self, over: asyncio.Event) -> None:
        """Send until it is over, and until every answer is there."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as calls:
            while not over.is_set():
                await self._free.acquire()
                self.sent += 1
                calls.create_task(self._one(uuid.uuid4().hex))
                due = max(due + 1 / self._per_second, loop.time() - 1)  # what it was late for is not all made up for
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), max(0.0, due - loop.time()))


def over_socket(node: KongNode, log: Log) -> Callable[[str], Awaitable[bool]]:
    """Return what has Kong report a request."""
    return lambda key: node.log(log=log.next(key))


@contextlib.asynccontextmanager
async def over_api(
    sidecar: Sidecar, over: asyncio.Event, event: str = "soak"
) -> AsyncIterator[Callable[[str], Awaitable[bool]]]:
    """Yield what publishes an event, and posts it again where no answer came or a 503 did."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:

        async def publish(key: str) -> bool:
            body = {"event": event, "data": {"id": key}, "key": key}
            while True:
                try:
                    async with session.post(f"{sidecar.api}/events", json=body) as answer:
                        await answer.read()
                        if answer.status < 300:
                            return True
                except (aiohttp.ClientError, TimeoutError):
                    pass
                if over.is_set():
                    return False
                await asyncio.sleep(0.2)

        yield publish

"""A real Kong, a real sidecar, a real upstream and a real receiver, each test in its own directory.

Kong's workers run as the user ``kong`` where there is one, as in every package and image, so directories are open to it
and the sidecar gives it the socket.
"""

import contextlib
import grp
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.hooks import plugin_config
from tests.support.kong_postgres import Postgres
from tests.support.waiting import until

SECRET = "whsec_aW50ZWdyYXRpb24tc2VjcmV0LW9mLTMyLWJ5dGVzIQ=="


USER = "kong"


def has_user() -> bool:
    """Whether Kong's workers will run as a user of their own: its command does so only when root calls it."""
    try:
        return os.geteuid() == 0 and bool(pwd.getpwnam(USER) and grp.getgrnam(USER))
    except KeyError:
        return False


@contextmanager
def open_directory() -> Iterator[Path]:
    """Make a directory that every user can enter: pytest's own are closed to Kong's workers."""
    directory = Path(tempfile.mkdtemp(prefix="event-hooks-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In place of pytest's own."""
    with open_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def kong_bin(request: pytest.FixtureRequest) -> str:
    path = request.config.getoption("--kong-bin")
    if not path:
        pytest.skip("no real Kong: name its executable with --kong-bin PATH or KONG_BIN")
    return str(path)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest, kong_bin: str) -> Postgres:
    url = request.config.getoption("--kong-pg")
    if not url:
        pytest.skip("no PostgreSQL for a real Kong: name one with --kong-pg postgresql://... or KONG_PG")
    return Postgres(str(url))


@pytest.fixture(scope="session")
def bootstrapped(postgres: Postgres, kong_bin: str) -> Iterator[str]:
    """A database with Kong's tables, empty: the template of each test's own."""
    with open_directory() as directory, postgres.database() as database:
        kong = Kong(kong_bin, directory, directory / "no.sock")
        # Kong asks a plugin server even here, where there is nothing to ask it for.
        kong.extra_conf = postgres.conf(database) | {"plugins": "bundled", "pluginserver_names": ""}
        done = kong.run("migrations", "bootstrap", "-c", str(kong.conf))
        assert done.returncode == 0, done.stdout + done.stderr
        yield database


@pytest.fixture
def pg_kong(kong: "Kong", postgres: Postgres, bootstrapped: str) -> Iterator["Kong"]:
    """A Kong with a database of its own; neither is started or filled."""
    with postgres.database(bootstrapped) as database:
        kong.extra_conf |= postgres.conf(database)
        yield kong
        kong.stop()  # before its database goes


def free_port() -> int:
    """Return a port that nobody has, from below those that the system gives to outgoing connections: it stays free."""
    for port in random.SystemRandom().sample(range(15_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port among a hundred")


class HttpServer:
    """An upstream or a receiver: keeps what it got, answers 200."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[dict[str, Any]] = []
        self._arrived = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                with outer._arrived:
                    outer.requests.append({"path": self.path, "headers": dict(self.headers.items()), "body": body})
                    outer._arrived.notify_all()
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                """Keep the test's output readable."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_for(self, count: int, seconds: float = 20.0) -> list[dict[str, Any]]:
        """Return the requests as soon as there are ``count``."""
        with self._arrived:
            done = self._arrived.wait_for(lambda: len(self.requests) >= count, seconds)
            assert done, f"{len(self.requests)} of {count} requests arrived within {seconds} s"
            return list(self.requests)

    def bodies(self) -> list[dict[str, Any]]:
        """Return the bodies so far, as JSON."""
        with self._arrived:
            return [json.loads(got["body"]) for got in self.requests]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def upstream() -> Iterator[HttpServer]:
    server = HttpServer()
    yield server
    server.close()


@pytest.fixture
def receiver() -> Iterator[HttpServer]:
    server = HttpServer()
    yield server
    server.close()


class Sidecar:
    """`kong-event-hooks serve` as a process beside Kong."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket_path = directory / "plugin.sock"
        self.data_dir = directory / "data"
        self.data_dir.mkdir(mode=0o700)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.log = directory / "sidecar.log"
        self.options: list[str] = []
        self.store: str | None = None

    def arguments(self) -> list[str]:
        group = ["--socket-group", USER] if has_user() else []
        return [
            *group, "--socket-path", str(self.socket_path), "--data-dir", str(self.data_dir),
            "--listen", f"127.0.0.1:{self.port}", "--log-format", "json", *self.options,
            *(["--store", self.store] if self.store else []),
        ]  # fmt: skip

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kong_eventhooks_plugin", "serve", *self.arguments()],
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        until(self.ready, "the sidecar is ready")

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def watch(self, kong: "Kong", **settings: object) -> None:
        """Have it look at that Kong's Admin API, from its next start on; ``settings`` by name."""
        given = {"admin_url": f"http://127.0.0.1:{kong.admin}", **settings}
        self.options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]

    def make_hooks(self, *hooks: dict[str, Any]) -> None:
        """Make hooks through the API, and wait for their pings."""
        until(lambda: self.get("/deliveries?size=1")[0] == 200, "the store is there; one that nodes share comes later")
        for hook in hooks:
            body = json.dumps(hook).encode()
            headers = {"content-type": "application/json"}
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}/event-hooks", body, headers)
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == 201

    def events(self, source: str) -> list[dict[str, Any]]:
        """Return the events of a source that were accepted so far, oldest first."""
        found: list[dict[str, Any]] = []
        path: str | None = f"/events?source={source}&size=1000"
        while path:
            page = json.loads(self.get(path)[1] or b'{"data": []}')
            found += page["data"]
            path = page.get("next")
        return found[::-1]

    def poller(self, name: str) -> dict[str, Any]:
        """Return what /readyz says of a poller; {} while it cannot be asked."""
        state = json.loads(self.get("/readyz")[1] or b"{}").get("pollers", {})
        return dict(state.get(name, {}))

    def spooled(self) -> int | None:
        """Return how many events have not reached the store that nodes share; None where it cannot be asked."""
        spool = json.loads(self.get("/readyz")[1] or b"{}").get("spool")
        return spool and spool["events"]

    def reconciliations(self, count: int = 2) -> None:
        """Wait until so many have ended. The second began after the call, where changes are not rare."""
        for _ in range(count):
            before = self.poller("crud")["reconciler"]["ended_at"]
            until(lambda before=before: self._reconciled(before), "a reconciliation ended")

    def _reconciled(self, before: float | None) -> bool:
        state = self.poller("crud")
        if not state or state["reconciler"]["ended_at"] in (None, before):
            return False
        return state["pending_observations"] == 0 and state["reconciler"]["outbox"] == 0

    def worker_pid(self) -> int:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.stop()


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    made = Sidecar(tmp_path)
    yield made
    made.close()
    if made.log.exists():
        print(made.log.read_text()[-8000:])


class Kong:
    """One Kong node in a prefix of its own, DB-less, on loopback."""

    def __init__(self, binary: str, directory: Path, socket_path: Path) -> None:
        self.binary = binary
        self.prefix = directory / "kong"
        self.prefix.mkdir()
        if has_user():
            shutil.chown(self.prefix, USER, USER)
        self.proxy = free_port()
        self.admin = free_port()
        self.declarative = directory / "kong.yml"
        self.conf = directory / "kong.conf"
        self.extra_conf: dict[str, str] = {}
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "EVENT_HOOKS_SECRET": SECRET}
        self.socket_path = socket_path

    def settings(self) -> dict[str, str]:
        me = f"{sys.executable} -m kong_eventhooks_plugin"
        base = {
            "prefix": str(self.prefix), "database": "off", "declarative_config": str(self.declarative),
            "proxy_listen": f"127.0.0.1:{self.proxy}", "admin_listen": f"127.0.0.1:{self.admin}",
            "admin_gui_listen": "off", "status_listen": "off", "anonymous_reports": "off",
            "nginx_worker_processes": "2", "log_level": "notice",
            "plugins": "bundled,event-hooks,event-hooks-crud",
            "pluginserver_names": "event-hooks,event-hooks-crud",
        }  # fmt: skip
        for name in ("event-hooks", "event-hooks-crud"):
            key = name.replace("-", "_")
            base[f"pluginserver_{key}_socket"] = str(self.socket_path)
            base[f"pluginserver_{key}_query_cmd"] = f"{me} plugin-info {name} --socket-path {self.socket_path}"
        return base | self.extra_conf

    def declare(self, document: dict[str, Any]) -> None:
        self.declarative.write_text(yaml.safe_dump({"_format_version": "3.0"} | document))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        self.conf.write_text("".join(f"{key} = {value}\n" for key, value in self.settings().items()))
        return subprocess.run(
            [self.binary, *words], env=self.environment, capture_output=True, text=True, timeout=90, check=False
        )

    def start(self) -> None:
        done = self.run("start", "-c", str(self.conf))
        assert done.returncode == 0, done.stdout + done.stderr + self.error_log()
        until(lambda: self.get("/nowhere")[0] == 404, "Kong proxies")

    def refusal(self) -> str:
        """Start Kong with what is declared, see that it refuses, return what it says."""
        done = self.run("start", "-c", str(self.conf))
        if done.returncode == 0:
            self.stop()
            raise AssertionError("Kong started with a declaration that it should refuse")
        return done.stdout + done.stderr

    def send(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None, *, admin: bool
    ) -> tuple[int, Any, dict[str, str]]:
        """Send a request to the admin port, or to the proxy; return status, the answer's JSON, and its headers."""
        port = self.admin if admin else self.proxy
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", None if body is None else body.encode(), headers or {}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null"), dict(answer.headers.items())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null"), dict(error.headers.items())

    def admin_get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as answer:
            return json.load(answer)

    def reload(self) -> None:
        done = self.run("reload", "-c", str(self.conf), "-p", str(self.prefix))
        assert done.returncode == 0, done.stdout + done.stderr

    def stop(self) -> None:
        self.run("stop", "-p", str(self.prefix))

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str]]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.proxy}{path}", headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, dict(answer.headers.items())
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers.items())
        except OSError:
            return 0, {}

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Make a JSON call through the proxy; return status and the answer's JSON (None where there is none)."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.proxy}{path}",
            None if body is None else json.dumps(body).encode(),
            {"content-type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def post_config(self) -> int:
        """Load the declarative file anew through POST /config; return the answer's status."""
        body = json.dumps({"config": self.declarative.read_text()}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin}/config", body, {"content-type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def error_log(self) -> str:
        path = self.prefix / "logs" / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""


def have_it_started(kong: Kong, sidecar: Sidecar, *options: str) -> None:
    """Have Kong start the sidecar, which then runs as Kong's workers do."""
    words = [sys.executable, "-m", "kong_eventhooks_plugin", "serve", "--started-by-kong", *options]
    kong.extra_conf["pluginserver_event_hooks_start_cmd"] = " ".join(words)
    if not has_user():
        return
    try:
        subprocess.run([sys.executable, "--version"], user=USER, group=USER, capture_output=True, check=True)
    except PermissionError:  # an interpreter in root's home
        kong.extra_conf["nginx_user"] = "root root"
    else:
        for directory in (sidecar.directory, sidecar.data_dir):
            shutil.chown(directory, USER, USER)


@pytest.fixture
def kong(kong_bin: str, tmp_path: Path, sidecar: Sidecar) -> Iterator[Kong]:
    made = Kong(kong_bin, tmp_path, sidecar.socket_path)
    yield made
    made.stop()
    print(made.error_log()[-8000:])


@contextmanager
def traffic(kong: Kong, path: str, per_second: int = 200) -> Iterator[dict[int, int]]:
    """Send requests from two threads until the block ends; yields status -> count."""
    seen: dict[int, int] = {}
    over = threading.Event()
    lock = threading.Lock()

    def send() -> None:
        while not over.wait(2 / per_second):
            status = kong.get(path)[0]
            with lock:
                seen[status] = seen.get(status, 0) + 1

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


def hooks_document(upstream: HttpServer, hooks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a kong.yml with a service that is limited to two requests an hour and the hooks on event-hooks."""
    return {
        "services": [
            {
                "name": "demo",
                "url": f"http://127.0.0.1:{upstream.port}",
                "routes": [{"name": "demo", "paths": ["/demo"]}],
                "plugins": [{"name": "rate-limiting", "config": {"hour": 2, "policy": "local"}}],
            }
        ],
        "plugins": [{"name": "event-hooks", "config": plugin_config(*hooks)}],
    }


def webhook(receiver: HttpServer, **fields: Any) -> dict[str, Any]:
    """Return a webhook hook on rate-limiting that calls the receiver, its secret a vault reference."""
    config = {"url": f"http://127.0.0.1:{receiver.port}/hook", "secret": "{vault://env/event-hooks-secret}"}
    return {"name": "reported", "source": "rate-limiting", "handler": "webhook", "config": config} | fields

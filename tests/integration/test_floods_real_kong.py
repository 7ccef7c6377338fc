"""Each request of a flood is an event or counted, to the last one; each call that Kong drops has a line in its log."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from kong_eventhooks_plugin.cli import cli
from tests.integration.conftest import HttpServer, Kong, Sidecar, hooks_document, webhook
from tests.support.kong_account import CONF, DROPPED, Account, account, logged
from tests.support.waiting import until

pytestmark = [pytest.mark.kong, pytest.mark.long, pytest.mark.timeout(300)]

CLIENT = Path(__file__).resolve().parents[2] / "benchmarks" / "support" / "closed_loop.py"
PATH = "/demo"
ALL = "/"
"""The plugin is global: the request by which Kong is seen to have started is a call as well."""


def send(kong: Kong, seconds: int, connections: int = 32) -> None:
    """Send requests as fast as they are answered."""
    url = f"http://127.0.0.1:{kong.proxy}{PATH}"
    subprocess.run([sys.executable, str(CLIENT), url, str(connections), str(seconds)], check=True, timeout=120)


def counted(sidecar: Sidecar) -> Account:
    return account(sidecar.get("/metrics")[1])


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def flooded(kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer) -> Kong:
    """A Kong whose every request but the first few is refused, with the sidecar beside it."""
    kong.extra_conf |= CONF
    kong.declare(hooks_document(upstream, [webhook(receiver, handler="log", config={}, snooze=3600)]))
    return kong


def test_as_many_events_as_refusals_and_the_same_ones(flooded: Kong, sidecar: Sidecar) -> None:
    kong = flooded
    sidecar.start()
    kong.start()
    send(kong, 2)
    until(lambda: counted(sidecar).calls == len(logged(kong.prefix, ALL)), "each request's call is here")
    requests = logged(kong.prefix, ALL)
    refused = {request.request_id for request in requests if request.status == 429}
    until(lambda: counted(sidecar).known == len(refused), "each call's event is committed")
    assert len(refused) > 100
    assert counted(sidecar) == Account(len(requests), len(refused), 0, 0, 0)
    assert {event["data"]["request"]["id"] for event in sidecar.events("rate-limiting")} == refused
    assert DROPPED not in kong.error_log()


def test_what_kong_drops_has_a_line_each(flooded: Kong, sidecar: Sidecar) -> None:
    kong = flooded
    kong.extra_conf["nginx_worker_processes"] = "1"
    sidecar.options = ["--watchdog-seconds", "0"]
    sidecar.start()
    kong.start()
    send(kong, 1)
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            send(kong, 1)

    thread = threading.Thread(target=flood)
    with stopped(sidecar.worker_pid()):
        thread.start()
        try:
            until(lambda: kong.error_log().count(DROPPED) > 10, "Kong drops", seconds=100)
            assert kong.admin_get("/")["timers"]["running"] == 4096
        finally:
            over.set()
            thread.join()

    def missing() -> int:
        return len(logged(kong.prefix, ALL)) - counted(sidecar).calls

    until(lambda: missing() == kong.error_log().count(DROPPED), "all that Kong did not drop is here")
    assert counted(sidecar).calls > 3000
    assert f"warn  losses     {missing()} calls of plugins like this one were dropped" in doctor(kong, sidecar)


def doctor(kong: Kong, sidecar: Sidecar) -> str:
    settings = {
        "socket_path": sidecar.socket_path, "data_dir": sidecar.data_dir, "listen": f"127.0.0.1:{sidecar.port}",
        "admin_url": f"http://127.0.0.1:{kong.admin}",
    }  # fmt: skip
    file = sidecar.directory / "settings.toml"
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in settings.items()))
    return CliRunner().invoke(cli, ["doctor", "--settings", str(file)]).stdout

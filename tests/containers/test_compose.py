"""The sidecar in a container, Kong in another one, on one volume with the socket."""

import json
import time

import pytest

from tests.containers.conftest import Compose

pytestmark = pytest.mark.timeout(600)
STOP_SECONDS = 10.0
"""Where a process does not handle SIGTERM as PID 1, the engine waits for all of stop_grace_period, which is 15 s."""


def test_a_delivery_arrives_with_right_signatures(compose: Compose) -> None:
    compose.more_arrive()
    assert set(compose.arrived()) == {"signatures right"}


def test_kong_is_another_user_and_may_use_the_socket(compose: Compose) -> None:
    socket = compose.sidecar("stat", "--format", "%a %g", "/run/kong-event-hooks/plugin.sock")
    assert socket.strip() == "660 1000"
    assert compose.sidecar("id", "--user").strip() == "1000"
    kong = compose.run("exec", "--no-TTY", "kong", "id").strip()
    assert "gid=1000" in kong
    assert compose.real or "uid=1001" in kong


def test_the_root_file_system_is_read_only(compose: Compose) -> None:
    assert compose.inspect("event-hooks")["HostConfig"]["ReadonlyRootfs"] is True
    refused = compose.sidecar("sh", "-c", "touch /opt/kong-event-hooks/x 2>&1 || true")
    assert "Read-only file system" in refused


def test_the_health_check_asks_the_sidecar(compose: Compose) -> None:
    assert compose.inspect("event-hooks")["State"]["Health"]["Status"] == "healthy"
    assert compose.sidecar("kong-event-hooks", "health").strip() == "alive"


def test_the_bill_of_materials_lists_what_is_installed(compose: Compose) -> None:
    bill = json.loads(compose.sidecar("cat", "/opt/kong-event-hooks/sbom.cdx.json"))
    listed = {(each["name"], each["version"]) for each in (bill["metadata"]["component"], *bill["components"])}
    installed = (
        "import importlib.metadata, json;"
        "print(json.dumps([(each.name, each.version) for each in importlib.metadata.distributions()]))"
    )
    assert listed == {tuple(each) for each in json.loads(compose.sidecar("python", "-c", installed))}


@pytest.mark.parametrize("service", ["event-hooks", "kong"])
def test_either_container_restarts(compose: Compose, service: str) -> None:
    compose.run("restart", service)
    compose.more_arrive()
    assert set(compose.arrived()) == {"signatures right"}


def test_it_stops_at_once_and_in_order(compose: Compose) -> None:
    started = time.monotonic()
    compose.run("stop", "event-hooks")
    assert time.monotonic() - started < STOP_SECONDS
    assert compose.inspect("event-hooks")["State"]["ExitCode"] == 0
    assert "worker_stopped" in compose.run("logs", "--no-log-prefix", "event-hooks")
    compose.run("start", "event-hooks")
    compose.more_arrive()


def test_what_was_delivered_is_kept_over_down_and_up(compose: Compose) -> None:
    compose.more_arrive()
    listed = (
        "kong-event-hooks", "deliveries", "list", "--state", "delivered", "--size", "1000", "--output", "json",
        "--token-file", "/run/secrets/api_token",
    )  # fmt: skip
    oldest = compose.sidecar(*listed)
    compose.run("down", "--timeout", "15")
    compose.run("up", "--detach", "--wait", "--no-build")
    compose.more_arrive()
    now = compose.sidecar(*listed)
    assert set(ids(oldest)) <= set(ids(now))


def ids(listed: str) -> list[str]:
    found = [delivery["id"] for delivery in json.loads(listed)["data"]]
    assert found
    return found

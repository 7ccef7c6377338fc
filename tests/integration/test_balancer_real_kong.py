"""balancer and gateway on a real Kong: a target that goes and comes back, and Kong itself that does."""

import time
from typing import Any

import pytest

from tests.integration.conftest import HttpServer, Kong, Sidecar
from tests.support.waiting import until

pytestmark = [pytest.mark.kong, pytest.mark.timeout(240)]

PACE = {"balancer_poll_seconds": 0.3, "balancer_unhealthy_poll_seconds": 0.2, "gateway_poll_seconds": 0.2}
FAILURES = 3


def to(receiver: HttpServer, source: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{receiver.port}/{source}"
    return {"name": source, "source": source, "handler": "webhook", "config": {"url": url}}


def states(events: list[dict[str, Any]]) -> list[tuple[str | None, str]]:
    return [(event["data"]["old_health"], event["data"]["health"]) for event in events]


def looks_again(sidecar: Sidecar) -> None:
    """Wait until health was asked for twice from now on: the second look began after the call."""
    for _ in range(2):
        before = sidecar.poller("balancer").get("polled_at")

        def looked(before: float | None = before) -> bool:
            return sidecar.poller("balancer").get("polled_at") not in (None, before)

        until(looked, "a look at the health of every upstream")


def test_a_target_goes_and_comes_back_and_each_is_told_once(
    kong: Kong, sidecar: Sidecar, upstream: HttpServer, receiver: HttpServer
) -> None:
    active = {
        "healthy": {"interval": 0.2, "successes": 1},
        # A target that is slow to answer, as one is on a busy machine, is not ill here; one that is gone is.
        "unhealthy": {"interval": 0.2, "http_failures": 1, "tcp_failures": 1, "timeouts": 0},
    }
    other = HttpServer()
    kong.declare(
        {
            "upstreams": [
                {
                    "name": "checked",
                    "targets": [{"target": f"127.0.0.1:{server.port}"} for server in (upstream, other)],
                    "healthchecks": {"active": active},
                },
                {"name": "unchecked", "targets": [{"target": "127.0.0.1:9"}]},
            ],
            "services": [{"name": "balanced", "host": "checked", "routes": [{"name": "balanced", "paths": ["/b"]}]}],
        }
    )
    sidecar.watch(kong, **PACE)
    sidecar.start()
    kong.start()
    sidecar.make_hooks(to(receiver, "balancer"))
    until(lambda: sidecar.poller("balancer")["upstreams"] == 1, "the upstream with health checks is watched")
    looks_again(sidecar)
    assert sidecar.events("balancer") == [], "healthy targets are no news"

    other.close()
    until(lambda: sidecar.events("balancer"), "the target is reported to be ill")
    assert sidecar.stop() == 0
    sidecar.start()
    looks_again(sidecar)
    assert states(sidecar.events("balancer")) == [("healthy", "unhealthy")], "and not again after a restart"

    back = HttpServer(other.port)
    try:
        until(lambda: len(sidecar.events("balancer")) == 2, "the target is reported to be well")
        looks_again(sidecar)
    finally:
        back.close()
    first, second = sidecar.events("balancer")
    assert states([first, second]) == [("healthy", "unhealthy"), ("unhealthy", "healthy")]
    upstream_id = kong.admin_get("/upstreams/checked")["id"]
    for event in (first, second):
        data = event["data"]
        assert event["event"] == "health"
        assert (data["upstream_id"], data["upstream"]) == (upstream_id, "checked")
        assert (data["ip"], data["port"], data["target"]) == ("127.0.0.1", other.port, f"127.0.0.1:{other.port}")
    until(lambda: len(bodies(receiver)) == 2, "both are delivered, to the same hook")
    assert [body["health"] for body in bodies(receiver)] == ["unhealthy", "healthy"]


def bodies(receiver: HttpServer) -> list[dict[str, Any]]:
    return [body for body in receiver.bodies() if body["event"] != "ping"]


def test_a_kong_that_stops_is_unreachable_and_recovers(kong: Kong, sidecar: Sidecar, receiver: HttpServer) -> None:
    kong.declare({"services": [{"name": "s", "url": "http://127.0.0.1:9"}]})
    sidecar.watch(kong, gateway_failures=FAILURES, **PACE)
    sidecar.start()
    kong.start()
    sidecar.make_hooks(to(receiver, "gateway"))
    status_read(sidecar)
    began = time.time()
    kong.stop()
    until(lambda: sidecar.events("gateway"), "it is reported to be away")
    assert sidecar.stop() == 0
    sidecar.start()
    until(lambda: sidecar.poller("gateway")["outages"], "a restarted sidecar knows of it")
    kong.start()
    until(lambda: len(sidecar.events("gateway")) == 2, "it is reported to be back")
    status_read(sidecar)
    away, back = sidecar.events("gateway")
    assert (away["event"], back["event"]) == ("unreachable", "recovered")
    assert away["data"]["reason"] == back["data"]["reason"] == "admin_api"
    assert away["data"]["failures"] == FAILURES
    assert began <= away["data"]["since"] == back["data"]["since"]
    assert back["data"]["seconds"] >= 0.2 * (FAILURES - 1)
    assert len(sidecar.events("gateway")) == 2


def status_read(sidecar: Sidecar) -> None:
    """Wait until Kong has answered the question for its status twice more."""
    read = looks(sidecar)
    until(lambda: looks(sidecar) >= read + 2, "Kong's status is read")


def looks(sidecar: Sidecar) -> float:
    name = 'kong_event_hooks_polls_total{outcome="ok",poller="status"} '
    lines = sidecar.get("/metrics")[1].decode().splitlines()
    return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)

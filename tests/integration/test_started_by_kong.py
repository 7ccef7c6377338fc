"""A Kong with PostgreSQL that starts the sidecar itself: what its Admin API still answers is enough."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.conftest import Kong, Sidecar, have_it_started
from tests.support.admin_route import WITH_KEY, filled_in, put_into_database
from tests.support.waiting import until

pytestmark = [pytest.mark.kong, pytest.mark.timeout(240)]

JSON = {"content-type": "application/json"}
PLUGIN = {"name": "session", "config": {"secret": "s3cret"}}


@pytest.fixture(params=[2])
def started(pg_kong: Kong, sidecar: Sidecar, request: pytest.FixtureRequest) -> Kong:
    """Kong with the Admin API's route, and a sidecar with hooks and a settings file that it started.

    The parameter is how many workers Kong has.
    """
    file = sidecar.directory / "settings.toml"
    settings = {
        "socket_path": str(sidecar.socket_path), "data_dir": str(sidecar.data_dir),
        "listen": f"127.0.0.1:{sidecar.port}", "log_format": "json",
        "admin_url": f"http://127.0.0.1:{pg_kong.admin}", "crud_reconcile_seconds": 0.5, "crud_grace_seconds": 0.3,
    }  # fmt: skip
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    have_it_started(pg_kong, sidecar, f"--settings={file}")
    pg_kong.extra_conf["nginx_worker_processes"] = str(request.param)
    pg_kong.start()
    until(sidecar.ready, "the sidecar that Kong started is ready", seconds=30)

    def create(path: str, entity: dict[str, Any]) -> None:
        status, answer, _ = pg_kong.send("POST", path, json.dumps(entity), JSON, admin=True)
        assert status == 201, answer

    put_into_database(filled_in(pg_kong.admin, sidecar.port), create)
    # A worker knows all of it from its start on; one that runs learns of it later than the other, which may answer.
    done = pg_kong.run("restart", "-c", str(pg_kong.conf), "-p", str(pg_kong.prefix))
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: routed(pg_kong, "GET", "/status")[0] == 200, "the route is there, with all that is on it")
    until(sidecar.ready, "the sidecar that Kong started anew is ready", seconds=30)
    sidecar.make_hooks({"name": "to-dao", "source": "dao:crud", "handler": "log"})
    until(
        lambda: sidecar.poller("crud")["reconciler"]["ended_at"],
        "the first reconciliation, which is silent",
        seconds=30,
    )
    return pg_kong


def routed(kong: Kong, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Send a request through the Admin API's route."""
    text = None if body is None else json.dumps(body)
    return kong.send(method, f"/admin{path}", text, {**JSON, **WITH_KEY}, admin=False)[:2]


def answers(kong: Kong) -> set[int]:
    """Return how the Admin API answers GET /: many at once, or one worker of Kong may take them all."""
    with ThreadPoolExecutor(16) as pool:
        return set(pool.map(lambda _: kong.send("GET", "/", admin=True)[0], range(64)))


def reported(sidecar: Sidecar, name: str) -> list[dict[str, Any]]:
    """Return the data of the events of an entity that has such a name."""
    data = [event["data"] for event in sidecar.events("dao:crud")]
    return [each for each in data if name in (each["entity"].get("username"), each["entity"].get("name"))]


def assert_heard(kong: Kong, sidecar: Sidecar, tag: str) -> None:
    """Change entities both ways, and see that both are reported, with as much of them as anywhere."""
    assert routed(kong, "POST", "/consumers", {"username": f"routed-{tag}"})[0] == 201
    until(lambda: reported(sidecar, f"routed-{tag}"), "what came through the route is reported")
    assert kong.send("POST", "/consumers", f'{{"username": "straight-{tag}"}}', JSON, admin=True)[0] == 201
    until(lambda: reported(sidecar, f"straight-{tag}"), "what came straight is reported by a reconciliation")
    seen = [[each["seen_by"] for each in reported(sidecar, f"{way}-{tag}")] for way in ("routed", "straight")]
    assert seen == [["route"], ["reconciliation"]]
    readiness = json.loads(sidecar.get("/readyz")[1])
    assert readiness["status"] == "ready", readiness


# One worker is the one that answers so: with two, a connection that is kept may be to the other.
@pytest.mark.parametrize("started", [1, 2], indirect=True)
def test_changes_are_told_by_route_and_round(started: Kong, sidecar: Sidecar) -> None:
    # Why this test is: once no Kong answers so any more, knowledge.py may ask for / again.
    until(lambda: 500 in answers(started), "the worker of Kong that started the sidecar answers GET / with 500")
    assert_heard(started, sidecar, "first")
    status, made = routed(started, "POST", "/plugins", PLUGIN)
    assert status == 201
    (plugin,) = until(lambda: reported(sidecar, "session"), "the plugin is reported")
    assert plugin["entity"]["config"] == made["config"] | {"secret": "***"}, "the secret is hidden, and nothing else"


def test_after_a_reload_changes_are_told_as_before(started: Kong, sidecar: Sidecar) -> None:
    def workers() -> set[int]:
        return {worker["pid"] for worker in started.admin_get("/status")["memory"]["workers_lua_vms"]}

    before = workers()
    started.reload()
    until(lambda: before.isdisjoint(workers()), "new workers answer, and say so", seconds=30)
    until(lambda: routed(started, "GET", "/status")[0] == 200, "and proxy", seconds=30)
    until(lambda: json.loads(sidecar.get("/readyz")[1] or b"{}").get("status") == "ready", "all is well", seconds=30)
    sidecar.reconciliations()
    assert_heard(started, sidecar, "reloaded")

"""The profile `cluster`: two Kongs, a sidecar for each, a PostgreSQL that both sidecars share."""

import json

import pytest

from tests.containers.conftest import Compose
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(600)
SIDECARS = ("event-hooks-1", "event-hooks-2")
API = ("--output", "json", "--token-file", "/run/secrets/api_token")


def test_an_event_arrives_once_and_both_sidecars_know_it(cluster: Compose) -> None:
    cluster.run("stop", "kong-1")
    cluster.more_arrive()
    cluster.run("stop", "kong-2")
    listed = [delivered(cluster, service) for service in SIDECARS]
    assert listed[0] == listed[1]
    arrived = cluster.requests()
    assert len(arrived) == len(set(arrived)) == len(listed[0])
    assert set(cluster.arrived()) == {"signatures right"}


@pytest.mark.parametrize(("stopped", "stays"), [(1, 2), (2, 1)])
def test_a_sidecar_delivers_for_one_that_is_stopped(cluster: Compose, stopped: int, stays: int) -> None:
    cluster.run("stop", f"event-hooks-{stopped}", f"kong-{stays}")
    cluster.run("start", f"kong-{stays}")
    assert cluster.inspect(f"event-hooks-{stopped}")["State"]["ExitCode"] == 0
    cluster.more_arrive()
    cluster.run("start", f"event-hooks-{stopped}")
    arrived = cluster.requests()
    assert len(arrived) == len(set(arrived))


def test_the_sidecars_role_owns_the_schema_and_no_more(cluster: Compose) -> None:
    query = "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
    psql = ("psql", "--username", "event_hooks", "--tuples-only", "--no-align", "--command")
    assert cluster.run("exec", "--no-TTY", "store", *psql, query, "event_hooks").strip() == "f|f|f"


def delivered(cluster: Compose, service: str) -> set[str]:
    """Wait until nothing is under way; return the deliveries."""

    def listed(state: str) -> list[str]:
        command = ("kong-event-hooks", "deliveries", "list", "--state", state, "--size", "1000", *API)
        return [delivery["id"] for delivery in json.loads(cluster.sidecar(*command, service=service))["data"]]

    until(
        lambda: listed("delivered") and not listed("pending") and not listed("leased"), f"{service} has nothing to do"
    )
    return set(listed("delivered"))

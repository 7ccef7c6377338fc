"""The demo's stand-in for the Admin API, against a real Kong's answers and the code that reads them."""

import json
from typing import Any

import httpx
import pytest

from kong_eventhooks_plugin.cli.demo.admin_api import AdminApi
from kong_eventhooks_plugin.cli.demo.recording import consumer_created
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.kong.admin_api.schemas import pruned
from kong_eventhooks_plugin.sources.balancer.reading import checked_upstreams, read_upstream_health
from tests.kong_node.answers import OF_A_CHANGE, REQUEST_ID, question
from tests.support.http import http_client
from tests.support.recordings import CAPTURES, recording

RECORDED = CAPTURES / "admin-api"
FORMS = {
    "/status": "pg-status",
    "/plugins/enabled": "pg-plugins_enabled",
    "/plugins": "pg-plugins",
    "/consumers": "pg-consumers",
    "/upstreams": "dbless-upstreams",
    "/upstreams/ffc11d91-e00b-5f6c-92cb-5b2f85aa62ce/health": "dbless-upstreams_up.local_health",
}


def answer_of_kong(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())


def assert_form_within(ours: Any, recorded: Any) -> None:
    """Kong's own answer has every field of ours, with the same type."""
    if isinstance(ours, dict):
        for name, value in ours.items():
            assert_form_within(value, recorded[name])
    elif isinstance(ours, list):
        for each in ours:
            assert_form_within(each, recorded[0])
    elif ours is not None:
        assert recorded is None or type(ours) is type(recorded)


async def test_its_answers_have_the_form_of_kongs() -> None:
    async with AdminApi() as admin, http_client(admin.url) as client:
        admin.create_consumer()
        admin.plugins = [{"id": "d0811eb1-d922-52f8-bc59-4182e961e622", "name": "event-hooks", "config": {}}]
        for path, name in FORMS.items():
            assert_form_within((await client.get(path)).json(), answer_of_kong(name))
        endpoints = (await client.get("/endpoints")).json()["data"]
        schema = (await client.get("/schemas/consumers")).json()
        lacking = await client.get("/workspaces")
    assert set(endpoints) <= set(answer_of_kong("schemas/endpoints")["data"])
    assert pruned(schema) == pruned(answer_of_kong("schemas/consumers"))
    assert (lacking.status_code, lacking.json()) == (httpx.codes.NOT_FOUND, {"message": "Not found"})


@pytest.mark.parametrize("healthy", [True, False])
async def test_the_balancer_reads_the_target(healthy: bool) -> None:
    async with AdminApi() as admin, AdminClient(AdminSettings(admin.url)) as client:
        admin.healthy = healthy
        (upstream,) = checked_upstreams(await client.entities("/upstreams"))
        reading = await read_upstream_health(client, upstream)
    health = {address.ip: seen for address, seen in reading.health.items()}
    assert health == {None: "healthy", "127.0.0.1": "healthy" if healthy else "unhealthy"}
    assert reading.unreadable == 0


def test_a_new_consumer_answers_what_is_asked_of_a_change() -> None:
    entity = {"id": "2e1be964-cfd6-4126-b1e3-1a7554ace72d", "username": "ada-1"}
    first, again = (consumer_created(entity, 1795278830.5) for _ in range(2))
    asked = [(name.decode(), argument) for name, argument in map(question, OF_A_CHANGE)]
    assert list(first.answers()) == asked
    differing = [key for key in asked if first.answers()[key] != again.answers()[key]]
    assert differing == [asked[OF_A_CHANGE.index(REQUEST_ID)]], "Kong's id of a request occurs once"
    crud = [call for call in recording("proxy-traffic") if call.name == "event-hooks-crud"]
    assert [call.id for call in crud] == [first.id], "the instance that the recording starts"

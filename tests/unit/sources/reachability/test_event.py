import msgspec
from msgspec.structs import replace

from kong_eventhooks_plugin.model.kong_node import KongNode
from kong_eventhooks_plugin.sources.reachability.catalogue import RECOVERED, UNREACHABLE
from kong_eventhooks_plugin.sources.reachability.event import outage_event
from kong_eventhooks_plugin.sources.reachability.model import Outage
from tests.support.declared import undeclared

NODE = KongNode("0cbb7c6e", "kong-1")
OUTAGE = Outage(since=100.0, failures=3, error="connect", counts=True, node=NODE)


def test_unreachable() -> None:
    event = outage_event(UNREACHABLE, "admin_api", "http://kong:8001", OUTAGE, 110.0)
    assert (event.source, event.event, event.time) == ("gateway", "unreachable", 110.0)
    assert event.data == {
        "node": {"id": "0cbb7c6e", "hostname": "kong-1"},
        "reason": "admin_api", "admin_url": "http://kong:8001", "since": 100.0, "error": "connect", "failures": 3,
        "state": "open", "state_key": event.data["state_key"],
    }  # fmt: skip
    assert undeclared(event) == []


def test_recovered_has_the_duration() -> None:
    event = outage_event(RECOVERED, "database", "http://kong:8001", OUTAGE, 130.5)
    assert (event.source, event.event) == ("gateway", "recovered")
    assert undeclared(event) == []
    assert event.data["reason"] == "database"
    assert event.data["seconds"] == 30.5
    assert event.data["state"] == "resolved"
    begun = outage_event(UNREACHABLE, "database", "http://kong:8001", OUTAGE, 110.0)
    assert event.data["state_key"] == begun.data["state_key"]
    assert outage_event(RECOVERED, "database", "", OUTAGE, 90.0).data["seconds"] == 0.0, "a clock that was set back"


def test_two_nodes_that_are_away_at_once_are_two_states() -> None:
    """Each sidecar calls its Kong by the same address."""
    there = replace(OUTAGE, node=KongNode("7e7e7e7e", "kong-2"))
    url = "http://localhost:8001"
    one, two = (outage_event(UNREACHABLE, "admin_api", url, each, 110.0) for each in (OUTAGE, there))
    assert one.id != two.id
    assert one.data["state_key"] != two.data["state_key"]
    back = outage_event(RECOVERED, "admin_api", url, there, 130.0)
    assert back.data["state_key"] == two.data["state_key"]


def test_an_outage_that_began_before_an_upgrade_still_ends() -> None:
    kept = msgspec.json.decode(b'{"since":100.0,"failures":3,"error":"connect","counts":true}', type=Outage)
    assert outage_event(RECOVERED, "admin_api", "", kept, 130.0).data["node"]["id"] is None


def test_ids_distinguish_outages() -> None:
    other = Outage(since=101.0, failures=3, error="connect", counts=True)
    ids = {
        outage_event(UNREACHABLE, "admin_api", "", OUTAGE, 110.0).id,
        outage_event(UNREACHABLE, "database", "", OUTAGE, 110.0).id,
        outage_event(UNREACHABLE, "admin_api", "", other, 110.0).id,
        outage_event(RECOVERED, "admin_api", "", OUTAGE, 110.0).id,
    }
    assert len(ids) == 4

from kong_eventhooks_plugin.sources.reachability.event import recovered_event, unreachable_event
from kong_eventhooks_plugin.sources.reachability.model import Outage

OUTAGE = Outage(since=100.0, failures=3, error="connect", counts=True)


def test_unreachable() -> None:
    event = unreachable_event("admin_api", "http://kong:8001", OUTAGE, 110.0)
    assert (event.source, event.event, event.time) == ("gateway", "unreachable", 110.0)
    assert event.data == {
        "reason": "admin_api", "admin_url": "http://kong:8001", "since": 100.0, "error": "connect", "failures": 3
    }  # fmt: skip


def test_recovered_has_the_duration() -> None:
    event = recovered_event("database", "http://kong:8001", OUTAGE, 130.5)
    assert (event.source, event.event) == ("gateway", "recovered")
    assert event.data["reason"] == "database"
    assert event.data["seconds"] == 30.5
    assert recovered_event("database", "", OUTAGE, 90.0).data["seconds"] == 0.0, "a clock that was set back"


def test_ids_distinguish_outages() -> None:
    other = Outage(since=101.0, failures=3, error="connect", counts=True)
    ids = {
        unreachable_event("admin_api", "", OUTAGE, 110.0).id,
        unreachable_event("database", "", OUTAGE, 110.0).id,
        unreachable_event("admin_api", "", other, 110.0).id,
        recovered_event("admin_api", "", OUTAGE, 110.0).id,
    }
    assert len(ids) == 4

from msgspec.structs import replace

from kong_eventhooks_plugin.sources.balancer.event import health_event
from kong_eventhooks_plugin.sources.balancer.model import Address, HealthChange
from tests.support.declared import undeclared

CHANGE = HealthChange(
    "u1", "up.local", Address("a.local:80", "a.local", "10.0.0.1", 8080), "unhealthy", "healthy", "n", 5.0
)


def test_enterprises_fields_first_and_in_its_form_then_ours() -> None:
    event = health_event(CHANGE)
    assert (event.source, event.event, event.time, event.unique) == ("balancer", "health", 5.0, ())
    assert list(event.data.items()) == [
        ("upstream_id", "u1"), ("ip", "10.0.0.1"), ("port", 8080), ("hostname", "a.local"), ("health", "unhealthy"),
        ("upstream", "up.local"), ("target", "a.local:80"), ("old_health", "healthy"), ("node_id", "n"),
        ("state", "open"), ("state_key", event.data["state_key"]),
    ]  # fmt: skip
    assert undeclared(event) == []


def test_an_address_has_one_key_until_it_is_healthy_again() -> None:
    worse = replace(CHANGE, health="dns_error", old_health="unhealthy", at=6.0)
    back = replace(CHANGE, health="healthy", old_health="dns_error", at=7.0)
    data = [health_event(each).data for each in (CHANGE, worse, back)]
    assert [each["state"] for each in data] == ["open", "open", "resolved"]
    assert len({each["state_key"] for each in data}) == 1
    for other in (replace(CHANGE, node_id="m"), replace(CHANGE, address=CHANGE.address._replace(port=81))):
        assert health_event(other).data["state_key"] != data[0]["state_key"]


def test_what_is_no_longer_seen_has_an_end_of_its_own_with_the_key_of_its_beginning() -> None:
    ended = health_event(replace(CHANGE, health=None, old_health="unhealthy", at=6.0))
    began = health_event(CHANGE)
    assert ended.event == "resolved", "no hook on Enterprise's event hears it"
    assert ended.data == began.data | {"health": None, "old_health": "unhealthy", "state": "resolved"}
    assert undeclared(ended) == []
    assert ended.id != health_event(replace(CHANGE, health="healthy", old_health="unhealthy", at=6.0)).id


def test_the_id_is_of_the_change() -> None:
    same = HealthChange(
        CHANGE.upstream_id, "renamed", CHANGE.address, CHANGE.health, CHANGE.old_health, CHANGE.node_id, CHANGE.at
    )
    assert health_event(same).id == health_event(CHANGE).id
    for other in (
        HealthChange("u2", "up.local", CHANGE.address, "unhealthy", "healthy", "n", 5.0),
        HealthChange("u1", "up.local", CHANGE.address._replace(ip=None), "unhealthy", "healthy", "n", 5.0),
        HealthChange("u1", "up.local", CHANGE.address._replace(port=81), "unhealthy", "healthy", "n", 5.0),
        HealthChange("u1", "up.local", CHANGE.address._replace(target="b:80"), "unhealthy", "healthy", "n", 5.0),
        HealthChange("u1", "up.local", CHANGE.address, "healthy", "unhealthy", "n", 5.0),
        HealthChange("u1", "up.local", CHANGE.address, "unhealthy", "healthy", "m", 5.0),
        HealthChange("u1", "up.local", CHANGE.address, "unhealthy", "healthy", "n", 6.0),
    ):
        assert health_event(other).id != health_event(CHANGE).id

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.sources.balancer.model import Address
from kong_eventhooks_plugin.sources.balancer.reading import checked_upstreams, is_checked, read_health

CAPTURES = Path(__file__).parents[3] / "captures" / "admin-api"


def recorded(name: str) -> dict[str, Any]:
    return json.loads((CAPTURES / name).read_text())


def entry(target: str, *addresses: tuple[str, int, str], health: str = "HEALTHY", **fields: Any) -> dict[str, Any]:
    listed = [{"ip": ip, "port": port, "weight": 10, "health": word} for ip, port, word in addresses]
    return {"target": target, "weight": 10, "health": health, "data": {"addresses": listed or {}}, **fields}


def page(*entries: Any, node_id: str = "n") -> dict[str, Any]:
    return {"data": list(entries), "next": None, "node_id": node_id}


def test_the_recorded_answer_of_a_real_kong() -> None:
    reading = read_health([recorded("dbless-upstreams_up.local_health.json")])
    assert reading.node_id == "060addd1-dc78-48dd-af24-84e4e8bb8e05"
    assert reading.health == {
        Address("127.0.0.1:9190", "127.0.0.1", None, 9190): "healthy",
        Address("127.0.0.1:9190", "127.0.0.1", "127.0.0.1", 9190): "healthy",
        Address("127.0.0.1:9", "127.0.0.1", None, 9): "healthy",
        Address("127.0.0.1:9", "127.0.0.1", "127.0.0.1", 9): "unhealthy",
    }
    assert reading.targets == {"127.0.0.1:9190", "127.0.0.1:9"}
    assert not reading.unknown
    assert reading.unreadable == 0


def test_the_recorded_upstream_has_checks() -> None:
    upstreams = checked_upstreams(recorded("dbless-upstreams.json")["data"])
    assert [upstream.name for upstream in upstreams.values()] == ["up.local"]


def checks(active_healthy: float = 0, active_unhealthy: float = 0, **passive: int) -> dict[str, Any]:
    return {
        "active": {"healthy": {"interval": active_healthy}, "unhealthy": {"interval": active_unhealthy}},
        "passive": {"healthy": {"successes": 5}, "unhealthy": passive},
        "threshold": 50,
    }


@pytest.mark.parametrize(
    ("healthchecks", "checked"),
    [
        (checks(), False),  # a threshold alone, and passive successes alone, check nothing
        (checks(active_healthy=0.5), True),
        (checks(active_unhealthy=1), True),
        (checks(tcp_failures=1), True),
        (checks(timeouts=1), True),
        (checks(http_failures=1), True),
        (checks(http_failures=0, timeouts=0, tcp_failures=0), False),
        (None, False),
        ({"active": None, "passive": 3}, False),
    ],
)
def test_which_upstreams_kong_checks(healthchecks: Any, checked: bool) -> None:
    assert is_checked({"healthchecks": healthchecks}) is checked


def test_a_name_that_does_not_resolve() -> None:
    # As a real Kong 3.9 writes it, the empty list as an object.
    failed = {
        "target": "no-such-host.invalid:80", "weight": 10, "health": "DNS_ERROR",
        "data": {"nodeWeight": 10, "host": "no-such-host.invalid", "addresses": {}, "port": 80,
                 "dns": "dns server error: 3 name error"},
    }  # fmt: skip
    assert read_health([page(failed)]).health == {
        Address("no-such-host.invalid:80", "no-such-host.invalid", None, 80): "dns_error"
    }


@pytest.mark.parametrize(
    "off",
    [
        entry("a:80", ("10.0.0.1", 80, "HEALTHCHECKS_OFF"), health="HEALTHCHECKS_OFF"),
        entry("a:80", ("10.0.0.1", 80, "HEALTHCHECKS_OFF"), health="HEALTHCHECKS_OFF", weight=0),
        entry("a:80", health="DNS_ERROR", weight=0),
    ],
    ids=["switched off", "weight 0", "weight 0, unresolved"],
)
def test_a_target_that_kong_does_not_check_is_not_there(off: dict[str, Any]) -> None:
    reading = read_health([page(off)])
    assert (reading.health, reading.targets, reading.unreadable) == ({}, frozenset(), 0)


@pytest.mark.parametrize(
    "unknown",
    [
        {"target": "a:80", "weight": 10},
        {"target": "a:80", "weight": 10, "health": "DNS_ERROR"},
        {"target": "a:80", "weight": 10, "health": "DNS_ERROR", "data": None},
        {"target": "a:80", "weight": 10, "data": {"addresses": {}}},
    ],
    ids=["no balancer", "target not in the balancer", "null", "no word"],
)
def test_a_target_that_the_balancer_does_not_have_yet_is_unknown(unknown: dict[str, Any]) -> None:
    reading = read_health([page(unknown)])
    assert (reading.health, reading.unknown) == ({}, {"a:80"})


def test_a_target_with_several_addresses_and_two_pages() -> None:
    reading = read_health([
        page(entry("a.local:80", ("10.0.0.1", 80, "HEALTHY"), ("10.0.0.2", 81, "UNHEALTHY"))),
        page(entry("[::1]:80", ("::1", 80, "UNHEALTHY"))),
    ])  # fmt: skip
    assert {address: health for address, health in reading.health.items() if address.ip} == {
        Address("a.local:80", "a.local", "10.0.0.1", 80): "healthy",
        Address("a.local:80", "a.local", "10.0.0.2", 81): "unhealthy",
        Address("[::1]:80", "[::1]", "::1", 80): "unhealthy",
    }


@pytest.mark.parametrize("words", [("UNHEALTHY", "HEALTHY"), ("HEALTHY", "UNHEALTHY")])
def test_the_same_address_twice_is_one_and_the_worse(words: tuple[str, str]) -> None:
    reading = read_health([page(entry("srv:80", *(("10.0.0.1", 80, word) for word in words)))])
    assert reading.health[Address("srv:80", "srv", "10.0.0.1", 80)] == "unhealthy"


def test_pages_of_two_nodes_are_no_picture() -> None:
    with pytest.raises(AdminApiError, match="different Kong nodes"):
        read_health([page(node_id="a"), page(node_id="b")])


def test_what_has_another_form_is_counted() -> None:
    reading = read_health([
        page(entry("no port", ("1", 1, "HEALTHY")), {"target": 3}, entry("a:80", ("10.0.0.1", 80, "SLEEPY")))
    ])  # fmt: skip
    assert reading.unreadable == 3
    assert list(reading.health) == [Address("a:80", "a", None, 80)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["HEALTHY", "a:1", "DNS_ERROR"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["target", "data", "addresses", "ip", "port", "health", "weight"]), inner)
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(["data", "node_id"]), JSON), max_size=3))
def test_whatever_comes_nothing_else_is_raised(pages: list[dict[str, Any]]) -> None:
    try:
        reading = read_health(pages)
    except AdminApiError:
        return
    assert {address.target for address in reading.health} <= reading.targets

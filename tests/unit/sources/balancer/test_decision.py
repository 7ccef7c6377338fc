import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sources.balancer.decision import (
    CHANGES,
    FORGET_SECONDS,
    NODE_SECONDS,
    NODES,
    UpstreamHealth,
    compare,
    end,
)
from kong_eventhooks_plugin.sources.balancer.model import Address, Health, HealthChange
from kong_eventhooks_plugin.sources.balancer.reading import HealthReading, Upstream

UP = Upstream("u1", "up.local")
NAME = Address("a.local:80", "a.local", None, 80)
ONE = Address("a.local:80", "a.local", "10.0.0.1", 80)
TWO = Address("a.local:80", "a.local", "10.0.0.2", 80)


def reading(
    health: dict[Address, Health], node: str | None = "n", targets: tuple[str, ...] = ("a.local:80",)
) -> HealthReading:
    return HealthReading(node, health, frozenset(targets))


class Looks:
    """Polls in a row, a second apart, and the changes of each."""

    def __init__(self) -> None:
        self.known = UpstreamHealth()
        self.now = 1000.0
        self.nodes: list[str | None] = []
        """The node of each change of the last poll."""

    def see(
        self, health: dict[Address, Health], seconds: float = 1.0, **fields: object
    ) -> list[tuple[Address, str, str | None]]:
        return self.look(reading(health, **fields), seconds)  # type: ignore[arg-type]

    def look(self, seen: HealthReading, seconds: float = 1.0) -> list[tuple[Address, str, str | None]]:
        self.now += seconds
        return self.told(*compare(UP, self.known, seen, self.now))

    def end(self) -> list[tuple[Address, str, str | None]]:
        return self.told(*end(UP.id, self.known, self.now))

    def told(self, known: UpstreamHealth, changes: tuple[HealthChange, ...]) -> list[tuple[Address, str, str | None]]:
        self.known = known
        self.nodes = [change.node_id for change in changes]
        assert all(
            (change.upstream_id, change.upstream, change.at) == ("u1", "up.local", self.now) for change in changes
        )
        return [(change.address, change.old_health, change.health) for change in changes]


def test_healthy_at_first_sight_is_no_change_and_not_kept() -> None:
    looks = Looks()
    assert looks.see({ONE: "healthy"}) == []
    assert not looks.known.durable()
    assert not looks.known.is_unhealthy


def test_unhealthy_at_first_sight_is_a_change() -> None:
    looks = Looks()
    assert looks.see({ONE: "unhealthy"}) == [(ONE, "healthy", "unhealthy")]
    assert looks.known.is_unhealthy


def test_down_and_up_again_is_two_changes_of_that_address_alone() -> None:
    looks = Looks()
    looks.see({ONE: "healthy", TWO: "unhealthy"})
    assert looks.see({ONE: "unhealthy", TWO: "unhealthy"}) == [(ONE, "healthy", "unhealthy")]
    assert looks.see({ONE: "unhealthy", TWO: "unhealthy"}) == []
    assert looks.see({ONE: "healthy", TWO: "unhealthy"}) == [(ONE, "unhealthy", "healthy")]
    assert looks.known.unhealthy == 1


def test_a_name_counts_as_unresolved_when_seen_so_twice_in_a_row() -> None:
    looks = Looks()
    assert looks.see({NAME: "dns_error"}) == []
    assert looks.known.is_unhealthy, "it is looked at again soon"
    assert looks.see({NAME: "healthy"}) == []
    assert looks.see({NAME: "dns_error"}) == []
    assert looks.see({NAME: "dns_error"}) == [(NAME, "healthy", "dns_error")]
    assert looks.see({NAME: "dns_error"}) == []
    assert looks.see({NAME: "healthy", ONE: "healthy"}) == [(NAME, "dns_error", "healthy")]


def test_an_address_that_comes_and_goes_with_the_answering_worker_is_one_change() -> None:
    looks = Looks()
    assert looks.see({ONE: "healthy", TWO: "unhealthy"}) == [(TWO, "healthy", "unhealthy")]
    for _ in range(5):
        assert looks.see({ONE: "healthy"}) == []
        assert looks.see({ONE: "healthy", TWO: "unhealthy"}) == []


def test_an_address_missing_for_long_is_ended() -> None:
    looks = Looks()
    looks.see({TWO: "unhealthy"})
    assert looks.see({}, seconds=FORGET_SECONDS - 2) == []
    assert looks.known.durable()
    assert looks.see({}, seconds=2) == [(TWO, "unhealthy", None)]
    assert not looks.known.durable()
    assert looks.see({TWO: "unhealthy"}) == [(TWO, "healthy", "unhealthy")]


def test_a_target_removed_or_no_longer_checked_is_ended_once() -> None:
    looks = Looks()
    looks.see({ONE: "unhealthy"})
    assert looks.see({}, targets=()) == [(ONE, "unhealthy", None)]
    assert not looks.known.durable()
    assert looks.see({}, targets=()) == []


def test_a_healthy_or_suspected_target_has_nothing_to_end() -> None:
    looks = Looks()
    looks.see({ONE: "healthy", NAME: "dns_error"})
    assert looks.see({}, targets=()) == looks.end() == []


def test_the_end_of_an_upstream_ends_each_node_s_own_and_knows_its_name() -> None:
    looks = Looks()
    looks.see({ONE: "unhealthy", NAME: "healthy"}, node="a")
    assert looks.see({ONE: "unhealthy", TWO: "unhealthy"}, node="b") == [(TWO, "healthy", "unhealthy")]
    looks.known = msgspec.json.decode(msgspec.json.encode(looks.known), type=UpstreamHealth)
    assert looks.end() == [(TWO, "unhealthy", None), (ONE, "unhealthy", None)]
    assert looks.nodes == ["b", "a"]
    assert not looks.known.views
    assert looks.end() == []


def test_a_note_of_before_is_read() -> None:
    note = b'[[["n",[[["a.local:80","a.local","10.0.0.1",80],"unhealthy",5.0]],[],5.0]]]'
    left, (change,) = end("u1", msgspec.json.decode(note, type=UpstreamHealth), 6.0)
    assert (change.upstream, change.address, change.health, left.views) == ("u1", ONE, None, ())


def test_a_target_that_the_balancer_does_not_have_stays_as_it_was() -> None:
    looks = Looks()
    looks.see({ONE: "unhealthy"})
    unknown = HealthReading("n", {}, frozenset({"a.local:80"}), frozenset({"a.local:80"}))
    assert looks.look(unknown, 10 * FORGET_SECONDS) == []
    assert looks.see({ONE: "unhealthy"}) == []
    assert looks.look(unknown) == []
    assert looks.see({ONE: "healthy"}) == [(ONE, "unhealthy", "healthy")]


def test_two_nodes_behind_one_address_do_not_flap() -> None:
    looks = Looks()
    assert looks.see({ONE: "unhealthy"}, node="a") == [(ONE, "healthy", "unhealthy")]
    assert looks.see({ONE: "healthy"}, node="b") == [(ONE, "unhealthy", "healthy")]
    for _ in range(5):
        assert looks.see({ONE: "unhealthy"}, node="a") == []
        assert looks.see({ONE: "healthy"}, node="b") == []
    assert looks.see({ONE: "healthy"}, node="a") == [(ONE, "unhealthy", "healthy")]


def test_a_kong_started_anew_begins_with_what_was_known() -> None:
    looks = Looks()
    looks.see({ONE: "unhealthy", TWO: "unhealthy"}, node="a")
    assert looks.see({ONE: "unhealthy", TWO: "healthy"}, node="b") == [(TWO, "unhealthy", "healthy")]


def test_a_node_that_does_not_come_back_is_ended_and_what_is_inherited_of_it_begins() -> None:
    looks = Looks()
    looks.see({ONE: "unhealthy", TWO: "unhealthy"}, node="a")
    assert looks.see({ONE: "unhealthy", TWO: "healthy"}, node="b") == [(TWO, "unhealthy", "healthy")]
    assert looks.see({ONE: "unhealthy"}, seconds=NODE_SECONDS - 2, node="b") == []
    ended, begun = [(ONE, "unhealthy", None), (TWO, "unhealthy", None)], [(ONE, "healthy", "unhealthy")]
    assert looks.see({ONE: "unhealthy"}, seconds=2, node="b") == [*ended, *begun]
    assert looks.nodes == ["a", "a", "b"]
    assert looks.see({ONE: "unhealthy"}, node="b") == []
    assert looks.end() == [(ONE, "unhealthy", None)]


def test_what_is_inherited_of_a_node_where_it_is_healthy_again_begins() -> None:
    looks = Looks()
    looks.see({ONE: "unhealthy"}, node="a")
    assert looks.see({ONE: "unhealthy"}, node="b") == looks.see({ONE: "unhealthy"}, node="c") == []
    assert looks.see({ONE: "healthy"}, node="a") == [(ONE, "unhealthy", "healthy")]
    assert looks.see({ONE: "unhealthy"}, node="b") == [(ONE, "healthy", "unhealthy")]
    assert looks.see({ONE: "unhealthy"}, node="c") == [], "it is known of b"
    assert looks.see({}, targets=(), node="c") == [], "which ends it"
    assert looks.see({}, targets=(), node="b") == [(ONE, "unhealthy", None)]


def test_what_is_inherited_and_gets_another_health_has_begun() -> None:
    looks = Looks()
    looks.see({NAME: "unhealthy"}, node="a")
    assert looks.see({NAME: "dns_error"}, node="b") == [(NAME, "unhealthy", "dns_error")]
    assert looks.end() == [(NAME, "dns_error", None), (NAME, "unhealthy", None)]


def test_nodes_are_bounded_and_ended() -> None:
    looks = Looks()
    for number in range(NODES):
        looks.see({ONE: "unhealthy"}, node=str(number))
    assert looks.see({ONE: "unhealthy"}, node="more") == [(ONE, "unhealthy", None), (ONE, "healthy", "unhealthy")]
    assert looks.nodes == ["0", "more"]
    assert len(looks.known.views) == NODES
    looks.see({ONE: "unhealthy"}, seconds=NODE_SECONDS, node="last")
    assert len(looks.known.views) == 1


@pytest.mark.parametrize("how", ["target", "upstream", "node"])
def test_the_end_of_much_is_told_in_parts(how: str) -> None:
    looks = Looks()
    addresses = [Address(f"t{number}:80", f"t{number}", "10.0.0.1", 80) for number in range(CHANGES + 5)]
    for _ in range(2):
        looks.see(dict.fromkeys(addresses, "unhealthy"), targets=tuple(address.target for address in addresses))
    told = []
    for expected in (CHANGES, 5, 0):
        if how == "upstream":
            part = looks.end()
        elif how == "target":
            part = looks.see({}, targets=())
        else:
            part = looks.see({}, NODE_SECONDS, targets=(), node="m")
        assert len(part) == expected
        told += part
    assert told == [(address, "unhealthy", None) for address in addresses]
    assert not looks.known.durable()


def test_a_large_outage_is_reported_in_parts() -> None:
    looks = Looks()
    addresses = [Address(f"t{number}:80", f"t{number}", "10.0.0.1", 80) for number in range(CHANGES + 5)]
    targets = tuple(address.target for address in addresses)
    down: dict[Address, Health] = dict.fromkeys(addresses, "unhealthy")
    up: dict[Address, Health] = dict.fromkeys(addresses, "healthy")
    for health, seen in (("unhealthy", down), ("healthy", up)):
        told = looks.see(seen, targets=targets)
        assert len(told) == CHANGES
        assert looks.known.is_unhealthy, "the rest is looked at soon"
        told += looks.see(seen, targets=targets)
        assert [change[0] for change in told] == addresses
        assert {change[2] for change in told} == {health}
        assert looks.see(seen, targets=targets) == []


def test_it_can_be_written_down() -> None:
    looks = Looks()
    looks.see({ONE: "unhealthy", NAME: "dns_error"}, node=None)  # type: ignore[arg-type]
    assert msgspec.json.decode(msgspec.json.encode(looks.known), type=UpstreamHealth) == looks.known


HEALTHS: list[Health] = ["healthy", "unhealthy"]
SEEN = st.dictionaries(st.sampled_from([ONE, TWO]), st.sampled_from(HEALTHS))


@given(st.lists(SEEN, max_size=8))
def test_changes_of_an_address_always_alternate(seen: list[dict[Address, Health]]) -> None:
    looks = Looks()
    last: dict[Address, str] = {}
    for health in seen:
        for address, old, new in looks.see(health):
            assert old == last.get(address, "healthy")
            assert new != old
            last[address] = new
        for address, now in health.items():
            assert last.get(address, "healthy") == now, "what was told last is what is so"


POLLS = st.tuples(
    SEEN, st.sampled_from("abc"), st.sampled_from([(), ("a.local:80",)]), st.sampled_from([1.0, 400.0, NODE_SECONDS])
)


@given(st.lists(POLLS, max_size=10))
def test_whatever_is_seen_each_beginning_ends_once_and_what_is_unhealthy_has_one(
    polls: list[tuple[dict[Address, Health], str, tuple[str, ...], float]],
) -> None:
    looks = Looks()
    opened: set[tuple[str | None, Address]] = set()

    def follow(told: list[tuple[Address, str, str | None]]) -> None:
        for node, (address, _, new) in zip(looks.nodes, told, strict=True):
            key = (node, address)
            if new == "unhealthy":
                assert key not in opened
                opened.add(key)
            else:
                assert key in opened or new == "healthy", "an end of its own has a beginning"
                opened.discard(key)

    for health, node, targets, seconds in polls:
        follow(looks.see(health if targets else {}, seconds, node=node, targets=targets))
        known = [(view, each) for view in looks.known.views for each in view.unhealthy]
        assert opened == {(view.node_id, each.address) for view, each in known if not each.inherited}
        assert {each.address for each in looks.known.views[0].unhealthy} <= {address for _, address in opened}
    follow(looks.end())
    assert not opened


@pytest.mark.parametrize("old", ["healthy", "unhealthy"])
def test_a_poll_that_shows_the_same_writes_nothing(old: Health) -> None:
    looks = Looks()
    looks.see({ONE: old})
    kept = looks.known.durable()
    looks.see({ONE: old})
    assert looks.known.durable() == kept

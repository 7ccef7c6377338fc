from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.delivery.lanes import Claimed, Lane, Lanes
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.model.delivery import Delivery
from tests.support.events import make_event


def claimed(count: int, hook: str = "h") -> list[Claimed]:
    delivery = Delivery("d", make_event(), hook, "s", "leased", 0, 0.0, 0.0)
    return [Claimed(delivery, 100.0)] * count


def take_all(lanes: Lanes) -> list[Lane]:
    taken = []
    while (turn := lanes.next()) is not None:
        taken.append(turn[0])
    return taken


def test_a_lane_has_eight_in_flight_and_the_rest_waits() -> None:
    lanes = Lanes(DeliveryLimits())
    lane = lanes.lane("a")
    lanes.put(lane, claimed(10))
    assert len(take_all(lanes)) == 8
    assert (lane.in_flight, len(lane.waiting)) == (8, 2)
    lanes.done(lane)
    assert len(take_all(lanes)) == 1


def test_turns_go_round() -> None:
    lanes = Lanes(DeliveryLimits())
    for name in "abc":
        lanes.put(lanes.lane(name), claimed(2))
    assert [lane.hook_id for lane in take_all(lanes)] == ["a", "b", "c", "a", "b", "c"]


def test_many_busy_lanes_share_the_total() -> None:
    lanes = Lanes(DeliveryLimits(per_hook=8, total=256))
    for number in range(64):
        lanes.put(lanes.lane(f"busy-{number}"), claimed(20))
    taken = Counter(lane.hook_id for lane in take_all(lanes))
    assert set(taken.values()) == {3, 4}
    assert sum(taken.values()) == 256 - 32


def test_a_ceiling_that_was_low_for_a_moment_is_used_again_though_nothing_has_ended() -> None:
    lanes = Lanes(DeliveryLimits(total=64))
    lanes.ceiling = 32
    for number in range(20):
        lanes.put(lanes.lane(f"busy-{number}"), claimed(8))
    assert len(take_all(lanes)) == 20
    lanes.ceiling = 64
    take_all(lanes)
    assert lanes.in_flight == 64 - 8


def test_an_eighth_is_kept_for_hooks_that_have_nothing_in_flight() -> None:
    lanes = Lanes(DeliveryLimits(per_hook=8, total=256))
    for number in range(40):
        lanes.put(lanes.lane(f"hanging-{number}"), claimed(20))
        take_all(lanes)
    for number in range(10):
        lanes.put(lanes.lane(f"healthy-{number}"), claimed(20))
        assert [lane.hook_id for lane in take_all(lanes)] == [f"healthy-{number}"]
    lane = lanes.lane("healthy-0")
    lanes.done(lane)
    assert take_all(lanes) == [lane], "the next of its own"


def test_every_lane_has_at_least_one_even_where_there_are_more_than_the_total() -> None:
    lanes = Lanes(DeliveryLimits(total=4))
    for number in range(10):
        lanes.put(lanes.lane(str(number)), claimed(2))
    first = take_all(lanes)
    assert len(first) == len(set(first)) == 4
    for lane in first:
        lanes.done(lane)
    assert [lane.hook_id for lane in take_all(lanes)] == ["4", "5", "6", "7"]


def test_claims_come_in_batches() -> None:
    lanes = Lanes(DeliveryLimits(per_hook=8, waiting_per_hook=24, waiting_alone=24))
    lane = lanes.lane("a")
    assert lanes.room(lane) == 32
    lanes.put(lane, claimed(32))
    take_all(lanes)
    assert lanes.room(lane) == 0
    for _ in range(12):
        lanes.done(lane)
        take_all(lanes)
    assert lanes.room(lane) == 12


def test_few_busy_hooks_claim_more_at_once() -> None:
    lanes = Lanes(DeliveryLimits(per_hook=8, waiting_per_hook=24, waiting_alone=128, waiting_shared=512))
    rooms = []
    for number in range(30):
        lane = lanes.lane(str(number))
        rooms.append(lanes.room(lane) - 8)
        lanes.put(lane, claimed(1))
    assert (rooms[0], rooms[4], rooms[5], rooms[10], rooms[29]) == (128, 128, 102, 51, 24)


def test_a_lane_that_holds_more_than_its_share_claims_nothing() -> None:
    lanes = Lanes(DeliveryLimits(per_hook=200, waiting_per_hook=24, waiting_alone=128, waiting_shared=128))
    lane = lanes.lane("first")
    lanes.put(lane, claimed(lanes.room(lane)))
    take_all(lanes)
    lanes.put(lane, claimed(10))
    lane.most = 8
    for number in range(8):
        lanes.put(lanes.lane(str(number)), claimed(1))
    assert lanes.room(lane) == 0


def test_what_waits_can_be_taken_back_and_idle_lanes_are_forgotten() -> None:
    lanes = Lanes(DeliveryLimits())
    lane = lanes.lane("a")
    lanes.put(lane, claimed(3))
    assert len(lanes.release_waiting(lane)) == 3
    assert lanes.next() is None
    lanes.prune()
    assert list(lanes) == []
    expected = lanes.lane("b")
    expected.expect_work(5.0)
    expected.expect_work(7.0)
    lanes.prune()
    assert (list(lanes), expected.check_at) == ([expected], 5.0)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["put", "take", "done", "clear"])), max_size=200))
def test_limits_hold_and_nobody_starves(history: list[tuple[str, str]]) -> None:
    lanes = Lanes(DeliveryLimits(per_hook=3, total=7))
    for name, what in history:
        lane = lanes.lane(name)
        if what == "put":
            lanes.put(lane, claimed(2))
        elif what == "take":
            lanes.next()
        elif what == "clear":
            lanes.release_waiting(lane)
        elif lane.in_flight:
            lanes.done(lane)
        assert lanes.in_flight == sum(each.in_flight for each in lanes) <= 7
        assert all(each.in_flight <= 3 for each in lanes)
    # All that is in flight ends, again and again: then all that waits gets its turn.
    for _ in range(500):
        for lane in take_all(lanes):
            lanes.done(lane)
        for lane in lanes:
            while lane.in_flight:
                lanes.done(lane)
    assert not any(lane.waiting for lane in lanes)

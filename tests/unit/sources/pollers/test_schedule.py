from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sources.pollers.schedule import Schedule


def test_the_one_that_is_due_first() -> None:
    schedule = Schedule()
    schedule.set("a", 2.0)
    schedule.set("b", 1.0)
    assert schedule.first() == (1.0, "b")
    schedule.set("b", 3.0)
    assert schedule.first() == (2.0, "a")
    schedule.drop("a")
    assert schedule.first() == (3.0, "b")
    schedule.drop("b")
    schedule.drop("b")
    assert schedule.first() is None


def test_what_is_set_again_and_again_needs_no_more_memory() -> None:
    schedule = Schedule()
    for turn in range(10_000):
        schedule.set("in trouble", 86_400.0 + turn)
        schedule.set("in trouble", 2.0 + turn)
    assert schedule.first() == (10_001.0, "in trouble")
    assert len(schedule._heap) < 100


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 5)), max_size=20))
def test_it_agrees_with_a_dictionary(steps: list[tuple[str, int | None]]) -> None:
    schedule, plain = Schedule(), dict[str, float]()
    for name, at in steps:
        if at is None:
            schedule.drop(name)
            plain.pop(name, None)
        else:
            schedule.set(name, at)
            plain[name] = at
        assert len(schedule) == len(plain)
        assert schedule.first() == min(((at, name) for name, at in plain.items()), default=None)
        assert all((name in schedule) == (name in plain) for name in "abc")

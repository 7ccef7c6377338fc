"""on_change and snooze: the truth table, each row by name, and a naive memory that must agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.model.suppression import CLOCK_SLACK, SuppressionRule, SuppressionSlot, decide_suppression

A, B = b"a", b"b"


class Store:
    """Keeps states by slot, as the queue does for one hook and one event."""

    def __init__(self, rule: SuppressionRule) -> None:
        self.rule = rule
        self.states: dict[bytes, SuppressionSlot] = {}

    def offer(self, digest: bytes, now: float) -> str:
        slot = self.rule.slot_key(digest)
        decision = decide_suppression(self.rule, self.states.get(slot), digest, now)
        if isinstance(decision, SuppressionSlot):
            self.states[slot] = decision
            return "fires"
        return decision


def run(rule: SuppressionRule, *offered: tuple[bytes, float]) -> list[str]:
    store = Store(rule)
    return [store.offer(digest, now) for digest, now in offered]


def test_on_change_alone_fires_where_the_last_firing_was_for_something_else() -> None:
    rule = SuppressionRule(on_change=True, snooze=None)
    assert run(rule, (A, 0), (A, 1), (B, 2), (A, 3)) == ["fires", "unchanged", "fires", "fires"]


def test_on_change_alone_never_fires_again_for_the_same_however_long_it_takes() -> None:
    assert run(SuppressionRule(on_change=True, snooze=None), (A, 0), (A, 1e9)) == ["fires", "unchanged"]


def test_snooze_alone_ignores_the_event_whatever_its_data() -> None:
    rule = SuppressionRule(on_change=False, snooze=10)
    assert run(rule, (A, 0), (A, 5), (B, 9.99), (B, 10)) == ["fires", "snoozed", "snoozed", "fires"]


def test_snooze_alone_counts_from_the_firing_not_from_what_it_held_back() -> None:
    rule = SuppressionRule(on_change=False, snooze=10)
    assert run(rule, (A, 0), (A, 9), (A, 11), (A, 20)) == ["fires", "snoozed", "fires", "snoozed"]


def test_both_ignore_only_what_fired_and_only_for_a_while() -> None:
    rule = SuppressionRule(on_change=True, snooze=10)
    offered = [(A, 0), (A, 1), (B, 2), (A, 3), (B, 11), (A, 10), (B, 12)]
    assert run(rule, *offered) == ["fires", "snoozed", "fires", "snoozed", "snoozed", "fires", "fires"]


def test_a_snooze_that_was_made_shorter_holds_at_once() -> None:
    yesterday = decide_suppression(SuppressionRule(on_change=False, snooze=86_400), None, A, 0.0)
    assert isinstance(yesterday, SuppressionSlot)
    assert isinstance(
        decide_suppression(SuppressionRule(on_change=False, snooze=60), yesterday, A, 1000.0), SuppressionSlot
    )


def test_a_clock_set_back_does_not_silence_a_hook_for_long() -> None:
    rule = SuppressionRule(on_change=False, snooze=60)
    state = decide_suppression(rule, None, A, 1_000_000.0)
    assert isinstance(state, SuppressionSlot)
    assert isinstance(decide_suppression(rule, state, A, 900_000.0), SuppressionSlot)


def test_clocks_that_differ_a_little_do_not_break_the_silence() -> None:
    rule = SuppressionRule(on_change=False, snooze=60)
    state = decide_suppression(rule, None, A, 1000.0)
    assert isinstance(state, SuppressionSlot)
    assert decide_suppression(rule, state, A, 1000.0 - CLOCK_SLACK) == "snoozed"


@pytest.mark.parametrize(("on_change", "snooze"), [(True, None), (False, 10), (True, 10)])
def test_only_with_both_does_each_digest_have_a_memory_of_its_own(on_change: bool, snooze: int | None) -> None:
    rule = SuppressionRule(on_change=on_change, snooze=snooze)
    assert (rule.slot_key(A) != rule.slot_key(B)) is (on_change and snooze is not None)


def naive(on_change: bool, snooze: int | None, offered: list[tuple[bytes, float]]) -> list[bool]:
    """The rules in the words of the documentation, over the whole history."""
    fired: list[tuple[bytes, float]] = []
    answers = []
    for digest, now in offered:
        if on_change and snooze:
            silent = any(each == digest and now < at + snooze for each, at in fired)
        elif snooze:
            silent = any(now < at + snooze for _, at in fired)
        else:
            silent = bool(fired) and fired[-1][0] == digest
        answers.append(not silent)
        if not silent:
            fired.append((digest, now))
    return answers


@given(
    st.sampled_from([(True, None), (False, 5), (True, 5)]),
    st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 7)), max_size=30),
)
def test_it_agrees_with_the_whole_history(asked: tuple[bool, int | None], steps: list[tuple[bytes, int]]) -> None:
    now, offered = 1_795_278_775.0, []
    for digest, seconds in steps:
        now += seconds
        offered.append((digest, now))
    got = [answer == "fires" for answer in run(SuppressionRule(*asked), *offered)]
    assert got == naive(*asked, offered)

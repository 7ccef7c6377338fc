"""The table of the supervisor's states holds together, and says what the rules at the supervisor's head say."""

import pytest

from kong_eventhooks_plugin.kong.supervisor.states import (
    STARTABLE,
    TAKEN_OVER_TRANSITIONS,
    TRANSITIONS,
    Action,
    Event,
    State,
    transition,
)

WITH_REPLACEMENT = {State.REPLACING, State.RENEWING}
WITH_WORKER = {State.SERVING, State.OUTDATED, *WITH_REPLACEMENT}


@pytest.mark.parametrize("state", State)
def test_every_state_takes_exactly_the_events_that_can_happen_in_it(state: State) -> None:
    possible = {Event.RELOAD, Event.STOP}
    if state is not State.STOPPING:
        possible |= {Event.REBOUND}
    if state in STARTABLE:
        possible |= {Event.STARTED, Event.START_FAILED}
    if state in WITH_WORKER:
        possible |= {Event.EXITED}
    if state in WITH_REPLACEMENT:
        possible |= {Event.REPLACEMENT_READY, Event.REPLACEMENT_EXITED}
    assert set(TRANSITIONS[state]) == possible
    assert set(TAKEN_OVER_TRANSITIONS.get(state, {})) <= possible


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_stopped_and_none_comes_after(state: State) -> None:
    assert transition(state, Event.STOP, taken_over=False).state is State.STOPPING
    assert transition(State.STOPPING, Event.RELOAD, taken_over=False) == (State.STOPPING, None)


@pytest.mark.parametrize("state", sorted(WITH_WORKER | {State.WAITING}, key=lambda state: state.name))
def test_a_death_is_followed_by_a_start_or_by_the_other_worker(state: State) -> None:
    for event in {Event.EXITED, Event.START_FAILED, Event.REPLACEMENT_EXITED} & set(TRANSITIONS[state]):
        after, action = transition(state, event, taken_over=False)
        assert action is Action.START_LATER or after is State.SERVING, (state, event)


def test_a_worker_of_a_server_that_was_taken_over_is_not_followed() -> None:
    assert transition(State.SERVING, Event.EXITED, taken_over=True) == (State.ABANDONED, None)
    assert transition(State.RENEWING, Event.REPLACEMENT_EXITED, taken_over=True) == (State.SERVING, None)


def test_a_pair_that_cannot_meet_is_a_bug() -> None:
    with pytest.raises(KeyError):
        transition(State.WAITING, Event.EXITED, taken_over=True)

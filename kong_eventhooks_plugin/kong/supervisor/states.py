"""What a supervisor's workers are doing, and what follows from what happens to them: a table, no I/O.

``TRANSITIONS`` has every pair of a state and an event that can meet; any other is a bug and raises ``KeyError``.
``TAKEN_OVER_TRANSITIONS`` takes precedence while the path leads to another server: then no worker that ends is
started again, or two servers would take the path from each other for ever.

A draining worker is no part of the state: nothing but the log depends on its end.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class State(Enum):
    """The states."""

    WAITING = "No worker; the next one starts after a pause"
    SERVING = "One worker on the socket, ready or about to be"
    REPLACING = "One worker, and a new one that replaces it once it is ready"
    OUTDATED = (
        "One worker on a socket that lost its path; nobody accepts on the one that has it until a new worker does"
    )
    RENEWING = "An outdated worker, and a new one that replaces it once it is ready"
    ABANDONED = "No worker and none to come: another server has the path"
    STOPPING = "The workers drain and none starts"


class Event(Enum):
    """What happens."""

    STARTED = "A worker was started, because one was due"
    START_FAILED = "The system refused to start it"
    REPLACEMENT_READY = "replacement ready"
    REPLACEMENT_EXITED = "replacement exited"
    EXITED = "The serving worker ended by itself, or was ended because it did not answer"
    RELOAD = "SIGHUP"
    REBOUND = "The path had vanished, and now leads to a new socket of ours"
    STOP = "stop"


class Action(Enum):
    """What the supervisor does on a transition."""

    START_NOW = "A worker is due at once"
    START_LATER = "A worker is due after a pause, which grows with each death in a row"
    PROMOTE = "The replacement serves; the old worker, if it still runs, drains"
    START_OVER = "The replacement drains, and another one is due at once"
    DRAIN_ALL = "drain all"


class Transition(NamedTuple):
    """Where an event leads, and what is done about it."""

    state: State
    action: Action | None = None


_STOP = {Event.STOP: Transition(State.STOPPING, Action.DRAIN_ALL)}

TRANSITIONS: Mapping[State, Mapping[Event, Transition]] = {
    State.WAITING: {
        Event.STARTED: Transition(State.SERVING),
        Event.START_FAILED: Transition(State.WAITING, Action.START_LATER),
        Event.RELOAD: Transition(State.WAITING),  # the worker to come is as new as one can be
        Event.REBOUND: Transition(State.WAITING),
        **_STOP,
    },
    State.SERVING: {
        Event.STARTED: Transition(State.REPLACING),
        Event.START_FAILED: Transition(State.SERVING),
        Event.EXITED: Transition(State.WAITING, Action.START_LATER),
        Event.RELOAD: Transition(State.SERVING, Action.START_NOW),
        Event.REBOUND: Transition(State.OUTDATED, Action.START_NOW),
        **_STOP,
    },
    State.REPLACING: {
        Event.REPLACEMENT_READY: Transition(State.SERVING, Action.PROMOTE),
        Event.REPLACEMENT_EXITED: Transition(State.SERVING),
        Event.EXITED: Transition(State.SERVING, Action.PROMOTE),
        Event.RELOAD: Transition(State.REPLACING, Action.START_NOW),  # once this replacement is over
        Event.REBOUND: Transition(State.OUTDATED, Action.START_OVER),
        **_STOP,
    },
    State.OUTDATED: {
        Event.STARTED: Transition(State.RENEWING),
        Event.START_FAILED: Transition(State.OUTDATED, Action.START_LATER),
        Event.EXITED: Transition(State.WAITING, Action.START_LATER),
        Event.RELOAD: Transition(State.OUTDATED, Action.START_NOW),
        Event.REBOUND: Transition(State.OUTDATED, Action.START_NOW),
        **_STOP,
    },
    State.RENEWING: {
        Event.REPLACEMENT_READY: Transition(State.SERVING, Action.PROMOTE),
        Event.REPLACEMENT_EXITED: Transition(State.OUTDATED, Action.START_LATER),
        Event.EXITED: Transition(State.SERVING, Action.PROMOTE),
        Event.RELOAD: Transition(State.RENEWING, Action.START_NOW),
        Event.REBOUND: Transition(State.OUTDATED, Action.START_OVER),
        **_STOP,
    },
    State.ABANDONED: {
        Event.RELOAD: Transition(State.ABANDONED),
        Event.REBOUND: Transition(State.WAITING, Action.START_NOW),
        **_STOP,
    },
    State.STOPPING: {
        Event.RELOAD: Transition(State.STOPPING),
        Event.STOP: Transition(State.STOPPING),
    },
}

STARTABLE = frozenset({State.WAITING, State.SERVING, State.OUTDATED})
"""The states in which a worker that is due is started."""

TAKEN_OVER_TRANSITIONS: Mapping[State, Mapping[Event, Transition]] = {
    State.SERVING: {Event.EXITED: Transition(State.ABANDONED)},
    State.OUTDATED: {Event.EXITED: Transition(State.ABANDONED)},
    State.RENEWING: {Event.REPLACEMENT_EXITED: Transition(State.SERVING)},
}


def transition(state: State, event: Event, *, taken_over: bool) -> Transition:
    """Return what follows; ``taken_over`` is whether the path leads to another server."""
    if taken_over and (found := TAKEN_OVER_TRANSITIONS.get(state, {}).get(event)):
        return found
    return TRANSITIONS[state][event]

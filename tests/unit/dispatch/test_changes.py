"""What the dispatcher does with changes: whether anybody hears of them, and who takes them."""

from typing import Any

import pytest

from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
from kong_eventhooks_plugin.kong.plugin_server.contract import PluginHost
from kong_eventhooks_plugin.model.observation import ChangeObservation, ChangeTarget
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.events import SEEN_AT, StandInBook, StandInQueue, make_hook

CHANGE = ChangeObservation("POST", "/consumers", 201, b"{}", 1.0, 2.0)
TARGET = ChangeTarget(wants_answer=True)


class Taker:
    """Takes what it is given, and says yes to POST."""

    def __init__(self) -> None:
        self.taken: list[ChangeObservation] = []

    def change_target(self, method: str, path: str) -> ChangeTarget | None:
        return TARGET if (method, path) == ("POST", "/consumers") else None

    def observe_change(self, seen: ChangeObservation) -> None:
        self.taken.append(seen)


def make(taker: Taker | None, *hooks: dict[str, Any]) -> tuple[Dispatcher, StandInBook]:
    book = StandInBook(*(make_hook(str(at), **fields) for at, fields in enumerate(hooks)))
    queue = StandInQueue()
    made = Dispatcher(book, queue, (), Metrics(), lambda: SEEN_AT)  # type: ignore[arg-type]  # stands in
    if taker is not None:
        made.set_change_sink(taker)
    return made, book


@pytest.mark.parametrize(
    ("hooks", "hears"),
    [
        ([], False),
        ([{}], False),
        ([{"source": "crud"}], True),
        ([{"source": "crud", "event": "consumers"}], True),
        ([{"source": "crud", "event": "an_entity_of_a_plugin:create"}], True),
        ([{"source": "dao:crud", "event": "delete"}], True),
        ([{"source": "crud", "enabled": False}], False),
        ([{"source": "custom", "event": "crud"}], False),
        ([{"source": "custom"}, {"source": "dao:crud"}], True),
    ],
)
async def test_who_hears_of_changes(hooks: list[dict[str, Any]], hears: bool) -> None:
    assert make(Taker(), *hooks)[0].has_change_subscribers is hears
    assert make(None, *hooks)[0].has_change_subscribers is False


async def test_it_follows_the_hooks() -> None:
    dispatcher, book = make(Taker())
    book.change(make_hook(source="crud"))
    assert dispatcher.has_change_subscribers
    book.change(make_hook(source="crud", enabled=False))
    assert not dispatcher.has_change_subscribers


async def test_the_taker_is_asked_and_given() -> None:
    taker = Taker()
    house: PluginHost = make(taker, {"source": "crud"})[0]
    assert house.change_target("POST", "/consumers") is TARGET
    assert house.change_target("POST", "/services") is None
    house.observe_change(CHANGE)
    assert taker.taken == [CHANGE]


async def test_without_one_nothing_is_wanted_or_kept() -> None:
    house: PluginHost = make(None, {"source": "crud"})[0]
    assert house.change_target("POST", "/consumers") is None
    house.observe_change(CHANGE)

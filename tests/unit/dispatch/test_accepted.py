"""Who watches is told of each event once, when it is committed, with what it led to."""

from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.contract import Receipt
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.events import SEEN_AT, StandInBook, StandInQueue, make_event, make_hook


async def test_told_once_when_it_is_committed() -> None:
    told: list[tuple[Event, Receipt]] = []
    queue, hook = StandInQueue(), make_hook()
    dispatcher = Dispatcher(
        StandInBook(hook), queue, [], Metrics(), lambda: SEEN_AT, accepted=lambda *heard: told.append(heard)
    )
    dispatcher.publish(make_event())
    dispatcher.publish(make_event())
    assert told == [], "nothing is committed yet"
    await queue.commit(0)
    await queue.commit(1, duplicate=True)
    assert [(event.id, receipt.fired) for event, receipt in told] == [("e-1", (hook.id,))]


async def test_what_no_hook_hears_is_not_told() -> None:
    told: list[object] = []
    dispatcher = Dispatcher(
        StandInBook(), StandInQueue(), [], Metrics(), lambda: SEEN_AT, accepted=lambda *heard: told.append(heard)
    )
    assert dispatcher.publish(make_event()) is None
    assert told == []

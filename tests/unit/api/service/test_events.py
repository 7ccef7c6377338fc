"""Publishing, the recent ones, and watching."""

import asyncio
from typing import Any

import pytest

from kong_eventhooks_plugin.api.service import events as events_module
from kong_eventhooks_plugin.api.service import feed as feed_module
from kong_eventhooks_plugin.api.service.feed import Feed, LiveEvent, Missed, WatchFilter
from kong_eventhooks_plugin.errors import TooBusy, ValidationError
from kong_eventhooks_plugin.model.delivery import Delivered
from kong_eventhooks_plugin.queue.contract import EventFilter, Receipt
from tests.support.api import Api
from tests.support.events import make_event

ALL = WatchFilter()
LOG = {"name": "h", "source": "custom", "handler": "log"}


def receipt(*fired: str, **held_back: Any) -> Receipt:
    return Receipt("e", duplicate=False, fired=fired, held_back=held_back)


async def test_what_is_published_fires(api: Api) -> None:
    hook = await api.service.hooks.create({**LOG, "event": "deploy"})
    received = await api.service.events.publish("deploy", {"a": 1})
    assert (received.fired, dict(received.held_back), received.duplicate) == ((hook.id,), {}, False)
    (kept,) = (await api.service.events.page(EventFilter())).events
    assert (kept.event.id, kept.event.source, kept.event.event, kept.event.data) == (
        received.event_id, "custom", "deploy", {"a": 1},
    )  # fmt: skip
    assert kept.fired == {hook.id: "pending"}


async def test_an_event_without_a_subscriber_is_not_stored(api: Api) -> None:
    await api.service.hooks.create({**LOG, "event": "deploy"})
    received = await api.service.events.publish("other", {})
    assert received.fired == ()
    assert (await api.service.events.page(EventFilter())).events == ()


async def test_a_key_makes_it_the_same_event(api: Api) -> None:
    await api.service.hooks.create(LOG)
    first = await api.service.events.publish("deploy", {"n": 1}, "k")
    again = await api.service.events.publish("deploy", {"n": 2}, "k")
    other = await api.service.events.publish("deploy", {"n": 2}, "l")
    assert (again.event_id, again.duplicate, again.fired) == (first.event_id, True, ())
    assert not other.duplicate
    without = [await api.service.events.publish("deploy", {}) for _ in range(2)]
    assert without[0].event_id != without[1].event_id


async def test_a_snooze_holds_it_back_and_the_list_shows_it(api: Api) -> None:
    hook = await api.service.hooks.create({**LOG, "snooze": 60})
    await api.service.events.publish("deploy", {})
    assert dict((await api.service.events.publish("deploy", {})).held_back) == {hook.id: "snoozed"}
    newest = (await api.service.events.page(EventFilter(hook_id=hook.id), 1)).events[0]
    assert (newest.fired, newest.held_back) == ({}, {hook.id: "snoozed"})


@pytest.mark.parametrize(
    ("name", "data", "key", "field"),
    [("", {}, None, "event"), ("x" * 257, {}, None, "event"), ("a\nb", {}, None, "event"), ("a", {}, "", "key"),
     ("a", {}, "k" * 129, "key"), ("a", {"x": "\0"}, None, "data"), ("a", {"x": 1 << 64}, None, "data")],
)  # fmt: skip
async def test_what_cannot_be_published(api: Api, name: str, data: Any, key: str | None, field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        await api.service.events.publish(name, data, key)
    assert list(refused.value.fields) == [field]


class TestFeed:
    async def test_a_watcher_gets_events(self) -> None:
        feed = Feed()
        feed.publish(make_event(id="before"), receipt())
        with feed.watch(ALL) as watcher:
            feed.publish(make_event(id="1"), receipt("h"))
            assert await watcher.next() == LiveEvent(make_event(id="1"), receipt("h"))
            waiting = asyncio.ensure_future(watcher.next())
            await asyncio.sleep(0)
            assert not waiting.done()
            feed.publish(make_event(id="2"), receipt())
            assert (await waiting).event.id == "2"

    @pytest.mark.parametrize(
        ("wanted", "observed"),
        [
            (WatchFilter(), "12"),
            (WatchFilter(source="rate-limiting"), "1"),
            (WatchFilter(event="other"), "2"),
            (WatchFilter(hook_id="h"), "1"),
            (WatchFilter(hook_id="s"), "2"),
            (WatchFilter(source="rate-limiting", hook_id="s"), ""),
        ],
    )
    async def test_filters(self, wanted: WatchFilter, observed: str) -> None:
        feed = Feed()
        with feed.watch(wanted) as watcher:
            feed.publish(make_event(id="1"), receipt("h"))
            feed.publish(make_event(id="2", source="custom", event="other"), receipt(s="snoozed"))
            feed.close()
            assert "".join([received.event.id async for received in watcher]) == observed

    async def test_a_slow_one_loses_the_oldest_and_gets_their_count(self) -> None:
        feed = Feed()
        with feed.watch(ALL) as slow, feed.watch(ALL) as quick:
            for n in range(feed_module.WAITING + 3):
                feed.publish(make_event(id=str(n)), receipt())
                assert (await quick.next()).event.id == str(n)
            assert await slow.next() == Missed(3)
            assert (await slow.next()).event.id == "3"
            feed.close()
            rest = [received.event.id async for received in slow]
            assert rest == [str(n) for n in range(4, feed_module.WAITING + 3)]

    async def test_only_so_many_watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feed_module, "WATCHERS", 2)
        feed = Feed()
        with feed.watch(ALL):
            with feed.watch(ALL), pytest.raises(TooBusy), feed.watch(ALL):
                pass
            with feed.watch(ALL):
                pass

    async def test_a_closed_feed_publishes_nothing(self) -> None:
        feed = Feed()
        feed.close()
        with feed.watch(ALL) as watcher:
            feed.publish(make_event(), receipt())
            assert await watcher.next() is None

    async def test_waiting_may_be_cancelled(self) -> None:
        feed = Feed()
        with feed.watch(ALL) as watcher:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(watcher.next(), 0.001)
            feed.publish(make_event(id="1"), receipt())
            assert (await watcher.next()).event.id == "1"


class TestFollow:
    async def test_after_a_break_it_goes_on_where_it_was(self, api: Api) -> None:
        await api.service.hooks.create(LOG)
        received = [(await api.service.events.publish("deploy", {"n": n})).event_id for n in range(4)]
        with api.service.events.watch(ALL) as watcher:
            # Between the beginning of the watch and the reading of the list: in both, sent once.
            received.append((await api.service.events.publish("deploy", {"n": 4})).event_id)
            following = api.service.events.follow(watcher, ALL, received[1])
            observed = [(await anext(following)).event.id for _ in range(3)]
            received.append((await api.service.events.publish("deploy", {"n": 5})).event_id)
            observed.append((await anext(following)).event.id)
            await following.aclose()
        assert observed == received[2:]

    async def test_the_filter_holds_for_the_past_too(self, api: Api) -> None:
        await api.service.hooks.create(LOG)
        first, _, third = [(await api.service.events.publish(name, {})).event_id for name in ("a", "b", "a")]
        with api.service.events.watch(WatchFilter(event="a")) as watcher:
            following = api.service.events.follow(watcher, WatchFilter(event="a"), first)
            assert (await anext(following)).event.id == third
            await following.aclose()

    async def test_past_the_limit_the_missed_count_is_unknown(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(events_module, "CAUGHT_UP", 2)
        await api.service.hooks.create(LOG)
        received = [(await api.service.events.publish("deploy", {"n": n})).event_id for n in range(5)]
        with api.service.events.watch(ALL) as watcher:
            following = api.service.events.follow(watcher, ALL, received[0])
            assert await anext(following) == Missed(None)
            assert [(await anext(following)).event.id for _ in range(2)] == received[3:]
            await following.aclose()

    async def test_an_event_that_is_forgotten(self, api: Api) -> None:
        await api.service.hooks.create(LOG)
        await api.service.events.publish("deploy", {})
        with api.service.events.watch(ALL) as watcher:
            following = api.service.events.follow(watcher, ALL, "forgotten")
            now = await api.service.events.publish("deploy", {})
            assert (await anext(following)).event.id == now.event_id
            await following.aclose()


def test_the_default_outcome_of_the_recorder_is_an_answer() -> None:
    assert Delivered().answer.status is None

"""Deadlines, cancelled calls, watchers, limits and the server's end, on a real channel."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kong_eventhooks_plugin.api.grpc import guard as guard_module
from kong_eventhooks_plugin.api.grpc import server as server_module
from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import deliveries_pb2, events_pb2, hooks_pb2
from kong_eventhooks_plugin.api.grpc.structs import from_struct, to_struct
from kong_eventhooks_plugin.api.service import feed as feed_module
from tests.support.api import Api, running
from tests.support.grpc_server import Client, Refused, open_server, refused

LOG = hooks_pb2.Hook(name="h", source="custom", handler="log", config=to_struct({}))
TEST = hooks_pb2.TestHookRequest(hook="h")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(tmp_path) as opened:
        await opened.service.hooks.create({"name": "h", "source": "custom", "handler": "log"})
        yield opened


@pytest.fixture
async def client(api: Api) -> AsyncIterator[Client]:
    async with open_server(api) as opened:
        yield opened


class Held:
    """Something that is called and does not return until it may; it says how that ended."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, *arguments: Any) -> Any:
        self.begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return await self._call(*arguments)


async def past_its_deadline(call: Callable[[float], Any], held: Held) -> Refused:
    """Make a call with a deadline that passes while it is held; how it failed. A slow machine gets longer ones."""
    for seconds in (0.2, 2.0, 20.0):
        no = await refused(call(seconds))
        if held.begun.is_set():
            return no
    pytest.fail("it never came so far")


async def given_up(call: Any, held: Held) -> None:
    """Give a call up once it is held."""
    await held.begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.fixture
def handler(api: Api, monkeypatch: pytest.MonkeyPatch) -> Held:
    held = Held(api.recorders["log"].deliver)
    monkeypatch.setattr(api.recorders["log"], "deliver", held)
    return held


class TestDeadlines:
    async def test_a_call_whose_deadline_passed_stops(self, client: Client, handler: Held) -> None:
        no = await past_its_deadline(lambda seconds: client.hooks.TestHook(TEST, timeout=seconds), handler)
        assert no.code is StatusCode.DEADLINE_EXCEEDED
        await handler.cancelled.wait()

    async def test_a_call_that_its_caller_gives_up_stops(self, client: Client, handler: Held) -> None:
        call = client.hooks.TestHook(TEST)
        await handler.begun.wait()
        call.cancel()
        await handler.cancelled.wait()

    async def test_without_a_deadline_there_is_the_doors_own(
        self, client: Client, handler: Held, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guard_module, "seconds_left", lambda _: 0.1)
        no = await refused(client.hooks.TestHook(TEST))
        assert (no.code, no.text) == (StatusCode.DEADLINE_EXCEEDED, "the call took too long")
        await handler.cancelled.wait()

    async def test_a_change_is_not_torn_apart(self, api: Api, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        held = Held(api.queue.store_definitions)
        monkeypatch.setattr(api.queue, "store_definitions", held)
        request = hooks_pb2.CreateHookRequest(definition=LOG)
        request.definition.name = "late"
        no = await past_its_deadline(lambda seconds: client.hooks.CreateHook(request, timeout=seconds), held)
        assert no.code is StatusCode.DEADLINE_EXCEEDED
        held.may_end.set()
        # The next change waits for the one before.
        request.definition.name = "later"
        await client.hooks.CreateHook(request)
        assert not held.cancelled.is_set()
        names = {hook.name for hook in (await client.hooks.ListHooks(hooks_pb2.ListHooksRequest())).hooks}
        assert names == {"h", "late", "later"}

    async def test_publish_returns_after_the_commit(
        self, api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        committed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        offered: asyncio.Queue[Any] = asyncio.Queue()
        offer = api.queue.offer

        def slow(given: Any) -> Any:
            offered.put_nowait(given)
            return committed

        monkeypatch.setattr(api.queue, "offer", slow)
        call = asyncio.ensure_future(client.events.Publish(events_pb2.PublishRequest(event="e")))
        given = await offered.get()
        # Another call, there and back, in the meantime.
        await client.hooks.ListHooks(hooks_pb2.ListHooksRequest())
        assert not call.done()
        committed.set_result(await offer(given))
        assert [fired.hook.name for fired in (await call).fired] == ["h"]


@contextlib.contextmanager
def watched(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Event]:
    """Gives an event that is set when a watcher was let go."""
    removed, watch = asyncio.Event(), api.feed.watch

    @contextlib.contextmanager
    def noticed(wanted: Any) -> Iterator[Any]:
        with watch(wanted) as watcher:
            try:
                yield watcher
            finally:
                removed.set()

    monkeypatch.setattr(api.feed, "watch", noticed)
    yield removed


async def begin(client: Client, **where: str) -> Any:
    """Begin a watch; whatever is accepted from now on arrives."""
    call = client.events.Watch(events_pb2.WatchRequest(**where))
    await call.initial_metadata()
    return call


async def read_to_the_end(watch: Any, seen: list[str]) -> None:
    """Read events' ids into a list until the watch fails."""
    while True:
        seen.append((await watch.read()).event.event.id)


async def publish(client: Client, event: str = "e", **data: Any) -> str:
    received = await client.events.Publish(events_pb2.PublishRequest(event=event, data=to_struct(data)))
    return str(received.event_id)


class TestWatch:
    async def test_events_arrive_as_they_are_accepted(self, client: Client) -> None:
        watch = await begin(client)
        for number in range(3):
            event_id = await publish(client, n=number)
            received = (await watch.read()).event
            assert (received.event.id, from_struct(received.event.data)) == (event_id, {"n": number})
            assert [fired.hook.name for fired in received.fired] == ["h"]
            assert received.fired[0].state == deliveries_pb2.DELIVERY_STATE_UNSPECIFIED

    async def test_filters(self, api: Api, client: Client) -> None:
        other = await api.service.hooks.create({"name": "o", "source": "custom", "event": "b", "handler": "log"})
        watches = [
            await begin(client, event="b"), await begin(client, source="custom", hook="o"),
            await begin(client, hook=other.id, event="b"), await begin(client, source="crud"),
        ]  # fmt: skip
        await publish(client, "a")
        event_id = await publish(client, "b")
        for watch in watches[:3]:
            assert (await watch.read()).event.event.id == event_id
        await client.server.stop(0)
        assert (await refused(watches[3].read())).code is StatusCode.UNAVAILABLE

    async def test_it_goes_on_after_the_last_that_was_seen(self, client: Client) -> None:
        seen, missed = await publish(client), [await publish(client) for _ in range(2)]
        watch = await begin(client, after=seen)
        missed.append(await publish(client))
        assert [(await watch.read()).event.event.id for _ in range(3)] == missed

    async def test_a_watcher_that_disconnects_is_removed(
        self, api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with watched(api, monkeypatch) as removed:
            watch = await begin(client)
            watch.cancel()
            await removed.wait()
        assert not api.feed._watchers

    async def test_one_that_disconnects_during_a_write_is_no_error(
        self, api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with watched(api, monkeypatch) as removed, structlog.testing.capture_logs() as logged:
            watch = await begin(client)
            # More than a connection takes without being read.
            for _ in range(10):
                await publish(client, text="x" * 500_000)
            watch.cancel()
            await removed.wait()
            await client.server.stop(0)
        assert [line for line in logged if line["log_level"] == "error"] == []

    async def test_so_is_one_whose_connection_closed(
        self, api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with watched(api, monkeypatch) as removed:
            await begin(client)
            await client.channel.close()
            await removed.wait()
        assert not api.feed._watchers

    async def test_so_is_one_whose_deadline_passed(
        self, api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, watch = asyncio.Event(), api.feed.watch
        monkeypatch.setattr(api.feed, "watch", lambda wanted: (begun.set(), watch(wanted))[1])
        with watched(api, monkeypatch) as removed:
            for seconds in (0.2, 2.0, 20.0):  # a slow machine gets longer ones
                call = client.events.Watch(events_pb2.WatchRequest(), timeout=seconds)
                assert (await refused(call.read())).code is StatusCode.DEADLINE_EXCEEDED
                if begun.is_set():
                    break
            await removed.wait()

    async def test_no_more_watch_than_may(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feed_module, "WATCHERS", 2)
        watches = [await begin(client) for _ in range(2)]
        no = await refused(client.events.Watch(events_pb2.WatchRequest()).read())
        assert no.code is StatusCode.RESOURCE_EXHAUSTED
        event_id = await publish(client)
        for watch in watches:
            assert (await watch.read()).event.event.id == event_id

    async def test_one_that_does_not_read_is_ended(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feed_module, "WAITING", 2)
        async with open_server(api, stalled=1.0) as client:
            with watched(api, monkeypatch) as removed:
                watch = await begin(client)
                sent = [await publish(client, text="x" * 500_000) for _ in range(20)]
                await removed.wait()
            seen: list[str] = []
            no = await refused(read_to_the_end(watch, seen))
        assert (no.code, no.text) == (StatusCode.RESOURCE_EXHAUSTED, "the watcher read nothing for 1 s")
        assert seen == sorted(seen, key=sent.index)
        assert 0 < len(seen) < len(sent)

    async def test_one_that_reads_too_slowly_gets_the_missed_count(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed_module, "WAITING", 2)
        watch = await begin(client)
        sent = [await publish(client, text="x" * 500_000) for _ in range(20)]
        seen, missed = [], 0
        while len(seen) + missed < len(sent):
            received = await watch.read()
            missed += received.missed.count
            seen += [received.event.event.id] if received.HasField("event") else []
        assert missed > 0
        assert seen[-2:] == sent[-2:]

    async def test_rests_feed_ends_it_too(self, api: Api, client: Client) -> None:
        watch = await begin(client)
        api.feed.close()
        assert (await refused(watch.read())).code is StatusCode.UNAVAILABLE


class TestLimits:
    async def test_no_more_calls_at_once_than_may(self, api: Api, handler: Held) -> None:
        async with open_server(api, at_once=1) as client:
            first = asyncio.ensure_future(client.hooks.TestHook(TEST))
            await handler.begun.wait()
            no = await refused(client.hooks.ListHooks(hooks_pb2.ListHooksRequest()))
            assert (no.code, no.text) == (StatusCode.RESOURCE_EXHAUSTED, "1 calls run already")
            handler.may_end.set()
            await first
            await client.hooks.ListHooks(hooks_pb2.ListHooksRequest())

    async def test_no_more_calls_of_any_kind_than_may(self, api: Api) -> None:
        async with open_server(api, rpcs=2) as client:
            watches = [await begin(client) for _ in range(2)]
            no = await refused(client.hooks.ListHooks(hooks_pb2.ListHooksRequest()))
            assert no.code is StatusCode.RESOURCE_EXHAUSTED
            assert not any(watch.done() for watch in watches)

    async def test_what_a_given_up_change_still_does_counts(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        held = Held(api.queue.store_definitions)
        monkeypatch.setattr(api.queue, "store_definitions", held)
        async with open_server(api, at_once=1) as client:
            await given_up(client.hooks.DeleteHook(hooks_pb2.DeleteHookRequest(hook="h")), held)
            no = await refused(client.hooks.ListHooks(hooks_pb2.ListHooksRequest()))
            assert no.code is StatusCode.RESOURCE_EXHAUSTED
            held.may_end.set()


SERVICES = ["", *(f"eventhooks.v1.{one}Service" for one in ("Hook", "Source", "Delivery", "Event"))]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class TestHealth:
    @pytest.mark.parametrize(
        "name", ["", *(f"eventhooks.v1.{one}Service" for one in ("Hook", "Source", "Delivery", "Event"))]
    )
    async def test_every_service_serves(self, client: Client, name: str) -> None:
        stub = health_pb2_grpc.HealthStub(client.channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING

    async def test_one_that_is_not_there(self, client: Client) -> None:
        stub = health_pb2_grpc.HealthStub(client.channel)
        no = await refused(stub.Check(health_pb2.HealthCheckRequest(service="nothing")))
        assert no.code is StatusCode.NOT_FOUND

    async def test_it_needs_no_token(self, api: Api) -> None:
        async with open_server(api, "a-token-of-some-length") as client:
            stub = health_pb2_grpc.HealthStub(client.channel)
            assert (await stub.Check(health_pb2.HealthCheckRequest())).status == SERVING

    async def test_a_watcher_sees_the_end(self, client: Client) -> None:
        watch = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        stopping = asyncio.ensure_future(client.server.stop(5))
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()
        await stopping

    async def test_no_more_watch_it_than_may(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server_module, "HEALTH_WATCHES", 1)
        stub = health_pb2_grpc.HealthStub(client.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        no = await refused(stub.Watch(health_pb2.HealthCheckRequest()).read())
        assert no.code is StatusCode.RESOURCE_EXHAUSTED


class TestTheEnd:
    async def test_watches_end_and_calls_in_progress_finish(self, client: Client, handler: Held) -> None:
        watch = await begin(client)
        call = asyncio.ensure_future(client.hooks.TestHook(TEST))
        await handler.begun.wait()
        stopping = asyncio.ensure_future(client.server.stop(20))
        no = await refused(watch.read())
        assert (no.code, "watch again" in no.text) == (StatusCode.UNAVAILABLE, True)
        assert not stopping.done()
        handler.may_end.set()
        assert (await call).result.status == 200
        await stopping

    async def test_a_call_that_takes_longer_than_the_grace_is_ended(self, client: Client, handler: Held) -> None:
        call = asyncio.ensure_future(client.hooks.TestHook(TEST))
        await handler.begun.wait()
        await client.server.stop(0.1)
        await handler.cancelled.wait()
        assert (await refused(call)).code in {StatusCode.UNAVAILABLE, StatusCode.CANCELLED}

    async def test_a_change_that_writes_is_waited_for_though_its_caller_gave_up(
        self, api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = Held(api.queue.store_definitions)
        monkeypatch.setattr(api.queue, "store_definitions", held)
        await given_up(client.hooks.DeleteHook(hooks_pb2.DeleteHookRequest(hook="h")), held)
        asyncio.get_running_loop().call_later(0.3, held.may_end.set)
        await client.server.stop(20)
        assert not await api.queue.definitions()

"""/events, /deliveries and the stream, over HTTP."""

import asyncio
import contextlib
import json
from typing import Any

import httpx
import pytest
import structlog

from kong_eventhooks_plugin.api.client.sse import Message, Parser
from kong_eventhooks_plugin.api.rest import bodies, hooks_calls, routes, stream
from kong_eventhooks_plugin.api.rest.sending import cut
from kong_eventhooks_plugin.api.service import feed
from kong_eventhooks_plugin.model.delivery import SentRequest
from kong_eventhooks_plugin.model.ids import delivery_id, hook_id
from tests.support.api import Api
from tests.support.queue import dead, delivered
from tests.support.waiting import SECONDS

LOG = {"source": "custom", "handler": "log"}


class TestPublish:
    async def test_it_fires_and_returns_what_fired(self, client: httpx.AsyncClient) -> None:
        fires = (await client.put("/event-hooks/fires", json=LOG)).json()["id"]
        off = (await client.put("/event-hooks/off", json={**LOG, "enabled": False})).json()["id"]
        answer = await client.post("/events", json={"event": "deploy", "data": {"version": "1.2"}, "key": "k"})
        received = answer.json()
        assert (answer.status_code, received["duplicate"]) == (201, False)
        delivery = delivery_id(received["id"], fires)
        assert received["fired"] == [{"event_hook": {"id": fires, "name": "fires"}, "delivery": delivery}]
        assert received["held_back"] == [{"event_hook": {"id": off, "name": "off"}, "reason": "disabled"}]
        again = (await client.post("/events", json={"event": "deploy", "key": "k"})).json()
        assert (again["id"], again["duplicate"], again["fired"]) == (received["id"], True, [])
        form = await client.post("/events", data={"event": "deploy", "data.version": "1.3"})
        assert form.status_code == 201

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, {"event": "required field missing"}),
            ({"event": 5, "data": [], "key": 1, "x": 1},
             {"event": "expected a string", "data": "expected a record", "key": "expected a string",
              "x": "unknown field"}),
        ],
    )  # fmt: skip
    async def test_what_is_refused(self, client: httpx.AsyncClient, body: Any, fields: dict[str, str]) -> None:
        answer = await client.post("/events", json=body)
        assert (answer.status_code, answer.json()["fields"]) == (400, fields)


async def test_events_with_what_they_led_to(api: Api, client: httpx.AsyncClient) -> None:
    a, s = [(await client.put(f"/event-hooks/{name}", json={**LOG, **more})).json()["id"]
            for name, more in (("a", {}), ("s", {"snooze": 60}))]  # fmt: skip
    ids = [(await client.post("/events", json={"event": name})).json()["id"] for name in ("x", "x", "y")]
    await api.queue.claim(a, 1, 60)
    await api.queue.settle([delivered(delivery_id(ids[0], a))])
    newest, middle, oldest = (await client.get("/events")).json()["data"]
    assert [one["id"] for one in (newest, middle, oldest)] == ids[::-1]
    assert (oldest["source"], oldest["event"], oldest["data"]) == ("custom", "x", {})
    assert {one["event_hook"]["name"]: one["state"] for one in oldest["fired"]} == {"a": "delivered", "s": "pending"}
    assert middle["held_back"] == [{"event_hook": {"id": s, "name": "s"}, "reason": "snoozed"}]
    assert oldest["accepted_at"] >= oldest["time"] > 1_700_000_000

    async def found(query: str) -> list[str]:
        return [one["id"] for one in (await client.get(f"/events?{query}")).json()["data"]]

    assert await found("event=y") == [ids[2]]
    assert await found("source=nowhere") == []
    assert await found("hook=s&event=x") == [ids[1], ids[0]]
    assert await found(f"hook={a}") == ids[::-1]
    assert await found(f"hook={hook_id('nobody')}") == []
    assert await found(f"since={middle['accepted_at']}") == [ids[2], ids[1]]
    assert await found("until=2020-01-01T00:00:00Z") == []
    page = (await client.get("/events?size=2&hook=a")).json()
    assert page["next"] == f"/events?offset={page['offset']}&hook=a&size=2"
    assert [one["id"] for one in (await client.get(page["next"])).json()["data"]] == [ids[0]]


async def test_deliveries(api: Api, client: httpx.AsyncClient) -> None:
    hook = (await client.put("/event-hooks/a", json=LOG)).json()["id"]
    ids = [delivery_id((await client.post("/events", json={"event": "x", "data": {"n": n}})).json()["id"], hook)
           for n in range(3)]  # fmt: skip
    await api.queue.claim(hook, 2, 60)
    sent = SentRequest("POST", "http://x/***", (("x-a", "1"),), b"", 40, of_event=True)
    await api.queue.settle([dead(ids[0]), delivered(ids[1], headers=(("x-b", "1"), ("x-b", "2")), request=sent)])
    for path in ("/deliveries", "/event-hooks/a/deliveries", f"/default/event-hooks/{hook}/deliveries"):
        assert [one["id"] for one in (await client.get(path)).json()["data"]] == ids[::-1]
        assert [one["id"] for one in (await client.get(f"{path}?state=dead")).json()["data"]] == [ids[0]]
        page = (await client.get(f"{path}?size=2&until=4000000000")).json()
        assert page["next"] == f"{path}?offset={page['offset']}&until=4000000000&size=2"
        assert [one["id"] for one in (await client.get(page["next"])).json()["data"]] == [ids[0]]
    assert (await client.get("/deliveries?hook=a&source=custom&since=0")).json()["data"]
    assert (await client.get(f"/deliveries?hook={hook_id('nobody')}")).json() == {"data": [], "next": None}
    no = await client.get("/deliveries?hook=nobody")
    assert (no.status_code, no.json()["fields"]) == (400, {"hook": "no hook has the id or name 'nobody'"})
    one = (await client.get(f"/deliveries/{ids[0]}")).json()
    assert one["event_hook"] == {"id": hook, "name": "a"}
    assert (one["state"], one["reason"], one["attempt_count"], one["data"]) == ("dead", "410 Gone", 1, {"n": 0})
    (attempt,) = one["attempts"]
    assert (attempt["number"], attempt["status"], attempt["outcome"]) == (1, 503, "discard")
    assert attempt["body"] == "\ufffd\x00sorry"
    assert attempt["request"] is None
    (attempt,) = (await client.get(f"/deliveries/{ids[1]}")).json()["attempts"]
    assert attempt["headers"] == {"x-b": "1, 2"}
    body = '{"source":"custom","event":"x","n":1}'
    assert attempt["request"] == {
        "method": "POST", "url": "http://x/***", "headers": {"x-a": "1"}, "body": body, "size": 40,
    }  # fmt: skip


async def test_replay(api: Api, client: httpx.AsyncClient) -> None:
    hook = (await client.put("/event-hooks/a", json=LOG)).json()["id"]
    ids = [delivery_id((await client.post("/events", json={"event": "x", "data": {"n": n}})).json()["id"], hook)
           for n in range(4)]  # fmt: skip
    await api.queue.claim(hook, 4, 60)
    await api.queue.settle([dead(one) for one in ids])
    one = await client.post(f"/deliveries/{ids[0]}/replay")
    assert (one.status_code, one.json()["state"], one.json()["id"]) == (200, "pending", ids[0])
    many = await client.post("/event-hooks/a/replay", json={"since": 0, "until": "2100-01-01T00:00:00+00:00"})
    assert (many.status_code, many.json()) == (200, {"replayed": 3, "refused": None, "more": False})
    form = await client.post("/event-hooks/a/replay", data={"since": "0", "state": "delivered"})
    assert form.json() == {"replayed": 0, "refused": None, "more": False}
    await api.queue.claim(hook, 4, 60)
    await api.queue.settle([dead(one, 2) for one in ids])
    await client.delete("/event-hooks/a")
    gone = await client.post(f"/deliveries/{ids[0]}/replay")
    assert gone.status_code == 409
    assert "hook" in gone.json()["message"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/deliveries?state=x", {"state": "expected one of: pending, leased, delivered, dead"}),
        ("/deliveries?since=x", {"since": "expected Unix seconds, or a time like 2026-01-31T12:00:00Z"}),
        ("/events?until=2026-01-31T12:00:00", {"until": "expected Unix seconds, or a time like 2026-01-31T12:00:00Z"}),
        ("/events?since=2&until=1", {"until": "must not be before since"}),
        (f"/events?source={'x' * 257}", {"source": "length must be at most 256"}),
    ],
)
async def test_questions_that_are_none(client: httpx.AsyncClient, path: str, fields: dict[str, str]) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["fields"]) == (400, fields)


@pytest.mark.parametrize(
    ("body", "field"),
    [({"state": "pending"}, "state"), ({"state": {}}, "state"), ({"since": []}, "since"), ({"since": True}, "since"),
     ({"since": 2, "until": 1}, "until"), ({"sinse": 2}, "sinse"), ({"until": 10**400}, "until")],
)  # fmt: skip
async def test_ranges_that_are_none(client: httpx.AsyncClient, body: Any, field: str) -> None:
    await client.put("/event-hooks/a", json=LOG)
    answer = await client.post("/event-hooks/a/replay", json=body)
    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field])


async def test_a_store_that_is_away(api: Api, client: httpx.AsyncClient) -> None:
    await client.put("/event-hooks/a", json=LOG)
    await api.queue.close()
    for answer in (await client.get("/events"), await client.put("/event-hooks/a", json=LOG)):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json() == {
            "message": "the store is not available; what was asked for may or may not have been done"
        }
    assert (await client.get("/event-hooks/a")).status_code == 200, "hooks in force are known all the same"


class Reading:
    """A reader of the stream. ``comments`` counts heartbeats."""

    def __init__(self, response: httpx.Response) -> None:
        self._chunks = response.aiter_bytes()
        self._parser = Parser()
        self._ready: list[Message] = []
        self.comments = 0

    async def next(self) -> Message:
        async with asyncio.timeout(SECONDS):
            while not self._ready:
                chunk = await anext(self._chunks)
                self.comments += chunk.count(b":\n\n")
                self._ready += self._parser.feed(chunk)
        return self._ready.pop(0)


class TestStream:
    async def test_live(self, api: Api, client: httpx.AsyncClient) -> None:
        await client.put("/event-hooks/a", json=LOG)
        async with client.stream("GET", "/events/stream") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            reading = Reading(response)
            await watched(api, 1)
            for n in range(3):
                received = (await client.post("/events", json={"event": "x", "data": {"n": n}})).json()
                message = await reading.next()
                observed = json.loads(message.data)
                assert (message.event, message.last_id, observed["id"]) == ("message", received["id"], received["id"])
                assert (observed["data"], observed["fired"]) == ({"n": n}, received["fired"])
        await watched(api, 0)

    async def test_filters(self, api: Api, client: httpx.AsyncClient) -> None:
        await client.put("/event-hooks/a", json={**LOG, "event": "x"})
        await client.put("/event-hooks/b", json={**LOG, "event": "y"})
        async with client.stream("GET", "/events/stream?hook=b&source=custom") as response:
            await watched(api, 1)
            for name in ("x", "y"):
                await client.post("/events", json={"event": name})
            assert json.loads((await Reading(response).next()).data)["event"] == "y"

    async def test_after_a_break(self, api: Api, client: httpx.AsyncClient) -> None:
        await client.put("/event-hooks/a", json=LOG)
        ids = [(await client.post("/events", json={"event": "x"})).json()["id"] for _ in range(3)]
        for headers, query in (({"last-event-id": ids[0]}, ""), ({}, f"?last_event_id={ids[0]}")):
            async with client.stream("GET", f"/events/stream{query}", headers=headers) as response:
                reading = Reading(response)
                assert [(await reading.next()).last_id for _ in range(2)] == ids[1:]

    async def test_heartbeats(self, api: Api) -> None:
        async with api.served(heartbeat=0.02) as client, client.stream("GET", "/events/stream") as response:
            async with asyncio.timeout(SECONDS):
                seen = b""
                async for chunk in response.aiter_bytes():
                    seen += chunk
                    if seen.count(b":\n\n") >= 3:
                        break
            assert seen.startswith(b"retry: 2000\n\n")

    async def test_a_slow_reader_gets_the_count_of_what_was_lost(
        self, api: Api, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed, "WAITING", 2)
        hook = (await client.put("/event-hooks/a", json=LOG)).json()
        assert hook["id"]
        async with client.stream("GET", "/events/stream") as response:
            await watched(api, 1)
            # All at once: the stream's task has no turn in between.
            published = [api.service.events.publish("x", {"n": n}) for n in range(5)]
            await asyncio.gather(*published)
            reading = Reading(response)
            message = await reading.next()
            if message.event == "message":
                message = await reading.next()
            assert message.event == "missed"
            assert json.loads(message.data)["count"] in (2, 3)

    async def test_only_so_many(self, api: Api, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feed, "WATCHERS", 1)
        async with client.stream("GET", "/events/stream"):
            await watched(api, 1)
            refused = await client.get("/events/stream")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")

    async def test_it_ends_when_the_process_exits(self, api: Api) -> None:
        async with asyncio.timeout(SECONDS):
            async with api.served() as client:
                response = await client.send(client.build_request("GET", "/events/stream"), stream=True)
                await watched(api, 1)
        await response.aclose()

    async def test_a_reader_that_reads_nothing_is_disconnected(
        self, api: Api, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cut_off: list[Any] = []
        monkeypatch.setattr(stream, "STALLED", 0.05)
        monkeypatch.setattr(stream, "cut", lambda request: cut_off.append(cut(request)))
        await client.put("/event-hooks/a", json=LOG)
        host, port = api.base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1)
        writer.write(b"GET /events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await writer.drain()
        await watched(api, 1)
        async with asyncio.timeout(SECONDS):
            while len(api.feed._watchers):
                await api.service.events.publish("x", {"text": "x" * 500_000})
        assert cut_off, "else what waits for it is kept as long as it stays connected"
        writer.close()
        assert reader is not None

    @pytest.mark.parametrize("last", [b"\xff", b"a\tb", b"x" * 257])
    async def test_what_can_be_no_event(self, client: httpx.AsyncClient, last: bytes) -> None:
        answer = await client.get("/events/stream", headers={b"last-event-id": last})
        assert (answer.status_code, answer.json()["fields"]) == (400, {"last_event_id": "expected the id of an event"})

    @pytest.mark.usefixtures("client")
    async def test_a_bug_ends_it_without_a_second_answer(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fail(*_: Any) -> Any:
            raise RuntimeError("with a secret in it")

        monkeypatch.setattr(api.queue, "events", fail)
        host, port = api.base.removeprefix("http://").split(":")
        with structlog.testing.capture_logs() as logged:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /events/stream HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: x\r\n\r\n")
            seen = b""
            async with asyncio.timeout(SECONDS):
                with contextlib.suppress(ConnectionResetError):
                    while chunk := await reader.read(1_000):
                        seen += chunk
            writer.close()
        assert seen.count(b"HTTP/1.1 ") <= 1, "a reset may have overtaken the beginning"
        (line,) = [line for line in logged if line["log_level"] == "error"]
        assert (line["event"], line["error"]) == ("api_call_failed", "RuntimeError")
        await watched(api, 0)


class TestLimits:
    async def test_only_so_many_calls_at_once(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(routes, "AT_ONCE", 3)
        async with api.served() as client:
            await client.put("/event-hooks/a", json={**LOG, "handler": "lambda", "config": {"functions": ["x"]}})
            recorder = api.recorders["lambda"]
            recorder.gate = asyncio.Event()
            waiting = [asyncio.create_task(client.post("/event-hooks/a/test", json={})) for _ in range(3)]
            await recorder.called(3)
            refused = await client.get("/event-hooks")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            recorder.gate.set()
            assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 3
            assert (await client.get("/event-hooks")).status_code == 200

    async def test_a_call_that_takes_too_long(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(routes, "CALL_SECONDS", 0.05)
        async with api.served():
            host, port = api.base.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST /event-hooks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                         b"Content-Length: 100\r\n\r\n{")  # fmt: skip
            async with asyncio.timeout(SECONDS):
                assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
            writer.close()
            await writer.wait_closed()

    async def test_a_caller_that_disconnects_is_no_error(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        reading = asyncio.Event()
        refused: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        answered = routes.response_for

        async def read_object(*arguments: Any) -> Any:
            reading.set()
            return await bodies.read_object(*arguments)

        def noticed(error: Exception) -> Any:
            refused.set_result(error)
            return answered(error)

        monkeypatch.setattr(hooks_calls, "read_object", read_object)
        monkeypatch.setattr(routes, "response_for", noticed)
        async with api.served():
            host, port = api.base.removeprefix("http://").split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            with structlog.testing.capture_logs() as logged:
                writer.write(b"POST /event-hooks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                             b"Content-Length: 100\r\n\r\n{")  # fmt: skip
                async with asyncio.timeout(SECONDS):
                    await reading.wait()
                    writer.close()
                    assert isinstance(await refused, ConnectionError)
        assert [line for line in logged if line["log_level"] == "error"] == []


async def watched(api: Api, count: int) -> None:
    """Wait until so many watch."""
    async with asyncio.timeout(SECONDS):
        while len(api.feed._watchers) != count:  # noqa: ASYNC110 - who comes and goes on a socket tells nobody
            await asyncio.sleep(0.001)

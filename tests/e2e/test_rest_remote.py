"""What the command line asks over REST: a real API, real sockets; what goes wrong says what to do."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from kong_eventhooks_plugin.api.client.rest import ApiTarget, RestClient
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.cli import remote
from kong_eventhooks_plugin.errors import RemoteError
from kong_eventhooks_plugin.model.delivery import Answer, Delivered
from kong_eventhooks_plugin.model.ids import delivery_id
from tests.support.api import Api, running
from tests.support.http_receiver import HttpReceiver, answer, raw
from tests.support.queue import dead
from tests.support.waiting import SECONDS

T = TypeVar("T")

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(tmp_path) as opened, opened.served():
        yield opened


async def ask(function: Callable[..., T], api: Api, *arguments: Any, as_json: bool = False, **named: Any) -> T:
    """Call a function of the command line beside the loop that serves it."""
    return await asyncio.to_thread(function, ApiTarget(api.base), *arguments, as_json=as_json, **named)


async def test_a_hooks_life(api: Api, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    given = ["name=alert", "source=rate-limiting", "handler=webhook", "config.url=http://x/?a=b&c", "snooze=60",
             "tags[]=a", f"config.secret=@{secret}", "config.headers.x-a=1"]  # fmt: skip
    told = await ask(remote.hooks_create, api, given, None)
    assert "config.url" in told
    hook = api.service.hooks.get("alert")
    assert (hook.snooze, hook.tags, hook.config["url"], hook.config["secret"]) == (
        60,
        ("a",),
        "http://x/?a=b&c",
        "s3cret",
    )
    assert json.loads(await ask(remote.hooks_show, api, "alert", as_json=True))["id"] == hook.id
    shown = await ask(remote.hooks_show, api, hook.id)
    assert "snooze" in shown
    assert "x-a" in shown
    assert await ask(remote.hooks_ping, api, "alert") == "the ping of hook 'alert' arrived"
    assert json.loads(await ask(remote.hooks_ping, api, "alert", as_json=True))["event"] == "ping"
    assert (await ask(remote.hooks_test, api, "alert", ["consumer.username=Joe"], None)).splitlines() == [
        "answered 200", "Content-Type: text/plain", "X-A: 1, 2", "ok",
    ]  # fmt: skip
    assert api.recorders["webhook"].jobs[0].event.data == {"consumer": {"username": "Joe"}}
    assert await asyncio.to_thread(remote.hooks_delete, ApiTarget(api.base), "alert") == "hook 'alert' is removed"
    assert api.registry.hooks() == {}


async def test_of_a_json_file(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "hook.json"
    file.write_text('{"name": "a", "source": "custom", "handler": "log", "snooze": 5}')
    assert json.loads(await ask(remote.hooks_create, api, [], file, as_json=True))["snooze"] == 5
    file.write_text('{"n": 5}')
    tested = json.loads(await ask(remote.hooks_test, api, "a", [], file, as_json=True))
    assert tested["data"] == {"n": 5}


async def test_what_a_test_brought_back_cannot_move_the_cursor(api: Api) -> None:
    await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
    api.recorders["log"].outcome = Delivered(Answer(None, b"\x1b[2Jgone\r\n\tok"))
    assert (await ask(remote.hooks_test, api, "a", [], None)) == "done\n\ufffd[2Jgone\ufffd\n\tok"


async def test_sources(api: Api) -> None:
    told = await ask(remote.sources, api, None, None)
    assert "custom  any event" in told
    assert "rate-limiting/rate-limit-exceeded  " in told
    one = await ask(remote.sources, api, "rate-limiting", "rate-limit-exceeded")
    assert "unique: consumer, ip, service" in one
    crud = (await ask(remote.sources, api, "crud", None)).splitlines()
    assert sum(line.startswith("    fields: ") for line in crud) == 1, "not again for each of a hundred events"
    assert crud[0].startswith("crud/acls  ")
    assert json.loads(await ask(remote.sources, api, "custom", None, as_json=True)) == {}
    with pytest.raises(RemoteError, match="there is no source or event 'nope/x'"):
        await ask(remote.sources, api, "nope", "x")


async def test_replay(api: Api) -> None:
    hook = await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
    ids = [delivery_id((await api.service.events.publish("x", {"n": n})).event_id, hook.id) for n in range(3)]
    await api.queue.claim(hook.id, 3, 60)
    await api.queue.settle([dead(one) for one in ids])
    assert await ask(remote.deliveries_replay, api, ids[0]) == f"delivery {ids[0]} is pending and due now"
    told = await ask(remote.deliveries_replay_all, api, "a", "2020-01-01T00:00:00Z", None, "dead")
    assert told == "2 deliveries of hook 'a' are due now"
    told = await ask(remote.deliveries_replay_all, api, "a", None, "5", "dead", as_json=True)
    assert json.loads(told) == {"replayed": 0, "refused": None, "more": False}
    with pytest.raises(RemoteError, match=r"there is no delivery 'x'; 'kong-event-hooks deliveries list'"):
        await ask(remote.deliveries_replay, api, "x")


class Tail:
    """``events tail`` in a thread."""

    def __init__(self, target: ApiTarget, **options: Any) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Condition()
        self._thread = threading.Thread(target=self._run, args=(target, options), daemon=True)
        self._thread.start()

    def _run(self, target: ApiTarget, options: dict[str, Any]) -> None:
        def write(line: str) -> None:
            self._add(self.lines, line)

        def wait(_: float) -> None:
            if self._stop.wait(0.05):
                raise KeyboardInterrupt

        try:
            remote.events_tail(target, write, lambda line: self._add(self.warnings, line), wait=wait, **options)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def _add(self, lines: list[str], line: str) -> None:
        async def told() -> None:
            async with self._news:
                lines.append(line)
                self._news.notify_all()

        asyncio.run_coroutine_threadsafe(told(), self._loop).result()

    async def until(self, enough: Callable[["Tail"], bool]) -> None:
        async with asyncio.timeout(SECONDS), self._news:
            await self._news.wait_for(lambda: enough(self))

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join, SECONDS)


async def test_tail_shows_the_recent_ones_and_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
        await api.service.hooks.create({"name": "s", "source": "custom", "handler": "log", "snooze": 60})
        for n in range(3):
            await api.service.events.publish("deploy", {"n": n})
        async with api.served():
            tail = Tail(ApiTarget(api.base), recent=2)
            await tail.until(lambda one: len(one.lines) == 2)
            await api.service.events.publish("deploy", {"n": 3})
            await tail.until(lambda one: len(one.lines) == 3)
        # The sidecar has left: it says so, and asks again.
        await tail.until(lambda one: len(one.warnings) >= 2)
        await tail.stop()
    assert ['"n":1' in tail.lines[0], '"n":2' in tail.lines[1], '"n":3' in tail.lines[2]] == [True] * 3
    first, fired, held = tail.lines[2].splitlines()
    assert "  custom/deploy  " in first
    assert fired.startswith("    -> a  ")
    assert held == "    -- s  snoozed"
    assert all("trying again" in warning for warning in tail.warnings)


@pytest.fixture
def listen() -> Iterator[str]:
    """An address to listen on more than once: bound all the time, so that nobody else is given it meanwhile."""
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


async def test_tail_goes_on_where_it_was_after_a_restart(tmp_path: Path, listen: str) -> None:
    async with running(tmp_path) as api:
        await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
        async with api.served(listen=listen):
            tail = Tail(ApiTarget(api.base), recent=0, as_json=True)
            await watched(api)
            await api.service.events.publish("deploy", {"n": 0})
            await tail.until(lambda one: len(one.lines) == 1)
        await api.service.events.publish("deploy", {"n": 1})
        api.feed = type(api.feed)()
    async with running(tmp_path) as api, api.served(listen=listen):
        await tail.until(lambda one: len(one.lines) == 2)
        await watched(api)
        await api.service.events.publish("deploy", {"n": 2})
        await tail.until(lambda one: len(one.lines) == 3)
    await tail.stop()
    assert [json.loads(line)["data"]["n"] for line in tail.lines] == [0, 1, 2]


async def test_tail_filters(api: Api) -> None:
    await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
    tail = Tail(ApiTarget(api.base), recent=0, event="y", source="custom", hook="a")
    await watched(api)
    for name in ("x", "y"):
        await api.service.events.publish(name, {})
    await tail.until(lambda one: bool(one.lines))
    assert "custom/y" in tail.lines[0]
    api.feed.close()
    await tail.stop()


async def test_tail_says_what_was_lost() -> None:
    stream = b'event: missed\ndata: {"count": 3}\n\nevent: missed\ndata: {"count": null}\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    for as_json, told in (
        (False, ["-- 3 events are not", "-- some events are not"]),
        (True, ['{"missed":3}', '{"missed":null}']),
    ):
        async with HttpReceiver(raw(head + stream)) as receiver:
            tail = Tail(ApiTarget(f"http://127.0.0.1:{receiver.port}"), recent=0, as_json=as_json)
            await tail.until(lambda one: len(one.lines) >= 2)
            await tail.stop()
        assert [line[: len(text)] for line, text in zip(tail.lines, told, strict=False)] == told


class TestWhatToDo:
    async def test_nobody_there(self) -> None:
        with pytest.raises(
            RemoteError, match=r"^no sidecar answers at http://127.0.0.1:9; start one with .*serve.* --url"
        ):
            await asyncio.to_thread(remote.hooks_show, ApiTarget("http://127.0.0.1:9"), "a", as_json=False)
        with pytest.raises(RemoteError, match="no sidecar answers"):
            remote.events_tail(ApiTarget("http://127.0.0.1:9"), print, print)

    @pytest.mark.parametrize("url", ["127.0.0.1:8010", "ftp://x", "http://", "http://[", "", "http://x:99999999"])
    async def test_a_url_that_is_none(self, url: str) -> None:
        with pytest.raises(RemoteError, match=r"--url|answers"):
            await asyncio.to_thread(remote.hooks_show, ApiTarget(url), "a", as_json=False)

    @pytest.mark.parametrize(
        "scripted", [answer(200, b"<html>"), answer(502, b"bad gateway"), answer(200, b"\xff"), answer(302, b"")]
    )
    async def test_somebody_else_there(self, scripted: Any) -> None:
        async with HttpReceiver(scripted) as receiver:
            with pytest.raises(RemoteError, match=r"is --url right|answered 302"):
                await asyncio.to_thread(
                    remote.hooks_show, ApiTarget(f"http://127.0.0.1:{receiver.port}"), "a", as_json=False
                )

    @pytest.mark.parametrize(
        "scripted", [raw(b""), raw(b"nonsense\r\n\r\n"), raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")]
    )
    async def test_a_broken_answer(self, scripted: Any) -> None:
        async with HttpReceiver(scripted) as receiver:
            with pytest.raises(RemoteError, match="did not answer"):
                await asyncio.to_thread(
                    remote.hooks_show, ApiTarget(f"http://127.0.0.1:{receiver.port}"), "a", as_json=False
                )

    async def test_the_token(self, tmp_path: Path) -> None:
        async with running(tmp_path) as api, api.served(access=Access(TOKEN)):
            await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
            for token in (None, "wrong"):
                with pytest.raises(RemoteError, match=r"admin token.*--token-file"):
                    await asyncio.to_thread(remote.hooks_delete, ApiTarget(api.base, token), "a")
            told = await asyncio.to_thread(remote.hooks_delete, ApiTarget(api.base, TOKEN), "a")
            assert told == "hook 'a' is removed"
        assert TOKEN not in repr(ApiTarget("http://x", TOKEN))

    async def test_unknown_hooks(self, api: Api) -> None:
        text = r"there is no hook 'nobody'; 'kong-event-hooks hooks list' shows those there are"
        for call in (remote.hooks_show, remote.hooks_ping):
            with pytest.raises(RemoteError, match=text):
                await ask(call, api, "nobody")
        with pytest.raises(RemoteError, match=text):
            await ask(remote.hooks_test, api, "nobody", [], None)
        with pytest.raises(RemoteError, match=text):
            await ask(remote.deliveries_replay_all, api, "nobody", None, None, "dead")

    async def test_a_declared_hook(self, api: Api) -> None:
        api.declare({"name": "d", "source": "custom", "handler": "log"})
        with pytest.raises(RemoteError, match=r"declared in /etc/kong/kong.yml.*change it there"):
            await asyncio.to_thread(remote.hooks_delete, ApiTarget(api.base), "d")

    async def test_fields_that_are_refused(self, api: Api) -> None:
        with pytest.raises(RemoteError, match="handler: required field missing"):
            await ask(remote.hooks_create, api, ["source=custom"], None)

    @pytest.mark.parametrize("given", ["source", "=custom", ""])
    async def test_what_is_no_field(self, given: str) -> None:
        with pytest.raises(RemoteError, match="write NAME=VALUE"):
            remote.fields([given])

    async def test_files(self, tmp_path: Path) -> None:
        with pytest.raises(RemoteError, match="cannot be read: No such file"):
            remote.fields(["config.secret=@/nowhere/x"])
        (tmp_path / "x").write_bytes(b"\xff")
        with pytest.raises(RemoteError, match="is not UTF-8 text"):
            remote.fields([f"config.secret=@{tmp_path / 'x'}"])
        (tmp_path / "y").write_text("{")
        with pytest.raises(RemoteError, match="is not JSON"):
            remote.hooks_create(ApiTarget("http://127.0.0.1:9"), [], tmp_path / "y", as_json=True)
        with pytest.raises(RemoteError, match="not both"):
            remote.hooks_create(ApiTarget("http://127.0.0.1:9"), ["a=b"], tmp_path / "y", as_json=True)

    async def test_an_answer_that_is_too_large(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kong_eventhooks_plugin.api.client.rest.MAX_ANSWER", 10)
        with pytest.raises(RemoteError, match="too large"):
            await ask(remote.sources, api, None, None)


async def test_a_path_may_hold_anything(api: Api) -> None:
    def call() -> Any:
        with RestClient(ApiTarget(api.base)) as client:
            return client.call("GET", "event-hooks", "../event-hooks?x#y/ü")

    with pytest.raises(RemoteError, match="Not found"):
        await asyncio.to_thread(call)


async def watched(api: Api) -> None:
    async with asyncio.timeout(SECONDS):
        while not api.feed._watchers:  # noqa: ASYNC110 - who comes on a socket tells nobody
            await asyncio.sleep(0.005)

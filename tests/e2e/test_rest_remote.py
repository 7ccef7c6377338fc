"""The commands that call the API: a real API, real sockets; what goes wrong says what to do."""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from kong_eventhooks_plugin.api.client.rest import ApiTarget, RestClient
from kong_eventhooks_plugin.api.rest.health import health_routes
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.readiness import ReadinessCheck
from kong_eventhooks_plugin.cli import cli
from kong_eventhooks_plugin.cli.api_calls import parse_fields
from kong_eventhooks_plugin.cli.events import tail_events
from kong_eventhooks_plugin.errors import RemoteError
from kong_eventhooks_plugin.model.delivery import Answer, Attempt, Delivered, Retry, SentRequest
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.queue.contract import DeliveryFilter, EndpointHealth, Settlement
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.api import Api, running
from tests.support.http_receiver import HttpReceiver, answer, raw
from tests.support.queue import dead
from tests.support.waiting import SECONDS

LAMBDA = "return function() error('boom') end"
TOKEN = "correct-horse-battery-staple"
ORDERED = {"url": "http://127.0.0.1:1/x", "ordered": True}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the server's log, which this process writes as well, out of what a command prints."""
    with capture_logs():
        yield


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(tmp_path) as opened, opened.served():
        yield opened


def run(*arguments: str) -> str:
    """Return what a command prints; raises what ends it."""
    result = CliRunner().invoke(cli, arguments)
    if result.exception is not None:
        raise result.exception
    return result.stdout.removesuffix("\n")


async def ask(api: Api, *arguments: str) -> str:
    """Run a command beside the loop that serves it."""
    return await asyncio.to_thread(run, *arguments, "--url", api.base)


async def run_command(api: Api, *arguments: str) -> Result:
    """Run a command that may fail."""
    return await asyncio.to_thread(CliRunner().invoke, cli, [*arguments, "--url", api.base])


async def test_a_hooks_life(api: Api, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    given = ["name=alert", "source=rate-limiting", "handler=webhook", "config.url=http://x/?a=b&c", "snooze=60",
             "tags[]=a", f"config.secret=@{secret}", "config.headers.x-a=1"]  # fmt: skip
    received = await ask(api, "hooks", "create", *given)
    assert "config.url" in received
    hook = api.service.hooks.get("alert")
    assert (hook.snooze, hook.tags, hook.config["url"], hook.config["secret"]) == (
        60,
        ("a",),
        "http://x/?a=b&c",
        "s3cret",
    )
    assert json.loads(await ask(api, "hooks", "show", "alert", "--output", "json"))["id"] == hook.id
    shown = await ask(api, "hooks", "show", hook.id)
    assert "snooze" in shown
    assert "x-a" in shown
    assert await ask(api, "hooks", "ping", "alert") == "the ping of hook 'alert' arrived"
    assert json.loads(await ask(api, "hooks", "ping", "alert", "--output", "json"))["event"] == "ping"
    assert (await ask(api, "hooks", "test", "alert", "consumer.username=Joe")).splitlines() == [
        "answered 200", "Content-Type: text/plain", "X-A: 1, 2", "ok",
    ]  # fmt: skip
    assert api.recorders["webhook"].jobs[0].event.data == {"consumer": {"username": "Joe"}}
    assert await ask(api, "hooks", "delete", "alert") == "hook 'alert' is deleted"
    assert api.registry.hooks() == {}


async def test_of_a_json_file(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "hook.json"
    file.write_text('{"name": "a", "source": "custom", "handler": "log", "snooze": 5}')
    assert json.loads(await ask(api, "hooks", "create", "--file", str(file), "--output", "json"))["snooze"] == 5
    file.write_text('{"n": 5}')
    tested = json.loads(await ask(api, "hooks", "test", "a", "--file", str(file), "--output", "json"))
    assert tested["data"] == {"n": 5}


async def test_what_a_test_brought_back_cannot_move_the_cursor(api: Api) -> None:
    await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
    api.recorders["log"].outcome = Delivered(Answer(None, b"\x1b[2Jgone\r\n\tok"))
    assert (await ask(api, "hooks", "test", "a")) == "done\n\ufffd[2Jgone\n\tok"


async def test_a_lambda_that_crashed_is_not_done(api: Api) -> None:
    await api.service.hooks.create(
        {"name": "a", "source": "custom", "handler": "lambda", "config": {"functions": [LAMBDA]}}
    )
    api.recorders["lambda"].outcome = Delivered(Answer(None, b"[string]:1: boom"), raised="[string]:1: boom")
    result = await run_command(api, "hooks", "test", "a")
    assert (result.exit_code, result.output) == (1, "failed: [string]:1: boom\n")


async def test_a_test_says_what_the_filter_says_and_what_was_sent(api: Api) -> None:
    await api.service.hooks.create(
        {"name": "a", "source": "custom", "handler": "webhook", "filter": "data.n == 5", "config": {"url": "http://x/"}}
    )
    sent = SentRequest("POST", "http://x/", (("webhook-id", "test_1"),), b'{"n":4}', 7)
    api.recorders["webhook"].outcome = Retry("status", "answered 500", Answer(500, b"why"), request=sent)
    result = await run_command(api, "hooks", "test", "a", "n=4")
    assert isinstance(result.exception, RemoteError)
    assert (str(result.exception), result.output.splitlines()) == (
        "answered 500",
        ["filter      false", '    data.n == 5  false', '      data.n     "4"', "",
         "sent  POST http://x/", "      webhook-id: test_1", "      ", "      {", '        "n": 4', "      }", "",
         "answered 500", "why"],
    )  # fmt: skip
    api.recorders["webhook"].outcome = Delivered(Answer(200, b""), request=sent)
    assert (await ask(api, "hooks", "test", "a", "n=4")).splitlines()[:3] == [
        "filter      false", '    data.n == 5  false', '      data.n     "4"',
    ]  # fmt: skip


async def test_sources(api: Api) -> None:
    received = await ask(api, "sources")
    lines = [line.split("  ") for line in received.splitlines()]
    assert {line[0]: line[-1].strip() for line in lines}["custom"] == "any event"
    assert len(lines) < 20, "a line for each source"
    assert "rate-limiting/rate-limit-exceeded  " in await ask(api, "sources", "rate-limiting")
    one = await ask(api, "sources", "rate-limiting", "rate-limit-exceeded")
    assert "unique: consumer, ip, service" in one
    crud = (await ask(api, "sources", "crud")).splitlines()
    assert sum(line.startswith("    fields: ") for line in crud) == 1, "not again for each of a hundred events"
    assert crud[0].startswith("crud/acls  ")
    assert json.loads(await ask(api, "sources", "custom", "--output", "json")) == {}
    with pytest.raises(RemoteError, match="there is no source or event 'nope/x'"):
        await ask(api, "sources", "nope", "x")
    with pytest.raises(
        RemoteError,
        match=r"'rate-limiting/rate-limit-exceded'; did you mean rate-limit-exceeded\?; 'kong-event-hooks sources'",
    ):
        await ask(api, "sources", "rate-limiting", "rate-limit-exceded")


async def test_recorded_events(api: Api) -> None:
    assert await ask(api, "events", "list") == "no event"
    for name in ("a", "b"):
        await api.service.hooks.create({"name": name, "source": "custom", "handler": "log", "snooze": 60})
    published = [await api.service.events.publish("x", {"n": n}) for n in range(2)]
    lines = [line.split() for line in (await ask(api, "events", "list", "--hook", "a")).splitlines()]
    assert [line[1:] for line in lines[::3]] == [["custom/x", '{"n":1}'], ["custom/x", '{"n":0}']]
    assert sorted(lines[1:3]) == [["--", "a", "snoozed"], ["--", "b", "snoozed"]]
    assert sorted(line[:2] for line in lines[4:]) == [["->", "a"], ["->", "b"]]
    listed = json.loads(await ask(api, "events", "list", "--size", "1", "--output", "json"))
    assert [one["id"] for one in listed["data"]] == [published[1].event_id]
    more = await ask(api, "events", "list", "--size", "1")
    assert more.splitlines()[-1] == f"more: --offset {listed['offset']}"
    assert '{"n":0}' in await ask(api, "events", "list", "--size", "1", "--offset", listed["offset"])
    assert await ask(api, "events", "list", "--event", "y") == "no event"
    with pytest.raises(RemoteError, match="no hook has the id or name 'nope'"):
        await ask(api, "events", "list", "--hook", "nope")


async def test_the_list_of_hooks_says_which_fail(tmp_path: Path) -> None:
    async with running(tmp_path) as api, api.served(health=health_of(api)):
        hook = await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
        await api.service.events.publish("x", {"n": 1})
        assert len((await ask(api, "hooks", "list")).splitlines()) == 2
        (one,) = await api.queue.claim(hook.id, 1, 60)
        attempt = Attempt(1, 1.0, 0.01, "retry", "redirect", "answered 302", 302, b"")
        await api.queue.settle([Settlement(one.id, "pending", attempt, due_at=time.time() + 60)])
        said = ["a fails: the last attempt ended with redirect 302"]
        assert (await ask(api, "hooks", "list")).splitlines()[2:3] == said
        of_file = await asyncio.to_thread(run, "hooks", "list", "--data-dir", str(tmp_path))
        assert of_file.splitlines()[2:3] == said
        api.held = {hook.id: "breaker_open"}
        assert "fails" not in await ask(api, "hooks", "list")


async def test_a_ping_of_a_hook_without_pings_names_the_test(api: Api) -> None:
    await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
    with pytest.raises(RemoteError, match=r"does not support 'ping'; use 'kong-event-hooks hooks test a'$"):
        await ask(api, "hooks", "ping", "a")


async def test_replay(api: Api) -> None:
    hook = await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
    ids = [delivery_id((await api.service.events.publish("x", {"n": n})).event_id, hook.id) for n in range(3)]
    await api.queue.claim(hook.id, 3, 60)
    await api.queue.settle([dead(one) for one in ids])
    assert (
        await ask(api, "deliveries", "replay", ids[0])
        == f"delivery {ids[0]} is pending: due now, unless its hook is held"
    )
    received = await ask(api, "deliveries", "replay", "--hook", "a", "--since", "2020-01-01T00:00:00Z")
    assert received == "2 deliveries of hook 'a' are due now"
    received = await ask(api, "deliveries", "replay", "--hook", "a")
    assert received == "hook 'a' has no dead delivery to send again"
    received = await ask(api, "deliveries", "replay", "--hook", "a", "--until", "5", "--output", "json")
    assert json.loads(received) == {"replayed": 0, "refused": None, "more": False}
    with pytest.raises(RemoteError, match=r"there is no hook 'aa'; did you mean a\?; 'kong-event-hooks hooks list'"):
        await ask(api, "deliveries", "list", "--hook", "aa")
    listed = (await ask(api, "deliveries", "list", "--hook", "a")).splitlines()
    assert listed[0].split() == ["ID", "CREATED", "HOOK", "EVENT", "STATE", "ATTEMPTS", "STATUS", "ERROR", "NEXT"]
    short = listed[1].split()[0]
    assert len(short) < 30
    assert listed[1].split()[-1] == "due"
    api.held = {hook.id: "breaker_open"}
    assert (await ask(api, "deliveries", "list", "--since", "2020-01-01T00:00:00Z")).endswith("held: breaker_open")
    api.held = {}
    await api.service.hooks.create({"name": "o", "source": "custom", "handler": "webhook", "config": ORDERED})
    await api.service.events.publish("x", {"n": 3})
    assert (await ask(api, "deliveries", "list", "--hook", "o")).endswith("in its turn")
    assert await ask(api, "deliveries", "list", "--until", "2020-01-01T00:00:00Z") == "no delivery"
    assert await ask(api, "deliveries", "list", "--source", "crud") == "no delivery"
    assert (await ask(api, "deliveries", "show", short)).startswith(f"id            {ids[2]}")
    with pytest.raises(RemoteError, match=r"there is no delivery 'x'; 'kong-event-hooks deliveries list'"):
        await ask(api, "deliveries", "replay", "x")


class TestReading:
    """``hooks list``, ``deliveries list`` and ``deliveries show``: over the API, or of the file itself."""

    @pytest.fixture
    async def api(self, tmp_path: Path) -> AsyncIterator[Api]:
        async with running(tmp_path) as opened, opened.served(access=Access(TOKEN), health=health_of(opened)):
            config = {"url": "http://a.example/x?key=s3cret", "secret": "s3cret"}
            opened.declare({"name": "declared", "source": "custom", "event": "y", "handler": "log", "enabled": False})
            for hook in opened.registry.hooks().values():
                await opened.queue.store_definitions([hook], [])
            hook = await opened.service.hooks.create(
                {"name": "a", "source": "custom", "handler": "webhook", "config": config}
            )
            await opened.service.hooks.create({"source": "custom", "event": "z", "handler": "log"})
            for n in range(3):
                await opened.service.events.publish("x", {"n": n})
            (one,) = await opened.queue.claim(hook.id, 1, 60)
            await opened.queue.settle([dead(one.id)])
            await opened.queue.save_endpoint(EndpointHealth(hook.id, disabled="gone", disabled_at=1.0))
            opened.held = {hook.id: "endpoint_gone"}
            yield opened

    @pytest.mark.parametrize("output", ["table", "json"])
    @pytest.mark.parametrize(
        "command",
        [
            ["hooks", "list"],
            ["deliveries", "list"],
            ["deliveries", "list", "--hook", "a", "--state", "dead"],
            ["deliveries", "list", "--size", "1"],
            ["deliveries", "show"],
        ],
    )
    async def test_both_print_the_same(self, api: Api, tmp_path: Path, command: list[str], output: str) -> None:
        if command[-1] == "show":
            command = [*command, (await api.service.deliveries.page(DeliveryFilter())).deliveries[-1].id]
        token = tmp_path / "token"
        token.write_text(TOKEN)
        needs_token = () if command[0] == "hooks" else ("--token-file", str(token))
        over_api = await ask(api, *command, "--output", output, *needs_token)
        of_file = await asyncio.to_thread(run, *command, "--output", output, "--data-dir", str(tmp_path))
        assert seconds_masked(of_file) == seconds_masked(over_api)
        assert over_api
        assert "s3cret" not in over_api

    async def test_pages(self, api: Api, tmp_path: Path) -> None:
        for place in (["--data-dir", str(tmp_path)],):
            seen, more = list[str](), list[str]()
            for _ in range(3):
                page = json.loads(await asyncio.to_thread(
                    run, "deliveries", "list", "--size", "1", "--output", "json", *place, *more))  # fmt: skip
                seen += [one["id"] for one in page["data"]]
                more = ["--offset", str(page["offset"])]
            assert len(set(seen)) == 3
            assert page["offset"] is None

    async def test_hooks_show_what_waits_and_what_their_endpoint_switched_off(self, api: Api) -> None:
        rows = [line.split("  ") for line in (await ask(api, "hooks", "list")).splitlines()]
        table = {row[0]: [cell.strip() for cell in row if cell] for row in rows}
        assert table["NAME"] == ["NAME", "EVENT", "HANDLER", "STATE", "WAITING", "DECLARED IN"]
        assert table["a"] == ["a", "custom/*", "webhook", "held: endpoint_gone", "2", "the API"]
        declared = table["declared"]
        assert declared[1:5] == ["custom/y", "log", "off", "0"]
        assert declared[5].startswith("/etc/kong/kong.yml: plugins[0]")

    @pytest.mark.parametrize("command", [["hooks", "list"], ["deliveries", "list"], ["deliveries", "show", "x"]])
    def test_nothing_listens(self, command: list[str]) -> None:
        with pytest.raises(RemoteError, match=r"^no sidecar answers at http://127.0.0.1:9; .*--data-dir$"):
            run(*command, "--url", "http://127.0.0.1:9")


def seconds_masked(text: str) -> str:
    return re.sub(r"in \d+ s +", "in N s  ", text)


def health_of(api: Api) -> list[web.RouteDef]:
    """The health page over an API's store."""
    metrics = Metrics()
    ready = ReadinessCheck(api.queue, api.registry, metrics, api, api.service.states, time.monotonic, time.time)
    return health_routes(ready.check, metrics, ready.refresh, Access())


class Tail:
    """``events tail`` in a thread."""

    def __init__(self, target: ApiTarget, **options: Any) -> None:
        options.setdefault("wanted", {})
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
            tail_events(target, write, lambda line: self._add(self.warnings, line), wait=wait, **options)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def _add(self, lines: list[str], line: str) -> None:
        async def add() -> None:
            async with self._news:
                lines.append(line)
                self._news.notify_all()

        asyncio.run_coroutine_threadsafe(add(), self._loop).result()

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
    wanted = {"event": "y", "source": "custom", "hook": "a"}
    tail = Tail(ApiTarget(api.base), recent=0, wanted=wanted)
    await watched(api)
    for name in ("x", "y"):
        await api.service.events.publish(name, {})
    await tail.until(lambda one: bool(one.lines))
    assert "custom/y" in tail.lines[0]
    api.feed.close()
    await tail.stop()


async def test_tail_prints_what_was_lost() -> None:
    stream = b'event: missed\ndata: {"count": 3}\n\nevent: missed\ndata: {"count": null}\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    for as_json, received in (
        (False, ["-- 3 events are not", "-- some events are not"]),
        (True, ['{"missed":3}', '{"missed":null}']),
    ):
        async with HttpReceiver(raw(head + stream)) as receiver:
            tail = Tail(ApiTarget(f"http://127.0.0.1:{receiver.port}"), recent=0, as_json=as_json)
            await tail.until(lambda one: len(one.lines) >= 2)
            await tail.stop()
        assert [line[: len(text)] for line, text in zip(tail.lines, received, strict=False)] == received


def call(target: ApiTarget) -> Any:
    with RestClient(target) as client:
        return client.call("GET", "event-hooks", "a")


class TestWhatToDo:
    async def test_no_server(self) -> None:
        with pytest.raises(
            RemoteError, match=r"^no sidecar answers at http://127.0.0.1:9; start one with .*serve.* --url"
        ):
            await asyncio.to_thread(run, "hooks", "show", "a", "--url", "http://127.0.0.1:9")
        with pytest.raises(RemoteError, match="no sidecar answers"):
            await asyncio.to_thread(run, "events", "tail", "--url", "http://127.0.0.1:9")

    @pytest.mark.parametrize("url", ["127.0.0.1:8010", "ftp://x", "http://", "http://[", "", "http://x:99999999"])
    async def test_a_url_that_is_none(self, url: str) -> None:
        with pytest.raises(RemoteError, match=r"--url|answers"):
            await asyncio.to_thread(call, ApiTarget(url))

    @pytest.mark.parametrize(
        "scripted", [answer(200, b"<html>"), answer(502, b"bad gateway"), answer(200, b"\xff"), answer(302, b"")]
    )
    async def test_somebody_else_there(self, scripted: Any) -> None:
        async with HttpReceiver(scripted) as receiver:
            with pytest.raises(RemoteError, match=r"is --url right|answered 302"):
                await asyncio.to_thread(run, "hooks", "show", "a", "--url", f"http://127.0.0.1:{receiver.port}")

    @pytest.mark.parametrize(
        "scripted", [raw(b""), raw(b"nonsense\r\n\r\n"), raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")]
    )
    async def test_a_broken_answer(self, scripted: Any) -> None:
        async with HttpReceiver(scripted) as receiver:
            with pytest.raises(RemoteError, match="did not answer"):
                await asyncio.to_thread(run, "hooks", "show", "a", "--url", f"http://127.0.0.1:{receiver.port}")

    async def test_the_token(self, tmp_path: Path) -> None:
        async with running(tmp_path) as api, api.served(access=Access(TOKEN)):
            await api.service.hooks.create({"name": "a", "source": "custom", "handler": "log"})
            file = tmp_path / "token"
            for token in (None, "wrong"):
                file.write_text(token or "")
                named = ("--token-file", str(file)) if token else ()
                with pytest.raises(RemoteError, match=r"admin token.*--token-file"):
                    await ask(api, "hooks", "delete", "a", *named)
            file.write_text(TOKEN)
            received = await ask(api, "hooks", "delete", "a", "--token-file", str(file))
            assert received == "hook 'a' is deleted"
        assert TOKEN not in repr(ApiTarget("http://x", TOKEN))

    async def test_unknown_hooks(self, api: Api) -> None:
        text = r"there is no hook 'nobody'; 'kong-event-hooks hooks list' lists them"
        for verb in ("show", "ping", "test"):
            with pytest.raises(RemoteError, match=text):
                await ask(api, "hooks", verb, "nobody")
        with pytest.raises(RemoteError, match=text):
            await ask(api, "deliveries", "replay", "--hook", "nobody")

    async def test_a_declared_hook(self, api: Api) -> None:
        api.declare({"name": "d", "source": "custom", "handler": "log"})
        with pytest.raises(RemoteError, match=r"declared in /etc/kong/kong.yml.*change it there"):
            await ask(api, "hooks", "delete", "d")

    async def test_fields_that_are_refused(self, api: Api) -> None:
        with pytest.raises(RemoteError, match="handler: required field missing"):
            await ask(api, "hooks", "create", "source=custom")

    @pytest.mark.parametrize("given", ["source", "=custom", ""])
    async def test_what_is_no_field(self, given: str) -> None:
        with pytest.raises(RemoteError, match="write NAME=VALUE"):
            parse_fields([given])

    async def test_files(self, tmp_path: Path) -> None:
        with pytest.raises(RemoteError, match="cannot be read: No such file"):
            parse_fields(["config.secret=@/nowhere/x"])
        (tmp_path / "x").write_bytes(b"\xff")
        with pytest.raises(RemoteError, match="is not UTF-8 text"):
            parse_fields([f"config.secret=@{tmp_path / 'x'}"])
        (tmp_path / "y").write_text("{")
        with pytest.raises(RemoteError, match="is not JSON"):
            run("hooks", "create", "--file", str(tmp_path / "y"))
        with pytest.raises(RemoteError, match="not both"):
            run("hooks", "create", "a=b", "--file", str(tmp_path / "y"))

    async def test_an_answer_that_is_too_large(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kong_eventhooks_plugin.api.client.rest.MAX_ANSWER", 10)
        with pytest.raises(RemoteError, match="too large"):
            await ask(api, "sources")


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

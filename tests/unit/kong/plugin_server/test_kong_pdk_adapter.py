"""MsgPack:1 over a real unix socket, driven as Kong drives it."""

import asyncio
import contextlib
import json
import select
import socket
import subprocess
import sys
from asyncio import Future
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from kong_eventhooks_plugin.kong.plugin_server import kong_pdk_adapter, kong_pdk_plugins
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.kong_pdk_adapter import KongPdkServer
from kong_eventhooks_plugin.model.log_line import LogLine
from kong_eventhooks_plugin.model.observation import InstanceClosed, LogObservation
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.kong_node.msgpack_kong import MsgpackKong, Pdk, PdkError, RpcError
from tests.support.plugin_socket import RecordingHost
from tests.support.waiting import SECONDS, a_second

INFOS = {
    "event-hooks": {"Name": "event-hooks", "Phases": ["log"], "Version": "0.1.0", "Priority": 1, "Schema": {}},
    "event-hooks-crud": {
        "Name": "event-hooks-crud", "Phases": ["response", "log"], "Version": "0.1.0", "Priority": 1, "Schema": {},
    },
}  # fmt: skip
SERIALIZED = json.dumps({"request": {"id": "r-1"}, "response": {"status": 429}})


class Recorder(RecordingHost):
    """A host that writes down what it hears; ``commit`` makes what ``observe`` returns."""

    def __init__(self) -> None:
        super().__init__(429, accept=lambda seen: self.commit())
        self.commit: Callable[[], Future[Any] | None] = lambda: None


class Node:
    """A server, its host and a Kong."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.host = Recorder()
        self.metrics = Metrics()
        self.sock = socket.create_server(str(path), family=socket.AF_UNIX)
        self.server = self.make(**options)
        self.kong = MsgpackKong(path)

    def make(self, **options: Any) -> KongPdkServer:
        return KongPdkServer(
            self.host.plugin_host(),
            self.metrics,
            PluginInstances(clock=lambda: 1000.0),
            INFOS,
            clock=lambda: 5.0,
            **options,
        )

    def faults(self) -> dict[str, int]:
        return {reason: count for (reason,), count in self.metrics.counts.socket_errors.items()}

    async def close(self) -> None:
        self.kong.forget_connections()
        await self.server.drain(0.2)
        self.sock.close()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(tmp_path / "s")
    await made.server.serve(made.sock)
    yield made
    await made.close()


def pdk(status: Any = 429, serialized: Any = SERIALIZED) -> Pdk:
    answers = {"kong.response.get_status": status, "kong.log.serialize": serialized}

    def answer(name: str, _arguments: list[Any]) -> Any:
        found = answers.get(name)
        if isinstance(found, Exception):
            raise found
        return found

    return answer


async def test_a_request_is_heard(node: Node) -> None:
    await node.kong.run_phase("event-hooks", "log", pdk(), {"hooks": [{"name": "a"}], "__key__": "k"})
    assert node.host.seen == [LogObservation("event-hooks", 429, SERIALIZED, 5.0)]
    (started,) = node.host.started
    assert (started.plugin, started.instance_id) == ("event-hooks", node.kong.instances["event-hooks"])
    assert json.loads(started.config) == {"hooks": [{"name": "a"}], "__key__": "k"}
    assert node.kong.asked == [("kong.response.get_status", []), ("kong.log.serialize", [])]
    assert node.faults() == {}
    counts = node.metrics.counts
    assert counts.plugin_calls == {("start_instance",): 1, ("handle_event",): 1, ("other",): 2}
    assert counts.pdk_calls == {("kong.response.get_status",): 1, ("kong.log.serialize",): 1}
    assert node.server.busy == 0


async def test_nothing_is_asked_that_no_hook_needs(node: Node) -> None:
    await node.kong.run_phase("event-hooks", "log", pdk(status=200))
    assert [name for name, _ in node.kong.asked] == ["kong.response.get_status"]
    node.host.log_statuses = frozenset()
    await node.kong.run_phase("event-hooks", "log", pdk())
    assert len(node.kong.asked) == 1
    assert node.host.seen == []


async def test_both_plugins_and_lines_for_kongs_log(node: Node) -> None:
    await node.kong.run_phase("event-hooks-crud", "response", pdk())
    node.host.lines = deque([LogLine("notice", "one"), LogLine("err", "two\nlines")])
    await node.kong.run_phase("event-hooks-crud", "log", pdk())
    node.host.lines = deque([LogLine("warn", "three")])
    await node.kong.run_phase("event-hooks", "log", pdk(status=200))
    assert node.kong.asked == [
        ("kong.log.notice", ["one"]),
        ("kong.log.err", ["two\nlines"]),
        ("kong.response.get_status", []),
        ("kong.log.warn", ["three"]),
    ]
    assert node.host.seen == []
    assert node.kong.errors == []


async def test_instance_ids_are_random_and_told_when_they_close(node: Node) -> None:
    first = await node.kong.start_instance("event-hooks", {})
    second = await node.kong.start_instance("event-hooks-crud", {})
    assert second == first + 1
    assert first > 1000  # one in two million that a good one is not
    assert (await node.kong.call("plugin.InstanceStatus", first))["Name"] == "event-hooks"
    await node.kong.call("plugin.CloseInstance", first)
    assert node.host.closed == [InstanceClosed("event-hooks", first)]
    with pytest.raises(RpcError, match=rf"^no plugin instance #{first}$"):
        await node.kong.call("plugin.CloseInstance", first)
    with pytest.raises(RpcError, match=r"^no plugin instance"):
        await node.kong.call("plugin.InstanceStatus", first)
    assert len(node.host.closed) == 1


async def test_an_instance_is_answered_when_its_configuration_is_in_force(node: Node) -> None:
    node.host.in_force = asyncio.get_running_loop().create_future()
    start = asyncio.create_task(node.kong.start_instance("event-hooks", {}))
    done, _ = await asyncio.wait({start}, timeout=0.05)
    assert not done
    node.host.in_force.set_result(None)
    assert await start
    assert len(node.host.started) == 1


async def test_an_id_from_before_a_restart_makes_kong_start_anew(node: Node) -> None:
    """Two plugins, and after the restart the crud route calls first: an id that counts from 0 would swap them."""
    await node.kong.run_phase("event-hooks", "log", pdk())
    await node.kong.run_phase("event-hooks-crud", "response", pdk())
    before = dict(node.kong.instances)
    await node.server.drain(5)
    node.kong.forget_connections()
    node.server = node.make()
    await node.server.serve(node.sock)
    await node.kong.run_phase("event-hooks-crud", "response", pdk())
    await node.kong.run_phase("event-hooks", "log", pdk())
    assert len(node.host.seen) == 2
    assert all(node.kong.instances[plugin] != before[plugin] for plugin in before)
    assert node.kong.errors == []
    assert node.faults() == {"unknown_instance": 2}


async def test_an_answer_to_an_event_from_before_a_restart_is_refused(node: Node) -> None:
    node.host.log_statuses = frozenset({429})
    instance = await node.kong.start_instance("event-hooks", {})
    step = await node.kong.call("plugin.HandleEvent", {"InstanceId": instance, "EventName": "log"})
    await node.server.drain(0.1)
    node.kong.forget_connections()
    node.server = node.make()
    await node.server.serve(node.sock)
    other = await node.kong.start_instance("event-hooks", {})
    again = await node.kong.call("plugin.HandleEvent", {"InstanceId": other, "EventName": "log"})
    assert again["EventId"] != step["EventId"]
    with pytest.raises(RpcError, match="not found"):
        await node.kong.call("plugin.Step", {"EventId": step["EventId"], "Data": 429})


async def test_bytes_that_are_no_text_come_through(node: Node) -> None:
    raw = b'{"request":{"headers":{"x":"\xff\xfe"}}}'
    await node.kong.run_phase("event-hooks", "log", pdk(serialized=raw.decode(errors="surrogateescape")))
    assert node.host.seen[0].serialized == raw
    config = {"Name": "event-hooks", "Config": b'{"x":"\xff"}'.decode(errors="surrogateescape")}
    await node.kong.call("plugin.StartInstance", config)
    assert node.host.started[-1].config == b'{"x":"\xff"}'


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({"status": None}, "pdk_answer"),
        ({"status": "429"}, "pdk_answer"),
        ({"status": PdkError("boom")}, "pdk_answer"),
        ({"serialized": None}, "pdk_answer"),
        ({"serialized": {"a": 1}}, "pdk_answer"),
        ({"serialized": PdkError("boom")}, "pdk_answer"),
    ],
)
async def test_answers_that_cannot_be_end_the_event_quietly(node: Node, answers: dict[str, Any], fault: str) -> None:
    await node.kong.run_phase("event-hooks", "log", pdk(**answers))
    assert node.kong.errors == []
    assert node.host.seen == []
    assert node.faults() == {fault: 1}
    await node.kong.run_phase("event-hooks", "log", pdk())
    assert len(node.host.seen) == 1


async def test_a_bug_in_the_host_does_not_reach_kong(node: Node) -> None:
    def boom(*_: object) -> None:
        raise RuntimeError("bug")

    node.host.instance_started = boom  # type: ignore[method-assign]
    node.host.observe = boom  # type: ignore[method-assign,assignment]
    await node.kong.run_phase("event-hooks", "log", pdk())
    node.host.pop = boom  # type: ignore[method-assign,assignment]
    await node.kong.run_phase("event-hooks-crud", "log", pdk())
    assert node.kong.errors == []
    assert node.faults() == {"internal_error": 4}  # two instances, two events


async def test_kong_is_answered_after_the_commit(node: Node) -> None:
    commit: Future[Any] = asyncio.get_running_loop().create_future()
    asked = asyncio.Event()

    def observed() -> Future[Any]:
        asked.set()
        return commit

    node.host.commit = observed
    node.server._answer_seconds = SECONDS
    phase = asyncio.create_task(node.kong.run_phase("event-hooks", "log", pdk()))
    await asked.wait()
    done, _ = await asyncio.wait({phase}, timeout=0.1)
    assert not done
    commit.set_result(None)
    await phase
    assert node.faults() == {}


async def test_kong_is_answered_within_a_second_although_nothing_is_committed(node: Node) -> None:
    commits: list[Future[Any]] = []

    def observed() -> Future[Any]:
        commits.append(asyncio.get_running_loop().create_future())
        return commits[-1]

    node.host.commit = observed
    async with contextlib.AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(MsgpackKong(node.path)) for _ in range(20)]
        phases = [asyncio.create_task(kong.run_phase("event-hooks", "log", pdk())) for kong in callers]
        async with asyncio.timeout(SECONDS):
            while len(commits) < 20:  # noqa: ASYNC110 - who asks for a commit tells nobody
                await asyncio.sleep(0.001)
        assert node.server.waiting == 20
        await a_second()
        assert node.server.waiting == 0
        assert all(phase.done() for phase in phases)
        await asyncio.gather(*phases)
    assert node.faults() == {"late": 20}
    for commit in commits:  # they go on, and what becomes of them is counted
        assert not commit.cancelled()
        commit.set_exception(OSError("disk full"))
    await asyncio.sleep(0)
    assert node.faults() == {"late": 20, "not_accepted": 20}


async def test_past_the_limit_a_call_is_answered_before_its_commit(node: Node) -> None:
    node.host.commit = asyncio.get_running_loop().create_future
    node.server._max_waiting = 0
    await node.kong.run_phase("event-hooks", "log", pdk())
    assert node.kong.errors == []
    assert node.faults() == {"early": 1}


async def test_a_failed_commit_is_counted_and_kong_answered(node: Node) -> None:
    def observed() -> Future[Any]:
        commit: Future[Any] = asyncio.get_running_loop().create_future()
        commit.set_exception(OSError("disk full"))
        return commit

    node.host.commit = observed
    await node.kong.run_phase("event-hooks", "log", pdk())
    assert node.kong.errors == []
    assert node.faults() == {"not_accepted": 1}


async def test_an_unknown_plugin_gets_an_instance_that_does_nothing(node: Node) -> None:
    await node.kong.run_phase("somebody-elses", "access", pdk())
    assert node.kong.errors == []
    assert node.host.started == []
    assert node.faults() == {"unknown_plugin": 1, "unknown_phase": 1}


@pytest.mark.parametrize("phase", ["access", "__init__", "__class__", "", 5])
async def test_an_unknown_phase_is_finished(node: Node, phase: Any) -> None:
    await node.kong.run_phase("event-hooks", phase, pdk())
    assert node.kong.errors == []
    assert node.faults() == {"unknown_phase": 1}


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("plugin.SetPluginDir", "/tmp"),
        ("plugin.GetStatus", None),
        ("plugin.__class__", None),
        ("other.StartInstance", {}),
        ("plugin.StartInstance", None),
        ("plugin.StartInstance", {}),
        ("plugin.HandleEvent", None),
        ("plugin.HandleEvent", {"InstanceId": [1], "EventName": "log"}),
        ("plugin.InstanceStatus", {}),
        ("plugin.CloseInstance", [1]),
        ("plugin.Step", {"Data": 1}),
        ("plugin.Step", {"EventId": 99, "Data": 1}),
        ("plugin.StepError", 7),
        ("plugin.GetPluginInfo", "no-such"),
    ],
)
async def test_odd_calls_get_an_error_and_harm_nobody(node: Node, method: str, argument: Any) -> None:
    with pytest.raises(RpcError):
        await node.kong.call(method, argument)
    await node.kong.run_phase("event-hooks", "log", pdk())
    assert len(node.host.seen) == 1


async def test_plugin_info(node: Node) -> None:
    assert await node.kong.call("plugin.GetPluginInfo", "event-hooks-crud") == INFOS["event-hooks-crud"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xc1",
        msgpack.packb({"a": 1}),
        msgpack.packb([1, 2]),
        msgpack.packb([0, "x", "plugin.Step", []]),
        msgpack.packb([0, 1, b"plugin.Step", []]),
        b"\x91" * 5000,
        b"\x81\x91\x01\x02",  # a map whose key is an array
    ],
)
async def test_garbage_closes_that_connection_alone(node: Node, garbage: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(node.path))
    writer.write(garbage)
    with contextlib.suppress(ConnectionResetError):  # where it was closed before all of it was read
        assert await asyncio.wait_for(reader.read(), SECONDS) == b""
    writer.close()
    assert node.faults() == {"bad_call": 1}
    await node.kong.run_phase("event-hooks", "log", pdk())
    assert len(node.host.seen) == 1


async def test_a_message_over_the_limit_closes_the_connection(node: Node) -> None:
    _, writer = await asyncio.open_unix_connection(str(node.path))
    writer.write(b"\xc6\x7f\xff\xff\xff")  # 2 GiB of bytes announced

    async def send_without_end() -> None:
        while True:
            writer.write(b"x" * (1 << 20))
            await writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(send_without_end(), SECONDS)
    writer.close()
    assert node.faults() == {"bad_call": 1}


async def test_a_message_in_pieces_and_two_at_once(node: Node) -> None:
    reader, writer = await asyncio.open_unix_connection(str(node.path))
    call = msgpack.packb([0, 7, "plugin.StartInstance", [{"Name": "event-hooks", "Config": "{}"}]])
    for byte in call:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(call + call)
    unpacker = msgpack.Unpacker()
    answers: list[Any] = []
    while len(answers) < 3:
        unpacker.feed(await asyncio.wait_for(reader.read(65536), SECONDS))
        answers.extend(unpacker)
    assert [answer[1] for answer in answers] == [7, 7, 7]
    assert len({answer[3]["Id"] for answer in answers}) == 3
    writer.close()


async def test_events_that_kong_never_answers_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kong_pdk_plugins, "EVENT_SECONDS", 60.0)
    now = [0.0]
    node = Node(tmp_path / "s", monotonic=lambda: now[0])
    plugins = node.server._plugins
    plugins._max_events = 3
    await node.server.serve(node.sock)
    instance = await node.kong.start_instance("event-hooks", {})

    async def begin() -> int:
        step = await node.kong.call("plugin.HandleEvent", {"InstanceId": instance, "EventName": "log"})
        return int(step["EventId"])

    first, *_ = [await begin() for _ in range(5)]
    assert len(plugins.events) == 3
    assert node.faults() == {"stalled": 2}
    with pytest.raises(RpcError, match="not found"):
        await node.kong.call("plugin.Step", {"EventId": first, "Data": 429})
    now[0] = 61.0
    last = await begin()
    plugins.expire()
    assert list(plugins.events) == [last]
    await node.close()


async def test_many_events_at_once_each_get_their_own_answers(node: Node) -> None:
    node.host.log_statuses = frozenset(range(400, 500))

    async def one(status: int) -> None:
        async with MsgpackKong(node.path) as kong:
            for _ in range(5):
                await kong.run_phase("event-hooks", "log", pdk(status, serialized=f"serialized {status}"))
            assert kong.errors == []

    await asyncio.gather(*(one(status) for status in range(400, 500)))
    assert len(node.host.seen) == 500
    assert all(seen.serialized == f"serialized {seen.status}" for seen in node.host.seen)
    assert node.server.busy == 0


async def test_callers_past_the_limit_of_connections_wait(tmp_path: Path) -> None:
    node = Node(tmp_path / "s", max_connections=2)
    await node.server.serve(node.sock)
    first, second, third = (MsgpackKong(node.path) for _ in range(3))
    await first.start_instance("event-hooks", {})
    await second.start_instance("event-hooks", {})
    waiting = asyncio.create_task(third.start_instance("event-hooks", {}))
    done, _ = await asyncio.wait({waiting}, timeout=0.1)
    assert not done
    assert node.server.connections == 2
    first.forget_connections()
    assert await asyncio.wait_for(waiting, SECONDS)
    assert node.faults()["connections"] >= 1
    second.forget_connections()
    third.forget_connections()
    await node.close()


async def test_a_drain_lets_an_event_end_and_leaves_new_callers_waiting(node: Node) -> None:
    async with MsgpackKong(node.path) as idle:
        await idle.start_instance("event-hooks", {})
        instance = await node.kong.start_instance("event-hooks", {})
        await node.kong.call("plugin.HandleEvent", {"InstanceId": instance, "EventName": "log"})
        (event_id,) = node.server._plugins.events
        draining = asyncio.create_task(node.server.drain(SECONDS))
        step = await node.kong.call("plugin.Step", {"EventId": event_id, "Data": 429})
        assert step["Data"]["Method"] == "kong.log.serialize"
        assert not draining.done()
        async with MsgpackKong(node.path) as closed:
            closed._idle.append(idle._idle.pop())
            idle._idle.append(node.kong._idle.pop())
            await closed.call("plugin.InstanceStatus", instance)  # no event goes on over it
            reader, _ = closed._idle[0]
            assert await asyncio.wait_for(reader.read(1), SECONDS) == b""
        late, late_writer = await asyncio.open_unix_connection(str(node.path))  # waits in the backlog
        step = await idle.call("plugin.Step", {"EventId": event_id, "Data": SERIALIZED})  # on another connection
        assert step["Data"] == "ret"
        await draining
        assert len(node.host.seen) == 1
        assert node.server.connections == 0
        late_writer.write(msgpack.packb([0, 1, "plugin.GetPluginInfo", ["event-hooks"]]))
        successor = node.make()
        await successor.serve(node.sock)
        assert await asyncio.wait_for(late.read(1), SECONDS)
        late_writer.close()
        await successor.drain(5)


async def test_a_drain_under_load_ends(node: Node) -> None:
    over = asyncio.Event()
    enough = asyncio.Event()
    callers = [MsgpackKong(node.path) for _ in range(10)]

    async def load(kong: MsgpackKong) -> None:
        while not over.is_set() and not kong.errors:
            await kong.run_phase("event-hooks", "log", pdk())
            if len(node.host.seen) > 50:
                enough.set()

    tasks = [asyncio.create_task(load(kong)) for kong in callers]
    await enough.wait()
    async with asyncio.timeout(SECONDS):
        await node.server.drain(600)
    over.set()
    successor = node.make()  # takes the calls that wait in the backlog
    await successor.serve(node.sock)
    await asyncio.wait_for(asyncio.gather(*tasks), SECONDS)
    for kong in callers:
        kong.forget_connections()
    await successor.drain(5)
    assert node.faults().get("stalled", 0) == 0  # no event was cut in the middle of its questions


async def test_a_drain_ends_at_its_limit(node: Node) -> None:
    instance = await node.kong.start_instance("event-hooks", {})
    await node.kong.call("plugin.HandleEvent", {"InstanceId": instance, "EventName": "log"})
    began = asyncio.get_running_loop().time()
    await node.server.drain(0.2)
    assert 0.15 < asyncio.get_running_loop().time() - began < SECONDS
    assert node.server.connections == 0


async def test_a_peer_that_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kong_pdk_adapter, "IDLE_SECONDS", 0.1)
    node = Node(tmp_path / "s")
    await node.server.serve(node.sock)
    reader, writer = await asyncio.open_unix_connection(str(node.path))
    writer.write(b"\x94")  # the beginning of a request
    assert await asyncio.wait_for(reader.read(), SECONDS) == b""
    writer.close()
    assert node.faults() == {}
    await node.close()


async def test_a_peer_that_does_not_read_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has not read would keep the connection open for as long as it likes, past every limit."""
    monkeypatch.setattr(kong_pdk_adapter, "IDLE_SECONDS", 0.1)
    node = Node(tmp_path / "s")
    await node.server.serve(node.sock)
    calls = msgpack.packb([0, 1, "plugin.GetPluginInfo", ["event-hooks"]]) * 1_000
    with socket.socket(socket.AF_UNIX) as silent:
        silent.setblocking(False)
        silent.connect(str(node.path))
        ended = select.poll()
        ended.register(silent, 0)
        async with asyncio.timeout(SECONDS):
            while not ended.poll(0):
                with contextlib.suppress(BlockingIOError, BrokenPipeError):
                    silent.send(calls)
                await asyncio.sleep(0.001)
    await node.close()


def test_plugins_can_be_made_without_a_directory_to_import_from() -> None:
    """As in a worker, which runs under ``python -P``: sys.path[0] need not exist then, and kong-pdk looks at it."""
    program = (
        "import kong_eventhooks_plugin.kong.plugin_server.kong_pdk_plugins as plugins\n"
        "plugins.kong_pdk_module.Module('x', module=plugins._module('x', (), print))\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], env={}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


async def test_it_does_not_make_gevents_loop(node: Node) -> None:
    """kong-pdk imports gevent; its loop would take SIGCHLD away from asyncio."""
    import gevent.hub

    await node.kong.run_phase("event-hooks", "log", pdk())
    assert gevent.hub._get_hub() is None

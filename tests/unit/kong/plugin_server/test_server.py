"""The plugin server on a real socket, with the recordings played against it and with peers that fail."""

import asyncio
import errno
import socket
from asyncio import Future
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kong_eventhooks_plugin.cli.demo.link import SocketLink
from kong_eventhooks_plugin.cli.demo.player import Player
from kong_eventhooks_plugin.kong.plugin_server import log_first, server
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.server import PluginServer
from kong_eventhooks_plugin.kong.supervisor.call_marks import IDLE, SLOTS, UNDER_WAY
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.frames import encode_frame
from kong_eventhooks_plugin.model.log_line import LogLine
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.kong_node.node import CRUD, LOG, KongNode, request_log
from tests.support.clock import FakeClock
from tests.support.plugin_socket import INFOS, NOW, RecordingHost, Setup, serving
from tests.support.recordings import NAMES, recording
from tests.support.sampling import sample
from tests.support.waiting import SECONDS, a_second

START = pb.RpcCall(sequence=7, cmd_start_instance=pb.CmdStartInstance(name=LOG, config=b"{}")).SerializeToString()
QUESTIONS = ("kong.response.get_status", "kong.log.serialize")


async def until(ask: Callable[[], Any], what: str) -> None:
    """Return when ``ask()`` is true; what it looks at changes on this loop, or in the kernel."""
    async with asyncio.timeout(SECONDS):
        while not ask():  # noqa: ASYNC110 - it asks for what has no event: a socket's buffer, a server's count
            await asyncio.sleep(0.002)
    assert ask(), what


class Recorder(SocketLink):
    """A link that keeps what the server said."""

    said: list[bytes]

    @classmethod
    async def open(cls, path: str) -> "Recorder":
        _, link = await asyncio.get_running_loop().create_unix_connection(cls, path)
        return link

    async def receive(self) -> bytes:
        frame = await super().receive()
        self.said.append(frame)
        return frame


@pytest.mark.parametrize("name", NAMES)
async def test_a_recording_byte_for_byte(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the recorded server asked what we ask, our frames are its frames."""
    monkeypatch.setattr(log_first, "STREAK", len(recording(name)))  # it always asked for the status
    statuses = {call.pdk.get("kong.response.get_status", 0) for call in recording(name)} - {0}
    host = RecordingHost(*statuses)
    kinds = {"event-hooks": QUESTIONS, "event-hooks-crud": ()}
    async with serving(host) as setup:
        said: list[bytes] = []
        link = type("Link", (Recorder,), {"said": said})
        player = Player(setup.path, connect=link.open)
        for call in recording(name):
            assert await player.make(call)
            recorded = [frame.payload for frame in call.frames if frame.sender == "server"]
            if call.call == "cmd_handle_event":
                kept = [part for name in kinds[call.plugin] for part in (name.encode(), b"")]
                assert all(part in recorded for part in kept)
                assert said[:-1] == [*kept, b""]
                assert len(said[-1]) == len(recorded[-1])
            elif call.call == "cmd_start_instance":
                assert call.name.encode() in said[0]
            else:
                assert len(said[0]) == len(recorded[0])
            said.clear()
        player.close()
        logs = [call for call in recording(name) if (call.plugin, call.phase) == ("event-hooks", "log")]
        assert [seen.status for seen in host.seen] == [call.pdk["kong.response.get_status"] for call in logs]
        assert setup.faults() == {}


async def test_many_at_once() -> None:
    host = RecordingHost(429)
    async with serving(host) as setup, KongNode(setup.path) as kong:
        answered = await asyncio.gather(*(kong.log(429 if number % 2 else 200) for number in range(200)))
        assert all(answered)
        assert len(host.seen) == 100
        assert kong.played.lost == []


@pytest.mark.parametrize("fails", [False, True])
async def test_an_instance_is_answered_when_its_configuration_is_in_force(fails: bool) -> None:
    host = RecordingHost(429)
    host.in_force = asyncio.get_running_loop().create_future()
    async with serving(host) as setup, KongNode(setup.path) as kong:
        call = asyncio.create_task(kong.log())
        await until(lambda: host.started, "the instance waits for its configuration")
        assert setup.server.busy == 1
        assert not host.seen
        if fails:
            host.in_force.set_exception(ZeroDivisionError())
        else:
            host.in_force.set_result(None)
        assert await call
        assert len(host.seen) == 1
        assert setup.faults() == ({"internal_error": 1} if fails else {})


async def test_lines_reach_kongs_error_log() -> None:
    host = RecordingHost()
    host.lines.extend([LogLine("notice", "one\nof two"), LogLine("err", "two")])
    async with serving(host) as setup, KongNode(setup.path) as kong:
        assert await kong.log(200)
        assert kong.error_log == [("notice", "one\nof two"), ("err", "two")]


class TestRestarts:
    async def test_an_id_of_a_server_before_us_starts_anew_and_never_means_the_other_plugin(self) -> None:
        """Two plugins, and the crud route is the first to call the new server (decision 4)."""
        with socket.socket(socket.AF_UNIX) as listening:
            host = RecordingHost(429)
            async with serving(host) as setup, KongNode(setup.path) as kong:
                assert await kong.log()
                assert await kong.respond()
                await setup.server.drain(SECONDS)
                listening.close()
                successor = RecordingHost(429)
                again = socket.socket(socket.AF_UNIX)
                setup.path.unlink()
                again.bind(str(setup.path))
                again.listen()
                server = PluginServer(successor.plugin_host(), Metrics(), PluginInstances(lambda: NOW), INFOS)
                await server.serve(again)
                assert await kong.respond()
                assert await kong.log()
                assert [started.plugin for started in successor.started] == [CRUD, LOG]
                assert [seen.plugin for seen in successor.seen] == [LOG]
                assert kong.played.lost == []
                await server.drain(1.0)
                again.close()

    async def test_a_drain_and_a_successor_lose_nothing(self) -> None:
        """Calls go on all the while; the two servers share the listening socket, as they do under the supervisor."""
        hosts = [RecordingHost(429) for _ in range(4)]
        async with serving(hosts[0]) as setup, KongNode(setup.path) as kong:
            listening = setup.server._acceptor._sock
            assert listening is not None
            servers = [setup.server]
            answered: list[bool] = []
            stop = asyncio.Event()

            async def calls() -> None:
                while not stop.is_set():
                    answered.append(await kong.log())

            callers = [asyncio.create_task(calls()) for _ in range(20)]
            for host in hosts[1:]:
                enough = len(answered) + 100
                await until(lambda enough=enough: len(answered) > enough, "calls go on")  # type: ignore[misc]
                await servers[-1].drain(SECONDS)
                assert servers[-1].connections == 0
                servers.append(PluginServer(host.plugin_host(), Metrics(), PluginInstances(lambda: NOW), INFOS))
                await servers[-1].serve(listening)
            stop.set()
            await asyncio.gather(*callers)
            await servers[-1].drain(SECONDS)
            assert kong.played.lost == []
            assert all(answered)
            ids = [seen.serialized for host in hosts for seen in host.seen]
            assert len(set(ids)) == len(answered)


class TestDrain:
    async def test_a_call_in_progress_ends_first(self) -> None:
        future: Future[Any] = asyncio.get_running_loop().create_future()
        host = RecordingHost(429, accept=lambda seen: future)
        async with serving(host, monotonic=FakeClock()) as setup, KongNode(setup.path) as kong:
            call = asyncio.create_task(kong.log())
            await until(lambda: host.seen, "the call waits for its commit")
            drained = asyncio.create_task(setup.server.drain(SECONDS))
            await asyncio.sleep(0)
            assert not call.done()
            future.set_result(None)
            assert await call
            await drained
            assert kong.played.lost == []
            assert kong.played.again == 0
            assert setup.server.connections == 0

    async def test_nothing_is_accepted_any_more(self) -> None:
        async with serving(RecordingHost()) as setup, KongNode(setup.path) as kong:
            await setup.server.drain(1.0)
            call = asyncio.create_task(kong.log(200))
            await until(lambda: kong.links.opened == 1, "the call is in the backlog")
            await asyncio.sleep(0)
            assert not call.done()
            call.cancel()

    async def test_a_call_that_does_not_end_is_left(self) -> None:
        async with serving(RecordingHost(429)) as setup:
            link = await SocketLink.open(str(setup.path))
            instance = setup.instances.start(LOG)[0]
            link.send(b"\xa2\x02\x0b\x08" + _varint(instance.id) + b"\x12\x03log\x08\x05")
            assert await link.receive() == QUESTIONS[0].encode()
            await setup.server.drain(0.05)
            assert setup.server.connections == 0


class Holder:
    """Holds copies of the connections, as the supervisor does; ``waiting`` are those that the server has let go."""

    holds = True

    def __init__(self) -> None:
        self.marks = bytearray(SLOTS + 1)
        self.held: list[socket.socket] = []
        self.waiting: list[socket.socket] = []
        self.ended = 0
        self.adopt: Callable[[socket.socket], None] = lambda _: None

    def hold(self, connection: socket.socket) -> int:
        self.held.append(connection.dup())
        return len(self.held) - 1

    def removed(self, slot: int) -> None:
        self.ended += 1

    def released(self, slot: int) -> None:
        self.waiting.append(self.held[slot])

    def on_adopt(self, adopt: Callable[[socket.socket], None]) -> None:
        self.adopt = adopt


@pytest.fixture
def holder() -> Iterator[Holder]:
    made = Holder()
    yield made
    for sock in made.held:
        sock.close()


class TestConnectionsThatSomebodyHolds:
    async def test_an_idle_one_is_let_go_and_served_by_the_next(self, holder: Holder) -> None:
        async with serving(RecordingHost(), link=holder) as setup:
            link = await SocketLink.open(str(setup.path))
            link.send(START)
            assert await link.receive()
            assert holder.marks[0] == IDLE
            await setup.server.drain(1.0)
            assert (len(holder.waiting), holder.ended) == (1, 0)
        following = Holder()
        async with serving(RecordingHost(), link=following) as setup:
            following.adopt(holder.waiting[0].dup())
            link.send(START)
            assert await link.receive()
            link.close()
            await until(lambda: following.ended, "Kong's end is heard")
        following.held[0].close()

    async def test_one_with_a_last_call_is_let_go_with_its_answer(self, holder: Holder) -> None:
        future: Future[Any] = asyncio.get_running_loop().create_future()
        host = RecordingHost(429, accept=lambda seen: future)
        async with serving(host, link=holder, monotonic=FakeClock()) as setup, KongNode(setup.path) as kong:
            call = asyncio.create_task(kong.log())
            await until(lambda: host.seen, "the call waits for its commit")
            drained = asyncio.create_task(setup.server.drain(SECONDS))
            await asyncio.sleep(0)
            future.set_result(None)
            assert await call
            await drained
            assert (len(holder.waiting), holder.ended) == (1, 0)
            holder.waiting[0].setblocking(False)
            with pytest.raises(BlockingIOError):
                holder.waiting[0].recv(1)  # open still, and nothing of Kong's lost

    async def test_one_in_the_middle_of_a_call_is_ended(self, holder: Holder) -> None:
        async with serving(RecordingHost(), link=holder) as setup:
            kong = await connected(setup)
            with kong:
                await asyncio.get_running_loop().sock_sendall(kong, START[:3])
                await until(lambda: holder.held and holder.marks[0] == UNDER_WAY, "it is marked")
                draining = asyncio.create_task(setup.server.drain(SECONDS))
                assert await received(kong) == b""
                kong.close()
                await draining
            assert (len(holder.waiting), holder.ended) == (0, 1)

    async def test_one_that_has_sent_half_a_start_is_answered_first(
        self, holder: Holder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Kong sends a frame's length and its bytes apart, and does not repeat a start whose connection ends."""
        monkeypatch.setattr(server, "LINGER_SECONDS", SECONDS)
        async with serving(RecordingHost(), link=holder) as setup:
            link = await SocketLink.open(str(setup.path))
            link.write(encode_frame(START)[:4])
            await until(lambda: holder.held and holder.marks[0] == UNDER_WAY, "it is marked")
            draining = asyncio.create_task(setup.server.drain(SECONDS))
            await asyncio.sleep(0)
            link.write(encode_frame(START)[4:])
            assert LOG.encode() in await link.receive()
            await draining
            assert (len(holder.waiting), holder.ended) == (1, 0)
            assert link.usable()
            link.close()

    async def test_a_peer_that_ends_its_own_direction_alone_hears_the_end(self, holder: Holder) -> None:
        """Our copy is closed; without a word, the holder's would keep the connection open for ever."""
        async with serving(RecordingHost(), link=holder) as setup:
            kong = await connected(setup)
            with kong:
                kong.shutdown(socket.SHUT_WR)
                assert await received(kong) == b""
            await until(lambda: holder.ended, "its slot comes free")


async def connected(setup: Setup) -> socket.socket:
    kong = socket.socket(socket.AF_UNIX)
    kong.setblocking(False)
    await asyncio.get_running_loop().sock_connect(kong, str(setup.path))
    return kong


async def received(kong: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(kong, 100), SECONDS)


def _varint(number: int) -> bytes:
    out = bytearray()
    for _ in range(4):
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


class TestTime:
    async def test_kong_is_answered_within_a_second_whatever_happens(self) -> None:
        """A store that never commits; many wait for it at once."""
        loop = asyncio.get_running_loop()
        host = RecordingHost(429, accept=lambda seen: loop.create_future())
        async with serving(host) as setup, KongNode(setup.path) as kong:
            assert await kong.log(200)

            async def seconds() -> float:
                begun = loop.time()
                assert await kong.log()
                return loop.time() - begun

            calls = [asyncio.create_task(seconds()) for _ in range(30)]
            await until(lambda: len(host.seen) == 30, "all wait for their commit")
            await a_second()
            assert all(call.done() for call in calls)
            assert min(call.result() for call in calls) > 0.5
            assert setup.faults() == {"late": 30}

    async def test_a_peer_that_stalls_is_cut(self) -> None:
        async with serving(RecordingHost(429), stall_seconds=0.12) as setup:
            half = await SocketLink.open(str(setup.path))
            half.write(encode_frame(b"x" * 100)[:50])
            idle = await SocketLink.open(str(setup.path))
            with pytest.raises((EOFError, OSError)):
                await half.receive()
            assert setup.faults() == {"stalled": 1}
            assert idle.usable()
            idle.close()


class TestFailingPeers:
    @pytest.mark.parametrize("when", ["start", "event"])
    @pytest.mark.parametrize("step", sample([5, 1], 2))
    async def test_cut_at_every_byte(self, when: str, step: int) -> None:
        """Wherever a connection is cut, nothing escapes, and the next call is served."""
        host = RecordingHost(429)
        async with serving(host) as setup, KongNode(setup.path) as kong:
            for after in range(1, 60, step) if when == "start" else (*range(1, 60, step), *range(60, 2_600, 61 * step)):
                if when == "start":
                    kong.configure(LOG)
                elif after == 1:
                    assert await kong.log()
                with kong.links.cut(after):
                    await kong.log()
                assert await kong.log(200), after
            assert set(setup.faults()) <= {"peer_gone"}
            await until(lambda: not setup.server.busy, "no call is left behind")

    async def test_a_slow_kong(self) -> None:
        host = RecordingHost(429)
        async with serving(host) as setup, KongNode(setup.path) as kong:
            with kong.links.delay(0.02):
                assert all(await asyncio.gather(*(kong.log() for _ in range(10))))
            assert len(host.seen) == 10

    async def test_one_that_says_nothing(self) -> None:
        host = RecordingHost(429)
        async with serving(host) as setup, KongNode(setup.path) as kong:
            with kong.links.drop():
                silent = asyncio.create_task(kong.log())
                await until(lambda: kong.links.opened == 1, "the silent one is connected")
                await asyncio.sleep(0)
            assert await KongNode(setup.path).log()
            silent.cancel()
            assert setup.faults() == {}

    async def test_garbage_beside_good_calls(self) -> None:
        host = RecordingHost(429)
        async with serving(host, frame_bytes=10_000) as setup, KongNode(setup.path) as kong:
            bad = [await SocketLink.open(str(setup.path)) for _ in range(4)]
            for number in range(50):
                bad[0].write(b"\xff" * 7)  # the length of 4 GiB, and never the bytes
                bad[1].send(b"\xff" * number)
                bad[2].send(b"x" * 20_000)
                bad[3].write(bytes([number]))
                assert await kong.log()
            assert len(host.seen) == 50
            assert setup.faults()["bad_call"] >= 49
            assert setup.faults()["oversized"] >= 1
            for link in bad:
                link.close()


class TestLimits:
    async def test_a_peer_that_sends_and_does_not_read(self) -> None:
        """It gets all its answers, in order, once it reads; meanwhile little is kept for it, and others are served."""
        host = RecordingHost(429)
        calls = 40_000
        async with serving(host) as setup, KongNode(setup.path) as kong:
            assert await kong.log()
            number = host.started[0].instance_id
            reader, writer = await asyncio.open_unix_connection(str(setup.path), limit=1 << 16)
            call = b"\xa2\x02\x0b\x08" + _varint(number) + b"\x12\x03log\x08\x05"
            writer.write((encode_frame(call) + encode_frame(b"\x08\xc8\x01")) * calls)
            await until(lambda: any(each._held for each in setup.server._open), "it is held back")
            (held,) = [each for each in setup.server._open if each._held]
            assert await kong.log()
            assert held._reader.waiting < 1 << 20
            expected = encode_frame(b"kong.response.get_status") + encode_frame(b"") * 2 + encode_frame(b"\x08\x05")
            assert await reader.readexactly(len(expected) * calls) == expected * calls
            writer.close()
            await writer.wait_closed()
            assert setup.faults() == {}

    async def test_past_the_number_of_connections_callers_wait_in_the_backlog(self) -> None:
        host = RecordingHost()
        async with serving(host, max_connections=2) as setup, KongNode(setup.path) as kong:
            held = [await SocketLink.open(str(setup.path)) for _ in range(2)]
            await until(lambda: setup.server.connections == 2, "two are open")
            call = asyncio.create_task(kong.log(200))
            await until(lambda: setup.faults().get("connections"), "the third was noticed")
            assert not call.done()
            assert setup.server.connections == 2
            held[0].close()
            assert await call
            held[1].close()

    async def test_no_descriptor_left(self) -> None:
        class Full(socket.socket):
            refusals = 1

            def accept(self) -> Any:
                if self.refusals:
                    self.refusals -= 1
                    raise OSError(errno.EMFILE, "too many open files")
                return super().accept()

        host = RecordingHost()
        setup = Setup(host)
        setup.server._errors._limit._clock = asyncio.get_running_loop().time
        async with serving(host) as other:
            path = other.path.with_name("full.sock")
            with Full(socket.AF_UNIX) as listening:
                listening.bind(str(path))
                listening.listen()
                await setup.server.serve(listening)
                async with KongNode(path) as kong:
                    assert await kong.log(200)
                assert setup.faults() == {"no_descriptors": 1}
                await setup.server.drain(1.0)


def test_a_request_is_new_each_time() -> None:
    assert request_log()["request"]["id"] != request_log()["request"]["id"]

"""One connection, over a transport in memory: what Kong is answered, and what a broken or hostile peer cannot do."""

import asyncio
import json
from asyncio import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.kong.plugin_server.commit_deadlines import ANSWER_SECONDS
from kong_eventhooks_plugin.kong.plugin_server.connection import FRAMES_A_TURN, ROUTES
from kong_eventhooks_plugin.kong.plugin_server.phase_run import ANSWERS
from kong_eventhooks_plugin.kong.supervisor.call_marks import IDLE, UNDER_WAY
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.calls import encode_echo
from kong_eventhooks_plugin.kong.wire.frames import encode_frame
from kong_eventhooks_plugin.model.log_line import LogLine
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.queue.contract import Receipt
from tests.kong_node.answers import string
from tests.support.clock import FakeClock
from tests.support.peer import LIMIT, SLOT, Peer, event, feed, split
from tests.support.plugin_socket import INFOS, NOW, RecordingHost, frames_of

STATUS_FRAMES = [b"kong.response.get_status", b""]
LOG_FRAMES = [b"kong.log.serialize", b""]
OK, LIMITED = b"\x08\xc8\x01", b"\x08\xad\x03"


def receipt(*fired: str) -> Receipt:
    return Receipt("event", duplicate=False, fired=fired, held_back={})


async def test_many_frames_sent_together_are_taken_in_many_turns() -> None:
    """Other connections have their turns in between; nothing is left, and what comes after is taken too."""
    peer = Peer()
    number = peer.start()
    feed(peer.connection, encode_frame(b"") * 1_000)
    turns = [peer.faults["unknown_call"]]
    assert not peer.transport.reading
    while turns[-1] < 1_000:
        await asyncio.sleep(0)
        turns.append(peer.faults["unknown_call"])
        assert turns[-1] > turns[-2]
    assert turns[0] == FRAMES_A_TURN
    assert len(turns) == -(-1_000 // FRAMES_A_TURN)
    await asyncio.sleep(0)
    assert peer.transport.reading
    peer.transport.written.clear()
    assert peer.event(number) is not None


class TestCalls:
    def test_start_status_close(self) -> None:
        peer = Peer()
        number = peer.start(config=b'{"hooks":[]}')
        (started,) = peer.host.started
        assert (started.plugin, started.instance_id, started.config) == ("event-hooks", number, b'{"hooks":[]}')
        (status,) = peer.call(cmd_get_instance_status=pb.CmdGetInstanceStatus(instance_id=number))
        assert pb.RpcReturn.FromString(status).instance_status.started_at == int(NOW)
        assert peer.call(cmd_close_instance=pb.CmdCloseInstance(instance_id=number)) == [encode_echo(peer.sequence)]
        assert [closed.instance_id for closed in peer.host.closed] == [number]
        assert not peer.faults
        assert peer.setup.counts.plugin_calls == {("start_instance",): 1, ("other",): 1, ("close_instance",): 1}

    def test_names_and_info(self) -> None:
        peer = Peer()
        (names,) = peer.call(cmd_get_plugin_names=pb.CmdGetPluginNames())
        assert list(pb.RpcReturn.FromString(names).plugin_names.names) == list(INFOS)
        (info,) = peer.call(cmd_get_plugin_info=pb.CmdGetPluginInfo(name="event-hooks-crud"))
        assert list(pb.RpcReturn.FromString(info).plugin_info.phases) == ["response", "log"]

    def test_what_is_unknown_is_answered_all_the_same(self) -> None:
        peer = Peer()
        for command in (
            {"cmd_close_instance": pb.CmdCloseInstance(instance_id=5)},
            {"cmd_get_instance_status": pb.CmdGetInstanceStatus(instance_id=5)},
            {"cmd_get_plugin_info": pb.CmdGetPluginInfo(name="x")},
            {},
        ):
            assert peer.call(**command) == [encode_echo(peer.sequence)]
        assert peer.faults == {"unknown_instance": 1, "unknown_plugin": 1, "unknown_call": 1}
        assert not peer.transport.ended

    def test_bytes_that_are_no_call_are_finished_with_what_looks_like_the_sequence(self) -> None:
        peer = Peer()
        assert peer.send(b"\xff\xff\x08\x05") == [b"", b"\x08\x05"]
        assert peer.send(b"\xff") == [b"", b""]
        assert peer.faults == {"bad_call": 2}

    def test_an_unknown_plugin_gets_an_instance_that_does_nothing(self) -> None:
        """Without one, Kong's worker fails this request and holds the next ones for 10 s."""
        peer = Peer(RecordingHost(429))
        number = peer.start("other")
        assert not peer.host.started
        assert peer.event(number) == peer.end
        peer.call(cmd_close_instance=pb.CmdCloseInstance(instance_id=number))
        assert not peer.host.closed
        assert peer.faults == {"unknown_plugin": 1, "unknown_phase": 1}

    def test_a_config_over_the_limit_gets_an_instance_that_works(self) -> None:
        peer = Peer(RecordingHost(429))
        number = peer.start("event-hooks", b"x" * LIMIT)
        assert not peer.host.started
        assert peer.event(number) == STATUS_FRAMES
        assert peer.send(OK) == peer.end
        assert peer.faults == {"oversized": 1}

    def test_past_the_number_of_instances_one_goes_and_is_told(self) -> None:
        peer = Peer(instances=2)
        first = peer.start()
        peer.start()
        peer.start()
        assert [closed.instance_id for closed in peer.host.closed] == [first]
        assert peer.faults == {"instance_evicted": 1}
        assert peer.event(first) == []
        assert peer.transport.ended

    @pytest.mark.parametrize("known", [False, True])
    def test_an_unknown_instance_ends_the_connection_and_nothing_else(self, *, known: bool) -> None:
        peer = Peer()
        number = peer.start()
        for _ in range(3 if known else 0):
            assert peer.event(number) == peer.end  # so that the call's meaning is remembered
        peer.call(cmd_close_instance=pb.CmdCloseInstance(instance_id=number))
        other, transport = peer.another()
        assert peer.event(number) == []
        assert peer.transport.ended
        assert not peer.transport.aborted
        assert peer.faults == {"unknown_instance": 1}
        feed(peer.connection, b"more")
        assert peer.transport.taken() == b""
        feed(other, encode_frame(b"\xfa\x01\x00\x08\x05"))
        assert len(transport.frames()) == 1

    def test_a_host_that_fails_does_not_reach_kong(self) -> None:
        peer = Peer(RecordingHost(429))
        peer.host.fails = True
        number = peer.start()
        assert peer.event(number) == STATUS_FRAMES
        assert peer.send(LIMITED) == LOG_FRAMES
        assert peer.send(string(b"{}")) == peer.end
        assert peer.call(cmd_close_instance=pb.CmdCloseInstance(instance_id=number)) == [encode_echo(peer.sequence)]
        assert peer.faults == {"internal_error": 3}


class TestEvents:
    def test_no_hook_nothing_asked(self) -> None:
        peer = Peer()
        number = peer.start()
        for _ in range(3):
            assert peer.event(number) == peer.end
        assert not peer.setup.counts.pdk_calls
        assert peer.setup.counts.plugin_calls["handle_event",] == 3

    def test_status_then_log(self) -> None:
        peer = Peer(RecordingHost(429))
        number = peer.start()
        for _ in range(2):
            assert peer.event(number) == STATUS_FRAMES
            assert peer.send(LIMITED) == LOG_FRAMES
            assert peer.send(string(b'{"a":1}')) == peer.end
            assert peer.event(number) == STATUS_FRAMES
            assert peer.send(OK) == peer.end
        assert peer.host.seen == [LogObservation("event-hooks", 429, b'{"a":1}', NOW)] * 2
        assert peer.setup.counts.pdk_calls == {("kong.response.get_status",): 4, ("kong.log.serialize",): 2}

    def test_a_byte_that_is_not_utf_8_hides_no_event(self) -> None:
        peer = Peer(RecordingHost(429))
        peer.event(peer.start())
        peer.send(LIMITED)
        assert peer.send(string(b'{"user-agent":"\xff"}')) == peer.end
        assert peer.host.seen[0].serialized == b'{"user-agent":"\xff"}'  # whose reader replaces it

    def test_lines(self) -> None:
        peer = Peer()
        peer.host.lines.append(LogLine("notice", "a\nb"))
        assert peer.event(peer.start("event-hooks-crud")) == [b"kong.log.notice", b"\x0a\x05\x1a\x03a\nb"]
        assert peer.send(b"") == peer.end

    def test_the_crud_plugins_phases(self) -> None:
        peer = Peer(RecordingHost(429))
        number = peer.start("event-hooks-crud")
        for phase in ("response", "log"):
            assert peer.event(number, phase) == peer.end
        assert peer.event(number, "access") == peer.end
        assert peer.faults == {"unknown_phase": 1}

    def test_both_orders_and_any_split_of_a_call(self) -> None:
        peer = Peer()
        number = peer.start()
        for first in (False, True):
            data = encode_frame(event(number, 70_000, first=first))
            for cut in range(len(data) + 1):
                feed(peer.connection, data[:cut])
                feed(peer.connection, data[cut:]) if cut < len(data) else None
                assert peer.transport.frames() == [b"", encode_echo(70_000)]

    def test_calls_sent_ahead_are_answered_in_order(self) -> None:
        peer = Peer()
        number = peer.start()
        calls = [event(number, sequence) for sequence in range(1, 6)]
        assert peer.send(*calls) == [part for sequence in range(1, 6) for part in (b"", encode_echo(sequence))]

    def test_a_call_inside_another_frame_is_not_a_call(self) -> None:
        peer = Peer()
        number = peer.start()
        peer.event(number)
        inner = encode_frame(event(number, 5))
        outer = encode_frame(b"\xff" * 8 + inner)
        feed(peer.connection, outer[:12])
        feed(peer.connection, inner)
        assert peer.transport.frames() == [b"", b"\x08\x05"]
        assert peer.faults == {"bad_call": 1}

    def test_remembered_answers_are_bounded(self) -> None:
        peer = Peer(RecordingHost(429))
        number = peer.start()
        for value in range(1, ANSWERS + 10):
            peer.event(number)
            assert peer.send(pb.Int(v=value).SerializeToString()) == (LOG_FRAMES if value == 429 else peer.end)
            if value == 429:
                assert peer.send(string(b"{}")) == peer.end
            assert len(peer.connection._phase.known_answers) <= ANSWERS
        assert 0 < len(peer.connection._phase.known_answers) < ANSWERS

    def test_calls_of_two_instances_take_turns_on_one_connection(self) -> None:
        peer = Peer()
        one, other = peer.start(), peer.start()
        for number in (one, one, other, other, one, other, one):
            assert peer.event(number) == peer.end
        assert peer.setup.counts.plugin_calls["handle_event",] == 7
        peer.call(cmd_close_instance=pb.CmdCloseInstance(instance_id=one))
        assert peer.event(other) == peer.end
        peer.event(one)
        assert peer.faults == {"unknown_instance": 1}

    @pytest.mark.parametrize("echo", [b"\x08\x85", b"\x09\x05", b"\x08\x05\x08\x06", b"\x85\x05", b"\x00\x00"])
    def test_a_call_that_only_begins_like_the_one_before(self, echo: bytes) -> None:
        fresh, used = Peer(instances=5), Peer(instances=5)
        one, other = fresh.start(), used.start()
        for _ in range(3):
            assert used.event(other) == used.end
        call = lambda number: pb.RpcCall(  # noqa: E731
            cmd_handle_event=pb.CmdHandleEvent(instance_id=number, event_name="log")
        ).SerializeToString()
        assert used.send(call(other) + echo) == fresh.send(call(one) + echo)
        assert used.faults == fresh.faults

    def test_remembered_calls_are_bounded(self) -> None:
        peer = Peer()
        number = peer.start()
        peer.event(number)
        routes = peer.setup.server._context.routes
        (route,) = routes.values()
        routes.update((at.to_bytes(4, "big"), route) for at in range(ROUTES - 1))
        assert peer.event(peer.start()) == peer.end
        assert len(routes) == 1

    @pytest.mark.parametrize(
        ("answers", "reason"),
        [
            ([b""], "pdk_answer"),
            ([string(b"429")], "pdk_answer"),
            ([b"\xff\xff"], "pdk_answer"),
            ([b"x" * (LIMIT + 1)], "oversized"),
            ([LIMITED, b""], "pdk_answer"),
            ([LIMITED, OK], "pdk_answer"),
            ([LIMITED, string(b"x" * LIMIT)], "oversized"),
        ],
    )
    def test_an_answer_that_cannot_be_finishes_the_call(self, answers: list[bytes], reason: str) -> None:
        peer = Peer(RecordingHost(429))
        number = peer.start()
        peer.event(number)
        for answer in answers:
            replied = peer.send(answer)
        assert replied == peer.end
        assert peer.faults == {reason: 1}
        assert not peer.host.seen
        assert peer.event(number) == STATUS_FRAMES  # and the connection goes on


class TestWaiting:
    def waiting(self) -> tuple[Peer, "Future[Any]"]:
        future: Future[Any] = asyncio.get_running_loop().create_future()
        peer = Peer(RecordingHost(429, accept=lambda seen: future))
        peer.event(peer.start())
        peer.send(LIMITED)
        assert peer.send(string(b"{}")) == []
        return peer, future

    async def test_the_answer_comes_after_the_commit(self) -> None:
        peer, future = self.waiting()
        assert peer.connection.busy
        future.set_result(None)
        await asyncio.sleep(0)
        assert peer.transport.frames() == peer.end
        assert not peer.connection.busy
        assert not peer.faults

    @pytest.mark.parametrize("how", ["exception", "cancel"])
    async def test_a_commit_that_fails_is_counted(self, how: str) -> None:
        peer, future = self.waiting()
        future.cancel() if how == "cancel" else future.set_exception(OSError("disk full"))
        await asyncio.sleep(0)
        assert peer.transport.frames() == peer.end
        assert peer.faults == {"not_accepted": 1}

    @pytest.mark.parametrize("fails", [False, True])
    async def test_kong_does_not_wait_longer_than_that(self, *, fails: bool) -> None:
        peer, future = self.waiting()
        clock = peer.setup.monotonic
        assert isinstance(clock, FakeClock)
        clock.now += ANSWER_SECONDS - 0.01
        peer.setup.server._context.deadlines.check()
        assert peer.transport.frames() == []
        clock.now += 0.02
        peer.setup.server._context.deadlines.check()
        assert peer.transport.frames() == peer.end
        assert peer.faults == {"late": 1}
        assert peer.setup.server.waiting == 0
        future.set_exception(OSError()) if fails else future.set_result(None)
        await asyncio.sleep(0)
        assert peer.transport.frames() == []  # answered once
        assert peer.faults == ({"late": 1, "not_accepted": 1} if fails else {"late": 1})

    def lines_expected(self) -> tuple[Peer, "Future[Any]", "Future[None]"]:
        peer, commit = self.waiting()
        peer.host.line_arrival = asyncio.get_running_loop().create_future()
        return peer, commit, peer.host.line_arrival

    async def test_a_call_takes_the_lines_that_its_event_writes(self) -> None:
        peer, commit, arrival = self.lines_expected()
        commit.set_result(None)
        await asyncio.sleep(0)
        assert peer.transport.frames() == []
        peer.host.lines.append(LogLine("err", "a"))
        arrival.set_result(None)
        await asyncio.sleep(0)
        name, _ = peer.transport.frames()
        assert name == b"kong.log.err"
        assert peer.connection.busy
        assert peer.send(b"") == peer.end
        assert [line.text for line in peer.host.written_lines] == ["a"]
        assert not peer.connection.busy
        assert not peer.faults
        assert peer.event(peer.host.started[0].instance_id) == STATUS_FRAMES

    async def test_a_call_that_waits_for_its_lines_waits_for_no_commit(self) -> None:
        """Else it would slow down the deliveries that it waits for."""
        peer, commit, _ = self.lines_expected()
        assert peer.setup.server.waiting == 1
        commit.set_result(None)
        await asyncio.sleep(0)
        assert peer.transport.frames() == []
        assert peer.setup.server.waiting == 0

    async def test_the_lines_are_those_of_the_hooks_that_fired(self) -> None:
        """The receipt of one event, or of each of several, whether one failed or not."""
        for committed, fired in (
            (receipt("a"), ["a"]),
            ([receipt("a"), StoreUnavailable("a disk"), receipt(), receipt("b", "c")], ["a", "b", "c"]),
        ):
            peer, commit, _ = self.lines_expected()
            commit.set_result(committed)
            await asyncio.sleep(0)
            assert peer.host.fired == fired

    async def test_a_failed_commit_has_no_lines(self) -> None:
        peer, commit, _ = self.lines_expected()
        commit.set_exception(StoreUnavailable("a disk"))
        await asyncio.sleep(0)
        assert peer.host.fired == []

    async def test_past_the_limit_a_call_is_answered_before_its_commit(self) -> None:
        future: Future[Any] = asyncio.get_running_loop().create_future()
        peer = Peer(RecordingHost(429, accept=lambda seen: future))
        peer.setup.server._context.deadlines._calls = 0
        peer.event(peer.start())
        peer.send(LIMITED)
        assert peer.send(string(b"{}")) == peer.end
        assert peer.faults == {"early": 1}
        assert peer.host.seen == []  # after the answers to all who have called
        assert peer.setup.server.waiting == 1
        await asyncio.sleep(0)
        assert len(peer.host.seen) == 1
        future.set_exception(StoreUnavailable("a disk"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert peer.faults == {"early": 1, "not_accepted": 1}
        assert peer.setup.server.waiting == 0

    async def test_an_event_whose_call_was_answered_counts_until_its_commit(self) -> None:
        commits: list[Future[Any]] = []

        def accept(seen: LogObservation) -> "Future[Any]":
            commits.append(asyncio.get_running_loop().create_future())
            return commits[-1]

        peer = Peer(RecordingHost(429, accept=accept))
        deadlines = peer.setup.server._context.deadlines
        instance = peer.start()
        deadlines._calls = 0
        peer.event(instance)
        peer.send(LIMITED)
        assert peer.send(string(b"{}")) == peer.end
        deadlines._calls = 1
        await asyncio.sleep(0)
        peer.event(instance)
        peer.send(LIMITED)
        assert peer.send(string(b"{}")) == peer.end  # the first is not stored yet
        await asyncio.sleep(0)
        for commit in commits:
            commit.set_result(receipt())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert peer.faults == {"early": 2}
        peer.event(instance)
        peer.send(LIMITED)
        assert peer.send(string(b"{}")) == []

    async def test_behind_those_that_were_answered_early_the_order_is_kept(self) -> None:
        peer = Peer(RecordingHost(429))
        deadlines = peer.setup.server._context.deadlines
        instance = peer.start()
        for limit, number in ((0, 1), (2, 2)):
            deadlines._calls = limit
            peer.event(instance)
            peer.send(LIMITED)
            answered = peer.send(string(b'{"n": %d}' % number))
            assert bool(answered) is (number == 1)  # the second waits for its event
        await asyncio.sleep(0)
        assert [json.loads(seen.serialized)["n"] for seen in peer.host.seen] == [1, 2]
        await asyncio.sleep(0)
        assert peer.transport.frames() == peer.end

    async def test_no_line_comes_and_kong_is_answered_in_time(self) -> None:
        peer, commit, arrival = self.lines_expected()
        commit.set_result(None)
        await asyncio.sleep(0)
        clock = peer.setup.monotonic
        assert isinstance(clock, FakeClock)
        clock.now += ANSWER_SECONDS
        peer.setup.server._context.deadlines.check()
        assert peer.transport.frames() == peer.end
        assert arrival.cancelled()
        assert not peer.faults
        await asyncio.sleep(0)
        assert peer.transport.frames() == []

    async def test_another_call_took_the_line(self) -> None:
        peer, commit, arrival = self.lines_expected()
        commit.set_result(None)
        await asyncio.sleep(0)
        arrival.set_result(None)
        await asyncio.sleep(0)
        assert peer.transport.frames() == peer.end
        assert not peer.faults

    async def test_a_peer_that_sends_ahead_gets_no_line(self) -> None:
        peer, commit, arrival = self.lines_expected()
        commit.set_result(None)
        ended = peer.end
        assert peer.send(event(peer.host.started[0].instance_id, 50)) == []
        peer.host.lines.append(LogLine("err", "a"))
        arrival.set_result(None)
        await asyncio.sleep(0.01)
        assert peer.transport.frames() == ended + STATUS_FRAMES
        assert peer.host.lines

    async def test_the_peer_goes_while_it_waits(self) -> None:
        peer, _ = self.waiting()
        peer.connection.connection_lost(None)
        assert peer.setup.server.waiting == 0

    async def test_the_peer_goes_while_it_waits_for_lines(self) -> None:
        peer, commit, arrival = self.lines_expected()
        commit.set_result(None)
        await asyncio.sleep(0)
        peer.connection.connection_lost(None)
        assert arrival.cancelled()
        await asyncio.sleep(0)
        assert peer.faults == {"peer_gone": 1}

    async def test_a_bug_in_the_host_does_not_hold_the_call(self) -> None:
        peer, commit, arrival = self.lines_expected()
        commit.set_result(None)
        await asyncio.sleep(0)
        peer.host.fails = True
        arrival.set_result(None)
        await asyncio.sleep(0)
        assert peer.transport.frames() == peer.end
        assert peer.faults == {"internal_error": 1}

    async def test_the_time_is_counted_from_the_call(self) -> None:
        """A Kong that was slow with its own answers leaves the commit what is left of the second."""
        future: Future[Any] = asyncio.get_running_loop().create_future()
        peer = Peer(RecordingHost(429, accept=lambda seen: future))
        clock = peer.setup.monotonic
        assert isinstance(clock, FakeClock)
        peer.event(peer.start())
        clock.now += 5.0
        peer.send(LIMITED)
        peer.send(string(b"{}"))
        assert len(peer.host.seen) == 1
        peer.setup.server._context.deadlines.check()
        assert peer.transport.frames() == peer.end

    async def test_what_comes_meanwhile_waits(self) -> None:
        peer, future = self.waiting()
        number = peer.host.started[0].instance_id
        peer.host.log_statuses = frozenset()
        assert peer.send(event(number, 50), event(number, 51)) == []
        ended = peer.end
        future.set_result(None)
        await asyncio.sleep(0)
        assert peer.transport.frames() == [*ended, b"", encode_echo(50), b"", encode_echo(51)]
        assert peer.send(event(number, 52)) == [b"", encode_echo(52)]

    async def test_half_a_frame_that_comes_meanwhile_waits_for_its_other_half(self) -> None:
        peer, future = self.waiting()
        inner = encode_frame(event(peer.host.started[0].instance_id, 5))
        outer = encode_frame(b"\xff" * 8 + inner)
        feed(peer.connection, outer[:12])
        ended = peer.end
        future.set_result(None)
        await asyncio.sleep(0)
        assert peer.transport.frames() == ended
        feed(peer.connection, inner)
        assert peer.faults["bad_call"] == 1

    async def test_a_peer_that_sends_far_ahead_is_not_read(self) -> None:
        peer, future = self.waiting()
        number = peer.host.started[0].instance_id
        peer.host.log_statuses = frozenset()
        ahead = encode_frame(event(number, 50)) * 5_000
        feed(peer.connection, ahead)
        assert not peer.transport.reading
        future.set_result(None)
        for _ in range(5_000 // FRAMES_A_TURN):
            await asyncio.sleep(0)
            assert not peer.transport.reading
        await asyncio.sleep(0)
        assert peer.transport.reading
        assert len(peer.transport.frames()) == 2 + 2 * 5_000

    async def test_a_peer_that_goes(self) -> None:
        peer, future = self.waiting()
        peer.connection.connection_lost(ConnectionResetError())
        assert peer.faults == {"peer_gone": 1}
        future.set_exception(OSError())
        await asyncio.sleep(0)
        assert not peer.setup.server._context.deadlines
        assert peer.transport.taken() == b""


class TestHoldingBack:
    def test_a_peer_that_does_not_read_is_not_served(self) -> None:
        peer = Peer()
        number = peer.start()
        peer.connection.pause_writing()
        assert peer.send(event(number, 5), event(number, 6)) == []
        peer.connection.resume_writing()
        assert peer.transport.frames() == [b"", encode_echo(5), b"", encode_echo(6)]

    def test_a_peer_that_stands_still_in_a_frame_is_cut(self) -> None:
        peer = Peer()
        feed(peer.connection, encode_frame(b"x" * 10)[:7])
        for _ in range(5):
            peer.connection.sweep(3)
        assert peer.transport.aborted
        assert peer.faults["stalled"] >= 1

    def test_so_is_one_that_owes_an_answer(self) -> None:
        peer = Peer(RecordingHost(429))
        peer.event(peer.start())
        for _ in range(5):
            peer.connection.sweep(3)
        assert peer.transport.aborted

    def test_one_that_trickles_or_is_idle_is_not(self) -> None:
        peer = Peer()
        for _ in range(5):
            peer.connection.sweep(3)
        for byte in encode_frame(b"x" * 10):
            feed(peer.connection, bytes([byte]))
            peer.connection.sweep(3)
        for _ in range(5):
            peer.connection.sweep(3)
        assert not peer.transport.aborted

    @pytest.mark.parametrize("says", [b"", b"x"])
    def test_one_that_we_have_ended_is_cut_without_a_word(self, says: bytes) -> None:
        peer = Peer()
        peer.connection.end_when_idle()
        for _ in range(5):
            feed(peer.connection, says)
            peer.connection.sweep(3)
        assert peer.transport.aborted
        assert peer.faults == {}

    def test_what_finds_no_place_in_the_socket_goes_after_it_in_order(self) -> None:
        peer = Peer(RecordingHost(429))
        number = peer.start()
        calls = [part for sequence in range(1, 6) for part in (event(number, sequence), OK)]
        peer.transport.room = 50  # in the middle of a question
        feed(peer.connection, b"".join(map(encode_frame, calls)))
        assert peer.transport.kept
        peer.transport.flush()
        expected = [part for sequence in range(1, 6) for part in (*STATUS_FRAMES, b"", encode_echo(sequence))]
        assert peer.transport.frames() == expected
        assert peer.send(event(number, 9)) == STATUS_FRAMES  # straight into the socket again
        assert not peer.transport.kept

    def test_a_peer_that_goes_while_we_write(self) -> None:
        peer = Peer()
        number = peer.start()
        peer.transport.aborted = True
        for sequence in (1, 2):
            feed(peer.connection, encode_frame(event(number, sequence)))
        assert peer.transport.taken() == b""
        assert peer.faults == {}


class TestMarks:
    """What the supervisor reads where the worker was killed: Kong waits on a connection, or may use it again."""

    def mark(self, peer: Peer) -> int:
        return peer.setup.server._context.marks[SLOT]

    async def test_a_call_is_under_way_until_its_answer_has_left(self) -> None:
        future: Future[Any] = asyncio.get_running_loop().create_future()
        peer = Peer(RecordingHost(429, accept=lambda seen: future))
        number = peer.start()
        assert self.mark(peer) == IDLE
        peer.event(number)
        assert self.mark(peer) == UNDER_WAY
        peer.send(LIMITED)
        peer.send(string(b"{}"))
        assert self.mark(peer) == UNDER_WAY
        future.set_result(None)
        await asyncio.sleep(0)
        assert peer.transport.frames() == peer.end
        assert self.mark(peer) == IDLE
        peer.event(number)  # whose meaning is known by now
        assert self.mark(peer) == UNDER_WAY
        peer.send(OK)
        assert self.mark(peer) == IDLE

    def test_it_is_marked_before_it_is_read(self) -> None:
        """A worker killed between the two would leave a call that nobody knows of."""
        peer = Peer()
        peer.connection.get_buffer(-1)
        assert self.mark(peer) == UNDER_WAY

    def test_half_a_call_is_one_under_way(self) -> None:
        peer = Peer()
        number = peer.start()
        call = encode_frame(event(number, 5))
        for data, mark in ((call[:6], UNDER_WAY), (call[6:], IDLE), (call + call[:3], UNDER_WAY), (call[3:], IDLE)):
            feed(peer.connection, data)
            assert self.mark(peer) == mark

    def test_an_answer_that_waits_is_one_under_way(self) -> None:
        peer = Peer()
        number = peer.start()
        peer.transport.room = 5
        feed(peer.connection, encode_frame(event(number, 5)))
        assert self.mark(peer) == UNDER_WAY
        peer.transport.flush()
        feed(peer.connection, encode_frame(event(number, 6)))
        assert self.mark(peer) == IDLE


class TestTheEnd:
    def test_who_comes_while_we_drain_is_ended(self) -> None:
        peer = Peer()
        peer.setup.server._draining = True
        _, transport = peer.another()
        assert transport.ended

    def test_an_idle_connection_ends_at_once(self) -> None:
        peer = Peer()
        peer.connection.end_when_idle()
        assert peer.transport.ended
        assert not peer.transport.aborted

    def test_one_with_half_a_call_after_its_other_half(self) -> None:
        """Kong does not repeat a start whose connection ends: it raises, and the client may get a 500."""
        peer = Peer()
        call = encode_frame(start("event-hooks", b"{}"))
        feed(peer.connection, call[:4])
        peer.connection.end_when_idle()
        assert not peer.transport.ended
        feed(peer.connection, call[4:])
        assert len(peer.transport.frames()) == 1
        assert peer.transport.ended

    def test_a_busy_one_after_its_call(self) -> None:
        peer = Peer(RecordingHost(429))
        peer.event(peer.start())
        peer.connection.end_when_idle()
        assert not peer.transport.ended
        assert peer.send(OK) == peer.end
        assert peer.transport.ended
        feed(peer.connection, encode_frame(b"x"))
        peer.connection.connection_lost(None)
        assert not peer.faults

    def test_a_call_that_dies_closes_its_phase(self) -> None:
        peer = Peer(RecordingHost(429))
        peer.event(peer.start())
        peer.send(LIMITED)
        steps = peer.connection._phase._steps
        assert steps is not None
        peer.connection.connection_lost(None)
        assert steps.gi_frame is None  # type: ignore[attr-defined]
        assert peer.faults == {"peer_gone": 1}


# ---- whatever comes, in whatever pieces ----

CONFIG = st.binary(max_size=LIMIT + 200)
KNOWN = 70_001


def start(name: str, config: bytes) -> bytes:
    command = pb.CmdStartInstance(name=name, config=config)
    return pb.RpcCall(sequence=9, cmd_start_instance=command).SerializeToString()


def close(instance_id: int) -> bytes:
    return pb.RpcCall(cmd_close_instance=pb.CmdCloseInstance(instance_id=instance_id)).SerializeToString()


def status(instance_id: int) -> bytes:
    return pb.RpcCall(cmd_get_instance_status=pb.CmdGetInstanceStatus(instance_id=instance_id)).SerializeToString()


SEQUENCES = st.integers(0, 2**63 - 1)
CALLS = st.one_of(
    st.builds(event, st.just(KNOWN), SEQUENCES, first=st.booleans(), phase=st.sampled_from(["log", "x"])),
    st.builds(start, st.sampled_from([*INFOS, "nobody"]), CONFIG),
    st.builds(close, st.integers(0, 9)),
    st.builds(status, st.just(KNOWN)),
    st.binary(max_size=60),
)


def others_are_served(peer: Peer, number: int) -> None:
    """Hold that another connection gets its answers, and that the host was not harmed."""
    peer.host.log_statuses = frozenset()
    connection, transport = peer.another()
    feed(connection, encode_frame(event(number, 77)))
    assert transport.frames() == [b"", encode_echo(77)]


@given(st.lists(CALLS, max_size=6), st.lists(st.integers(min_value=0), max_size=12), st.integers(min_value=0))
def test_any_calls_in_any_pieces(calls: list[bytes], cuts: list[int], cut: int) -> None:
    """Every call has an answer, the same whatever the pieces; a peer that goes in the middle takes nothing along."""
    whole, pieces = Peer(base=KNOWN - 1), Peer(base=KNOWN - 1)
    number = whole.start()
    assert pieces.start() == number == KNOWN
    expected = b""
    for call in calls:
        feed(whole.connection, encode_frame(call))
        answer = whole.transport.taken()
        assert frames_of(answer), call
        expected += answer
    data = b"".join(map(encode_frame, calls))
    for piece in split(data, cuts):
        feed(pieces.connection, piece)
    assert pieces.transport.taken() == expected
    assert not pieces.connection.busy
    cut_off = Peer(base=KNOWN - 1)
    cut_off.start()
    feed(cut_off.connection, data[: cut % (len(data) + 1)])
    cut_off.connection.connection_lost(None)
    others_are_served(cut_off, KNOWN)


@given(st.binary(max_size=400), st.lists(st.integers(min_value=0), max_size=8))
def test_garbage(garbage: bytes, cuts: list[int]) -> None:
    peer = Peer()
    number = peer.start()
    for piece in split(garbage, cuts):
        feed(peer.connection, piece)
    frames_of(peer.transport.taken())
    peer.connection.connection_lost(None)
    others_are_served(peer, number)


REPLIES = st.one_of(st.sampled_from([LIMITED, OK, b"", string(b"{}"), b"x" * (LIMIT + 5)]), st.binary(max_size=30))


@given(st.lists(REPLIES, min_size=1, max_size=6), st.lists(st.integers(min_value=0), max_size=8), st.booleans())
def test_any_answers_in_any_pieces(answers: list[bytes], cuts: list[int], gone: bool) -> None:
    """Whatever Kong's side answers, in whatever pieces, the call ends once and the next one is served."""
    peer = Peer(RecordingHost(429))
    number = peer.start()
    for answer in answers:
        if not peer.connection.busy:
            peer.event(number)
        for piece in split(encode_frame(answer), cuts):
            feed(peer.connection, piece)
        replied = peer.transport.frames()
        assert replied in (LOG_FRAMES, peer.end)
        assert peer.connection.busy == (replied == LOG_FRAMES)
    if gone:
        peer.connection.connection_lost(None)
    others_are_served(peer, number)

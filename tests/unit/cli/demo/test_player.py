"""The player: against a server that plays the other side of the same recording, and against servers that misbehave."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from kong_eventhooks_plugin.cli.demo.player import Player
from kong_eventhooks_plugin.cli.demo.recording import RecordedCall, renumber
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.frames import encode_frame
from tests.support.recordings import NAMES, recording
from tests.support.waiting import SECONDS

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4), "little")
    return await reader.readexactly(size)


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "kong.sock"
        tasks: list[asyncio.Task[None]] = []

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            finally:
                writer.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(asyncio.ensure_future(one(reader, writer)))

        listening = await asyncio.start_unix_server(accept, path)
        try:
            yield path
        finally:
            listening.close()
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SECONDS)


class OtherSide:
    """The recording's server: says what it said, and compares what Kong says."""

    def __init__(self, calls: list[RecordedCall]) -> None:
        self.calls = iter(calls)
        self.errors: list[str] = []
        self.sequences: list[tuple[int, int]] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                frame = await read_frame(reader)
                recorded = next(self.calls)
                said, meant = pb.RpcCall.FromString(frame), recorded.message()
                self.sequences.append((said.sequence, meant.sequence))
                if getattr(said, recorded.call) != getattr(meant, recorded.call):
                    self.errors.append(f"{said} is not {meant}")
                for kept in recorded.frames[1:-1]:
                    if kept.sender == "server":
                        writer.write(encode_frame(kept.payload))
                    elif (answer := await read_frame(reader)) != kept.payload:
                        self.errors.append(f"{answer!r} is not {kept.payload!r}")
                returned = pb.RpcReturn.FromString(recorded.frames[-1].payload)
                returned.sequence = said.sequence
                writer.write(encode_frame(returned.SerializeToString()))
        except asyncio.IncompleteReadError:
            writer.close()


@pytest.mark.parametrize("name", NAMES)
async def test_it_says_what_kong_said(name: str) -> None:
    calls = recording(name)
    other_side = OtherSide(calls)
    lines: list[tuple[str, str]] = []
    async with server(other_side) as path:
        player = Player(path, on_log=lambda *line: lines.append(line))
        played = await player.play(calls)
        player.close()
    assert other_side.errors == []
    assert (played.answered, played.again, played.lost) == (len(calls), 0, [])
    assert other_side.connections == 1
    ours, kongs = map(sorted, zip(*other_side.sequences, strict=True))
    # Kong counts for each plugin; two of its calls crossed on their way, and one never came.
    assert all(kong - our in (0, 1) for our, kong in zip(ours, kongs, strict=True))
    logged = sum(
        ("kong.log.notice", b"\n&\x1a$event-hooks says: |multi\nline| hello") in call.answers() for call in calls
    )
    assert lines == [("notice", "event-hooks says: |multi\nline| hello")] * logged


async def test_a_replaced_configuration_keeps_kongs_own_keys() -> None:
    configs: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = pb.RpcCall.FromString(await read_frame(reader))
        configs.append(call.cmd_start_instance.config)
        writer.write(encode_frame(pb.RpcReturn(sequence=call.sequence).SerializeToString()))
        writer.close()

    async with server(serve) as path:
        player = Player(path, configs={"event-hooks": {"hooks": []}})
        await player.play(recording("proxy-traffic")[:1])
        player.close()
    assert configs[0].startswith(b'{"hooks":[],"__plugin_id":"')


class TestAServerThatMisbehaves:
    async def test_nobody_there(self, tmp_path: Path) -> None:
        player = Player(tmp_path / "none.sock")
        played = await player.play(recording("proxy-traffic")[:2])
        assert played.answered == 0
        assert [(lost.plugin, lost.phase) for lost in played.lost] == [("event-hooks", ""), ("event-hooks", "log")]
        assert all("No such file" in lost.why for lost in played.lost)

    async def test_an_end_means_forget_and_call_again(self) -> None:
        """The first server answers the start and ends at the event; the next one has never heard of the instance."""
        heard: list[str | None] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    call = pb.RpcCall.FromString(await read_frame(reader))
                    kind = call.WhichOneof("call")
                    heard.append(kind)
                    status = pb.InstanceStatus(instance_id=5)
                    answer = pb.RpcReturn(sequence=call.sequence, instance_status=status).SerializeToString()
                    if heard.count("cmd_handle_event") == 1 and kind == "cmd_handle_event":
                        writer.close()
                        return
                    writer.write((encode_frame(b"") if kind == "cmd_handle_event" else b"") + encode_frame(answer))
            except asyncio.IncompleteReadError:
                writer.close()

        async with server(serve) as path:
            player = Player(path)
            played = await player.play(recording("proxy-traffic")[:2])
            player.close()
        assert heard == ["cmd_start_instance", "cmd_handle_event", "cmd_start_instance", "cmd_handle_event"]
        assert (played.answered, played.again, played.lost) == (2, 1, [])

    async def test_one_that_always_ends_is_given_up(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_frame(reader)
            writer.close()

        async with server(serve) as path:
            player = Player(path, attempts=3)
            played = await player.play(recording("proxy-traffic")[:1])
        assert (played.answered, played.again) == (0, 3)
        assert played.lost[0].why == "closed 3 times"

    async def test_a_reset_loses_the_call(self) -> None:
        """Kong takes a reset for an error and does not call again; an end would have made it."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(2)
            writer.transport.pause_reading()
            await asyncio.sleep(0)
            writer.transport.abort()

        async with server(serve) as path:
            player = Player(path)
            calls = recording("proxy-traffic")[:1]
            big = RecordedCall(
                "cmd_start_instance", 1, calls[0].frames, name="event-hooks", config={"__pad": "x" * 1_000_000}
            )
            player._configs["event-hooks"] = {}
            played = await player.play([big])
        assert (played.answered, played.again, len(played.lost)) == (0, 0, 1)

    @pytest.mark.parametrize("wrong", ["sequence", "function", "garbage"])
    async def test_a_wrong_answer_loses_the_call(self, wrong: str) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError):
                while True:
                    call = pb.RpcCall.FromString(await read_frame(reader))
                    answer = pb.RpcReturn(sequence=call.sequence + (wrong == "sequence")).SerializeToString()
                    if wrong == "garbage":
                        answer = b"\xff\xff"
                    elif wrong == "function" and call.WhichOneof("call") == "cmd_handle_event":
                        writer.write(encode_frame(b"kong.request.get_body"))
                        answer = b""
                    writer.write(encode_frame(answer))

        async with server(serve) as path:
            player = Player(path)
            played = await player.play(recording("proxy-traffic")[:2])
            player.close()
        assert len(played.lost) == (1 if wrong == "function" else 2)


def test_renumbered_calls_are_new_requests_and_stay_together() -> None:
    calls = recording("proxy-traffic")
    new = renumber(calls, 2_000_000_000.0)
    before = [call.pdk["kong.log.serialize"] for call in calls if "kong.log.serialize" in call.pdk]
    after = [call.pdk["kong.log.serialize"] for call in new if "kong.log.serialize" in call.pdk]
    assert len({log["request"]["id"] for log in after}) == len({log["request"]["id"] for log in before}) > 5
    assert not {log["request"]["id"] for log in after} & {log["request"]["id"] for log in before}
    assert max(log["started_at"] for log in after) == 2_000_000_000_000
    gaps = {new["started_at"] - old["started_at"] for new, old in zip(after, before, strict=True)}
    assert len(gaps) == 1
    for old, log in zip(before, after, strict=True):
        assert log["response"]["headers"].get("x-kong-request-id") in (None, log["request"]["id"])
        assert {**log, "request": 0, "response": 0, "started_at": 0} == {
            **old,
            "request": 0,
            "response": 0,
            "started_at": 0,
        }
    for call in new:
        answer = call.answers().get(("kong.log.serialize", b""))
        if answer is not None:
            assert call.pdk["kong.log.serialize"]["request"]["id"] in pb.String.FromString(answer).v

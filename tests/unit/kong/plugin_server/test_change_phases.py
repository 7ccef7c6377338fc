"""The response phase of event-hooks-crud: what it asks, what it tells, and what no answer of Kong's can do to it."""

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.cli.demo.player import Player
from kong_eventhooks_plugin.cli.demo.recording import RecordedCall
from kong_eventhooks_plugin.errors import BadMessage
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.kong_pdk_adapter import KongPdkServer
from kong_eventhooks_plugin.kong.plugin_server.phases import PHASES, READS, all_steps
from kong_eventhooks_plugin.kong.wire import pluginsocket_pb2 as pb
from kong_eventhooks_plugin.kong.wire.calls import encode_echo
from kong_eventhooks_plugin.kong.wire.frames import FRAME_BYTES, encode_frame
from kong_eventhooks_plugin.model.observation import ChangeObservation, ChangeTarget
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.kong_node.answers import (
    ADMIN_PATH,
    ADMIN_STATUS,
    BODY,
    CONSUMER,
    CREDENTIAL,
    IP,
    METHOD,
    NOT_RECORDED,
    OF_A_CHANGE,
    PATH,
    REQUEST_ID,
    STARTED_AT,
    USER_AGENT,
    Frame,
    change,
    frame,
    question,
    split_call,
    string,
    with_answers,
)
from tests.kong_node.msgpack_kong import MsgpackKong, PdkError
from tests.kong_node.node import CRUD, KongNode
from tests.support.peer import LIMIT, Peer, event, feed, split
from tests.support.plugin_socket import INFOS, NOW, RecordingHost, serving
from tests.support.recordings import NAMES, recording
from tests.support.sampling import sample

OPERATOR = {"id": "bc8ce5d1", "username": "operator", "custom_id": "op-1"}
GRACE = change(
    "PATCH", "/consumers/grace?x=1", 200, b'{"id":"5"}',
    consumer={**OPERATOR, "created_at": 1795278538, "tags": ["navy"]}, user_agent="deck/1.40", ip="10.0.0.7",
)  # fmt: skip
SEEN = ChangeObservation(
    method="PATCH",
    path="/consumers/grace?x=1",
    status=200,
    body=b'{"id":"5"}',
    started_at=1795278811.078,
    seen_at=NOW,
    consumer=OPERATOR,
    credential="0d7fe2e8-f1a5-4d98-b660-0539a3718d67",
    ip="10.0.0.7",
    user_agent="deck/1.40",
    request_id="c7e44e0716217c2d0c748b453d84bc77",
    target=ChangeTarget(wants_answer=True),
)
UNREADABLE = object()


def written(name: str, args: tuple[Any, ...]) -> str:
    return f"{name}({args[0]})" if args else name


def drive(host: RecordingHost, answers: Mapping[str, Any]) -> tuple[list[str], Any]:
    """Run the phase by hand; return what it asked and what it saw. ``UNREADABLE`` is thrown as a driver does."""
    asked: list[str] = []
    steps = all_steps(PHASES[CRUD, "response"], host.plugin_host(), lambda: NOW)
    if steps is None:
        return asked, None
    try:
        ask = next(steps)
        while True:
            asked.append(written(ask.name, ask.args))
            answer = answers.get(asked[-1])
            ask = steps.throw(BadMessage("too long")) if answer is UNREADABLE else steps.send(answer)
    except StopIteration as done:
        return asked, done.value


class TestByHand:
    def test_nobody_hears_nothing_is_asked(self) -> None:
        assert all_steps(PHASES[CRUD, "response"], RecordingHost(429).plugin_host(), lambda: NOW) is None

    def test_a_change(self) -> None:
        assert drive(RecordingHost(hears_changes=True), GRACE) == (list(OF_A_CHANGE), SEEN)

    @pytest.mark.parametrize("method", sorted(READS))
    def test_a_read_costs_one_question(self, method: str) -> None:
        assert drive(RecordingHost(hears_changes=True), change(method)) == ([METHOD], None)

    @pytest.mark.parametrize("status", [100, 199, 300, 301, 304, 400, 401, 404, 405, 409, 500, 503])
    def test_what_the_admin_api_did_not_take(self, status: int) -> None:
        assert drive(RecordingHost(hears_changes=True), change(status=status)) == ([METHOD, ADMIN_STATUS], None)

    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_what_it_took(self, status: int) -> None:
        assert drive(RecordingHost(hears_changes=True), change(status=status))[1].status == status

    def test_what_changes_nothing_that_anybody_asks_about(self) -> None:
        seen = drive(RecordingHost(hears_changes=True), change(path="/status/x"))
        assert seen == ([METHOD, ADMIN_STATUS, ADMIN_PATH], None)

    def test_an_answer_that_nobody_wants_is_not_asked_for(self) -> None:
        host = RecordingHost(hears_changes=True)
        asked, seen = drive(host, change("DELETE", body=b"unheard"))
        assert asked == [each for each in OF_A_CHANGE if each != BODY]
        assert seen.body is None

    def test_the_host_is_asked_with_the_path_that_the_admin_api_had(self) -> None:
        host, heard = RecordingHost(hears_changes=True), []
        host.change_target = lambda *said: heard.append(said)  # type: ignore[method-assign,assignment]
        drive(host, GRACE)
        assert heard == [("PATCH", "/consumers/grace?x=1")]

    @pytest.mark.parametrize("nothing", [None, "", UNREADABLE])
    def test_without_it_the_clients_path_has_to_do(self, nothing: Any) -> None:
        asked, seen = drive(RecordingHost(hears_changes=True), {**GRACE, ADMIN_PATH: nothing, PATH: "/admin/consumers"})
        assert asked[2:4] == [ADMIN_PATH, PATH]
        assert seen.path == "/admin/consumers"

    @pytest.mark.parametrize("nothing", [None, UNREADABLE])
    def test_a_change_is_told_without_what_kong_does_not_say(self, nothing: Any) -> None:
        """An oversized body, an anonymous client: the change was made all the same."""
        said = {**GRACE, **dict.fromkeys(OF_A_CHANGE[3:], nothing)}
        asked, seen = drive(RecordingHost(hears_changes=True), said)
        assert asked == list(OF_A_CHANGE)
        assert seen == ChangeObservation("PATCH", "/consumers/grace?x=1", 200, None, NOW, NOW, target=SEEN.target)

    @pytest.mark.parametrize("missing", [METHOD, ADMIN_STATUS])
    @pytest.mark.parametrize("nothing", [None, UNREADABLE])
    def test_without_these_there_is_no_change(self, missing: str, nothing: Any) -> None:
        with pytest.raises(BadMessage):
            drive(RecordingHost(hears_changes=True), {**GRACE, missing: nothing})

    @pytest.mark.parametrize("nothing", [None, UNREADABLE])
    def test_nor_without_any_path(self, nothing: Any) -> None:
        with pytest.raises(BadMessage):
            drive(RecordingHost(hears_changes=True), {**GRACE, ADMIN_PATH: None, PATH: nothing})

    def test_bytes_and_text_are_taken_either_way(self) -> None:
        """Over MsgPack:1 text that is not UTF-8 comes as bytes, and a body may come as text."""
        said = {**GRACE, USER_AGENT: b"b\xffd", BODY: "{\udcff}", METHOD: b"PATCH"}
        seen = drive(RecordingHost(hears_changes=True), said)[1]
        assert (seen.method, seen.user_agent, seen.body) == ("PATCH", "b\ufffdd", b"{\xff}")

    @pytest.mark.parametrize("consumer", [{}, {"id": ""}, {"id": 5}, {"username": "nobody"}, "x"])
    def test_a_consumer_without_an_id_is_none(self, consumer: Any) -> None:
        assert drive(RecordingHost(hears_changes=True), {**GRACE, CONSUMER: consumer})[1].consumer is None

    def test_only_so_much_of_a_consumer_and_a_credential_is_told(self) -> None:
        said = {**GRACE, CONSUMER: {"id": "i", "custom_id": None, "tags": ["x"]}, CREDENTIAL: {"id": "c", "key": "s3"}}
        seen = drive(RecordingHost(hears_changes=True), said)[1]
        assert (seen.consumer, seen.credential) == ({"id": "i", "username": None, "custom_id": None}, "c")


# ---- the recordings, through a real socket, over both protocols ----

CHANGES = [
    "POST /consumers", "POST /consumers", "PATCH /consumers/grace", "PUT /consumers/grace", "PUT /consumers/newbie",
    "POST /consumers/grace/key-auth", "POST /consumers/grace/acls", "POST /consumers/grace/basic-auth",
    "PATCH /consumers/grace/key-auth/k1", "DELETE /consumers/grace/acls/admins", "POST /services",
    "PATCH /services/svc", "POST /services/svc/routes", "POST /routes/rt/plugins", "PATCH /routes/rt",
    "PATCH /services/svc", "POST /upstreams", "POST /upstreams/up1/targets",
    "PATCH /upstreams/up1/targets/127.0.0.1:9190", "DELETE /upstreams/up1/targets/127.0.0.1:9190",
    "POST /upstreams/up1/targets", "DELETE /upstreams/up1", "POST /key-sets", "POST /vaults",
    "PUT /plugins/7e7e7e7e-7e7e-4e7e-8e7e-7e7e7e7e7e7e", "DELETE /plugins/7e7e7e7e-7e7e-4e7e-8e7e-7e7e7e7e7e7e",
    "POST /schemas/plugins/validate", "DELETE /consumers/grace", "DELETE /consumers/grace", "DELETE /routes/rt",
    "DELETE /services/svc", "DELETE /certificates/630188fa-d753-4058-8331-aece6ebc5408",
]  # fmt: skip
"""What of the recorded requests the Admin API took and may have changed something, as far as a phase can tell."""

EXPECTED = {"proxy-traffic": [], "admin-crud": CHANGES, "dbless-config-reload": ["POST /config"]}


class Served(NamedTuple):
    """A plugin server on a real socket. ``play`` runs a recorded call, ``respond`` the response phase."""

    metrics: Metrics
    play: Callable[[RecordedCall], Awaitable[Any]]
    respond: Callable[[Mapping[str, Any]], Awaitable[Any]]

    @property
    def asked(self) -> dict[str, int]:
        return {name: count for (name,), count in self.metrics.counts.pdk_calls.items()}

    @property
    def faults(self) -> dict[str, int]:
        return {reason: count for (reason,), count in self.metrics.counts.socket_errors.items()}


@asynccontextmanager
async def over_protobuf(host: RecordingHost) -> AsyncIterator[Served]:
    async with serving(host) as setup, KongNode(setup.path) as kong:
        player = Player(setup.path)

        async def play(call: RecordedCall) -> None:
            assert await player.make(with_answers(call, NOT_RECORDED))

        async def respond(answers: Mapping[str, Any]) -> None:
            assert await kong.respond(answers)

        try:
            yield Served(setup.metrics, play, respond)
        finally:
            player.close()


@asynccontextmanager
async def over_msgpack(host: RecordingHost) -> AsyncIterator[Served]:
    metrics = Metrics()
    server = KongPdkServer(host.plugin_host(), metrics, PluginInstances(lambda: NOW), INFOS, clock=lambda: NOW)
    with tempfile.TemporaryDirectory() as made, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{made}/s")
        listening.listen()
        await server.serve(listening)
        async with MsgpackKong(Path(made) / "s") as kong:

            async def play(call: RecordedCall) -> None:
                if call.call == "cmd_handle_event":
                    await run(call.plugin, call.phase, {**NOT_RECORDED, **call.pdk})

            async def respond(answers: Mapping[str, Any]) -> None:
                await run(CRUD, "response", answers)

            async def run(plugin: str, phase: str, answers: Mapping[str, Any]) -> None:
                await kong.run_phase(plugin, phase, lambda name, args: said(answers, written(name, tuple(args))))
                if kong.errors:
                    raise ConnectionError(kong.errors.pop())

            yield Served(metrics, play, respond)
        await server.drain(0.2)


def said(answers: Mapping[str, Any], function: str) -> Any:
    """Return what Kong packs: bytes for a body, whatever the recording has."""
    value = answers[function]
    if isinstance(value, Exception):
        raise value
    if function == "kong.log.serialize":
        return msgspec.json.encode(value).decode()
    return value.encode() if function == BODY and isinstance(value, str) else value


PROTOCOLS = pytest.mark.parametrize("over", [over_protobuf, over_msgpack])


@PROTOCOLS
@pytest.mark.parametrize("name", NAMES)
async def test_a_recording(over: Any, name: str) -> None:
    """Each request that the Admin API took is one observation, exactly as recorded, and no other is one."""
    host = RecordingHost(hears_changes=True)
    async with over(host) as served:
        for call in recording(name):
            before = len(host.changes), sum(served.asked.values())
            await served.play(call)
            if call.phase == "response":
                told, asked = len(host.changes) - before[0], sum(served.asked.values()) - before[1]
                holds_what_was_recorded(call, host.changes[-1] if told else None)
                assert asked == questions(call.pdk, told)
            else:
                assert len(host.changes) == before[0]
        assert [f"{seen.method} {seen.path}" for seen in host.changes] == EXPECTED[name]
        assert served.faults == {}


def questions(pdk: Mapping[str, Any], told: int) -> int:
    """Return how many questions a request is worth."""
    if pdk[METHOD] in READS:
        return 1
    return len(OF_A_CHANGE) - (pdk[METHOD] == "DELETE") if told else 2


def holds_what_was_recorded(call: RecordedCall, seen: ChangeObservation | None) -> None:
    """Hold an observation against its recording."""
    if seen is None:
        return
    body = call.pdk[BODY].encode() if call.pdk[METHOD] != "DELETE" else b""
    assert seen == ChangeObservation(
        method=call.pdk[METHOD],
        path=call.pdk[ADMIN_PATH],
        status=call.pdk[ADMIN_STATUS],
        body=body or None,
        started_at=NOT_RECORDED[STARTED_AT],
        seen_at=NOW,
        credential=NOT_RECORDED[CREDENTIAL]["id"],
        ip="127.0.0.1",
        user_agent="curl/7.88.1",
        request_id=NOT_RECORDED[REQUEST_ID],
        target=ChangeTarget(wants_answer=call.pdk[METHOD] != "DELETE"),
    )


@PROTOCOLS
async def test_a_change_and_who_made_it(over: Any) -> None:
    host = RecordingHost(hears_changes=True)
    async with over(host) as served:
        await served.respond(GRACE)
        assert host.changes == [SEEN]
        assert host.seen == []
        assert served.asked == {
            "kong.nginx.get_var": 2,
            **{split_call(each)[0]: 1 for each in OF_A_CHANGE if "get_var" not in each},
        }
        await served.respond(change(body=b"\x1f\x8b\x00\xff", consumer=None, credential=None))
        assert host.changes[1].body == b"\x1f\x8b\x00\xff"  # compressed, say: whoever reads it unpacks it
        assert (host.changes[1].consumer, host.changes[1].credential) == (None, None)


@PROTOCOLS
async def test_a_read_costs_one_call(over: Any) -> None:
    host = RecordingHost(hears_changes=True)
    async with over(host) as served:
        await served.respond(change("GET"))
        assert served.asked == {METHOD: 1}
        host.has_change_subscribers = False
        await served.respond(change("POST"))
        assert served.asked == {METHOD: 1}
        assert host.changes == []


@PROTOCOLS
@pytest.mark.parametrize("fails", ["change_target", "observe_change"])
async def test_a_bug_in_the_host_does_not_reach_kong(over: Any, fails: str) -> None:
    def boom(*_: object) -> None:
        raise RuntimeError("bug")

    host = RecordingHost(hears_changes=True)
    setattr(host, fails, boom)
    async with over(host) as served:
        await served.respond(GRACE)
        await served.respond(GRACE)
        assert served.faults == {"internal_error": 2}
        delattr(host, fails)
        await served.respond(GRACE)
        assert host.changes == [SEEN]


# ---- answers that cannot be ----

LEFT_OUT = {
    BODY: {"body": None},
    CONSUMER: {"consumer": None},
    CREDENTIAL: {"credential": None},
    IP: {"ip": None},
    USER_AGENT: {"user_agent": None},
    REQUEST_ID: {"request_id": None},
    STARTED_AT: {"started_at": NOW},
    ADMIN_PATH: {"path": "/admin/consumers"},
}
"""A question that a change can do without, and what is told where its answer is none."""

WRONG = {"empty": b"", "another type": b"\x10\x05", "cut off": b"\x0a\x7fabc", "garbage": b"\xff\xff\xff",
         "oversized": b"x" * (LIMIT + 1)}  # fmt: skip
FAULT = {"empty": None, "oversized": "oversized"}


def respond(peer: Peer, number: int, answers: Mapping[str, Any]) -> list[str]:
    """Run the phase over the connection; return what was asked, once it has ended."""
    asked = []
    told = peer.event(number, "response")
    names = {tuple(question(each)): each for each in (*OF_A_CHANGE, PATH)}
    while told != peer.end:
        asked.append(names[tuple(told)])
        told = peer.send(frame(asked[-1], answers[asked[-1]]))
    assert not peer.connection.busy
    return asked


@pytest.mark.parametrize("asked", OF_A_CHANGE)
def test_an_answer_that_cannot_be(asked: str) -> None:
    """The call is finished, the fault counted, the next one served; a change that is known is told."""
    for wrong, answer in WRONG.items():
        peer = Peer(RecordingHost(hears_changes=True))
        number = peer.start(CRUD)
        respond(peer, number, {**GRACE, PATH: "/admin/consumers", asked: Frame(answer)})
        known = asked in LEFT_OUT
        told = [msgspec.structs.replace(SEEN, **LEFT_OUT[asked])] if known else []
        assert peer.host.changes == told, wrong
        fault = FAULT.get(wrong, "pdk_answer") or (None if known else "pdk_answer")
        assert peer.faults == ({fault: 1} if fault else {}), wrong
        respond(peer, number, GRACE)
        assert peer.host.changes[-1] == SEEN, wrong


@pytest.mark.parametrize("wrong", WRONG)
def test_no_path_at_all(wrong: str) -> None:
    peer = Peer(RecordingHost(hears_changes=True))
    answers = {**GRACE, ADMIN_PATH: None, PATH: Frame(WRONG[wrong])}
    assert respond(peer, peer.start(CRUD), answers) == [METHOD, ADMIN_STATUS, ADMIN_PATH, PATH]
    assert peer.host.changes == []
    assert peer.faults == {FAULT.get(wrong, "pdk_answer") or "pdk_answer": 1}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_time_that_is_none(number: float) -> None:
    peer = Peer(RecordingHost(hears_changes=True))
    respond(peer, peer.start(CRUD), {**GRACE, STARTED_AT: number})
    assert peer.host.changes[0].started_at == NOW
    assert peer.faults == {"pdk_answer": 1}


async def test_a_body_over_the_limit_on_a_real_socket() -> None:
    host = RecordingHost(hears_changes=True)
    async with serving(host, frame_bytes=200_000) as setup, KongNode(setup.path) as kong:
        assert await kong.respond({**GRACE, BODY: b"x" * 300_000})
        assert await kong.respond({**GRACE, BODY: b"x" * 150_000})
        assert [seen.body and len(seen.body) for seen in host.changes] == [None, 150_000]
        assert host.changes[0].consumer == OPERATOR
        assert setup.faults() == {"oversized": 1}


async def test_a_body_over_the_limit_over_msgpack_is_not_told_and_harms_nobody() -> None:
    """Nothing says which event it belonged to; Kong logs it, and a round finds the change."""
    host = RecordingHost(hears_changes=True)
    async with over_msgpack(host) as served:
        with pytest.raises(ConnectionError, match="no data"):
            await served.respond({**GRACE, BODY: b"x" * (FRAME_BYTES + 1)})
        assert host.changes == []
        assert served.faults == {"bad_call": 1}
        await served.respond(GRACE)
        assert host.changes == [SEEN]


@pytest.mark.parametrize("at", range(len(OF_A_CHANGE)))
def test_a_connection_that_ends_at_a_question_takes_the_change_along(at: int) -> None:
    """Where we cut it Kong calls again, and the change would be told twice; a round finds it."""
    peer = Peer(RecordingHost(hears_changes=True))
    number = peer.start(CRUD)
    peer.event(number, "response")
    for each in OF_A_CHANGE[:at]:
        peer.send(frame(each, GRACE[each]))
    feed(peer.connection, encode_frame(frame(OF_A_CHANGE[at], GRACE[OF_A_CHANGE[at]]))[:-1])
    peer.connection.connection_lost(None)
    assert peer.host.changes == []
    assert peer.faults == {"peer_gone": 1}
    assert not peer.connection.busy


@pytest.mark.parametrize("step", sample([11, 3], 2))
async def test_cut_at_every_byte(step: int) -> None:
    host = RecordingHost(hears_changes=True)
    async with serving(host) as setup, KongNode(setup.path) as kong:
        await kong.respond(GRACE)
        sent = sum(len(encode_frame(frame(each, GRACE[each]))) for each in OF_A_CHANGE)
        for after in range(1, sent + 20, step):
            told = len(host.changes)
            with kong.links.cut(after):
                await kong.respond(GRACE)
            assert len(host.changes) - told <= 1
            assert await kong.respond(GRACE), after
            assert host.changes[-1] == SEEN
        assert set(setup.faults()) <= {"peer_gone"}


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        (METHOD, 5), (METHOD, None), (METHOD, PdkError("boom")), (ADMIN_STATUS, "200"), (ADMIN_STATUS, None),
        (ADMIN_PATH, {"a": 1}), (ADMIN_PATH, PdkError("boom")), (BODY, 5), (BODY, None), (BODY, PdkError("boom")),
        (CONSUMER, "x"), (CONSUMER, None), (CREDENTIAL, [1]), (IP, 1.5), (USER_AGENT, {}), (REQUEST_ID, True),
        (STARTED_AT, "soon"), (STARTED_AT, float("nan")), (STARTED_AT, PdkError("boom")),
    ],
)  # fmt: skip
async def test_an_answer_that_cannot_be_over_msgpack(asked: str, value: Any) -> None:
    host = RecordingHost(hears_changes=True)
    async with over_msgpack(host) as served:
        await served.respond({**GRACE, PATH: "/admin/consumers", asked: value})
        known = asked in LEFT_OUT
        assert host.changes == ([msgspec.structs.replace(SEEN, **LEFT_OUT[asked])] if known else [])
        nil = value is None or isinstance(value, PdkError)
        assert served.faults == ({} if nil and known else {"pdk_answer": 1})
        await served.respond(GRACE)
        assert host.changes[-1] == SEEN


# ---- whatever comes, in whatever pieces ----

GOOD = [frame(each, GRACE[each]) for each in OF_A_CHANGE]
REPLIES = st.one_of(
    st.sampled_from([*GOOD, *WRONG.values(), pb.Number(v=1.5).SerializeToString(), string(b"DELETE")]),
    st.binary(max_size=40),
)


@given(
    st.integers(0, len(GOOD)),
    st.lists(REPLIES, min_size=1, max_size=12),
    st.lists(st.integers(min_value=0), max_size=8),
)
def test_any_answers_in_any_pieces(good: int, answers: list[bytes], cuts: list[int]) -> None:
    """A call ends once, tells one change at most, and the next is served, whatever Kong's side answers."""
    peer = Peer(RecordingHost(hears_changes=True))
    number = peer.start(CRUD)
    calls = 0
    for answer in [*GOOD[:good], *answers]:
        if not peer.connection.busy:
            assert peer.event(number, "response") == question(METHOD)
            calls += 1
        for piece in split(encode_frame(answer), cuts):
            feed(peer.connection, piece)
        replied = peer.transport.frames()
        assert len(replied) == 2
        assert peer.connection.busy == (replied != peer.end)
        assert len(peer.host.changes) <= calls
    for seen in peer.host.changes:
        assert 200 <= seen.status < 300
        assert seen.method not in READS
        assert seen.path
    peer.connection.connection_lost(None)
    other, transport = peer.another()
    peer.host.has_change_subscribers = False
    feed(other, encode_frame(event(number, 77, phase="response")))
    assert transport.frames() == [b"", encode_echo(77)]


async def test_many_at_once_are_each_told_as_they_are() -> None:
    host = RecordingHost(hears_changes=True)
    async with serving(host) as setup, KongNode(setup.path) as kong:
        await asyncio.gather(
            *(kong.respond(change(path=f"/consumers/{number}", request_id=str(number))) for number in range(200))
        )
        assert sorted(seen.path for seen in host.changes) == sorted(f"/consumers/{number}" for number in range(200))
        assert all(seen.path.endswith(f"/{seen.request_id}") for seen in host.changes)

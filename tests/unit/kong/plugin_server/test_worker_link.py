"""The worker's end of the link, over real sockets; ``supervisor`` is the other end."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from kong_eventhooks_plugin.kong.plugin_server import worker_link
from kong_eventhooks_plugin.kong.plugin_server.worker_link import WorkerLink
from kong_eventhooks_plugin.kong.supervisor.call_marks import IDLE, NO_SLOT, SLOTS, UNDER_WAY, map_marks
from kong_eventhooks_plugin.kong.supervisor.worker_process import (
    ADOPT,
    ALIVE,
    ASK,
    HOLD,
    MARKS,
    MESSAGE_BYTES,
    READY,
    RELEASE,
    RESTARTS,
    TAKEN_OVER,
    Restarts,
)
from tests.support.waiting import SECONDS

Said = tuple[bytes, int, int | None]
"""Kind, slot and inode of the descriptor."""


class Supervisor:
    """The other end: keeps what the worker says, and the descriptors that came along."""

    def __init__(self) -> None:
        self.link, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link.setblocking(False)

    def next(self) -> Said | None:
        try:
            said, descriptors, _, _ = socket.recv_fds(self.link, MESSAGE_BYTES, 1)
        except BlockingIOError:
            return None
        inode = None
        for descriptor in descriptors:
            inode = os.fstat(descriptor).st_ino
            os.close(descriptor)
        return said[:1], int.from_bytes(said[1:], "little"), inode

    def all(self) -> list[Said]:
        """Return what was said since."""
        found = []
        while (said := self.next()) is not None:
            found.append(said)
        return found

    def give(self, connection: socket.socket) -> bool:
        try:
            socket.send_fds(self.link, [ADOPT], [connection.fileno()])
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    made = Supervisor()
    yield made
    made.link.close()


@pytest.fixture
async def link(supervisor: Supervisor) -> AsyncIterator[WorkerLink]:
    made = WorkerLink(supervisor.theirs.detach())
    yield made
    made.close()


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    ours, kongs = socket.socketpair()
    with ours, kongs:
        yield ours


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


async def until_idle() -> None:
    """Let the loop look at its sockets."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_the_supervisor_gets_the_marks_and_hears_when_it_serves(supervisor: Supervisor) -> None:
    link = WorkerLink(supervisor.theirs.detach())
    said, (descriptor,), _, _ = socket.recv_fds(supervisor.link, MESSAGE_BYTES, 1)
    assert said == MARKS
    with map_marks(descriptor) as marks:
        os.close(descriptor)
        link.marks[3] = UNDER_WAY
        assert marks[3] == UNDER_WAY
    link.ready()
    assert supervisor.all() == [(READY, 0, None)]
    link.close()
    assert supervisor.link.recv(10) == b""


async def test_a_connection_is_held_in_a_slot_of_its_own(
    supervisor: Supervisor, link: WorkerLink, connection: socket.socket
) -> None:
    supervisor.all()
    assert link.holds
    with socket.socket(socket.AF_UNIX) as other:
        slots = [link.hold(connection), link.hold(other)]
        assert supervisor.all() == [
            (HOLD, slots[0], inode(connection)),
            (HOLD, slots[1], inode(other)),
        ]
    assert len({*slots, NO_SLOT}) == 3


async def test_a_slot_is_used_again_and_begins_idle(link: WorkerLink, connection: socket.socket) -> None:
    slot = link.hold(connection)
    link.marks[slot] = UNDER_WAY
    link.removed(slot)
    assert link.marks[slot] == IDLE
    assert link.hold(connection) == slot


async def test_past_the_last_slot_nothing_is_held_until_one_comes_free(
    supervisor: Supervisor, link: WorkerLink, connection: socket.socket
) -> None:
    slots = []
    for _ in range(SLOTS):
        slots.append(link.hold(connection))
        supervisor.all()
    assert sorted(slots) == list(range(SLOTS))
    assert link.hold(connection) == NO_SLOT
    assert supervisor.all() == []
    link.removed(NO_SLOT)
    assert link.hold(connection) == NO_SLOT
    link.removed(17)
    assert link.hold(connection) == 17


async def test_letting_go_is_said_with_an_idle_mark(
    supervisor: Supervisor, link: WorkerLink, connection: socket.socket
) -> None:
    slot = link.hold(connection)
    link.marks[slot] = UNDER_WAY
    supervisor.all()
    link.released(slot)
    assert supervisor.all() == [(RELEASE, slot, None)]
    assert link.marks[slot] == IDLE
    link.released(NO_SLOT)
    assert supervisor.all() == []


async def test_what_comes_before_somebody_adopts_is_kept(
    supervisor: Supervisor, link: WorkerLink, connection: socket.socket
) -> None:
    supervisor.give(connection)
    await until_idle()
    adopted: list[socket.socket] = []
    link.on_adopt(adopted.append)
    supervisor.give(connection)
    await until_idle()
    assert [inode(one) for one in adopted] == [inode(connection)] * 2
    assert not os.get_inheritable(adopted[0].fileno())
    for one in adopted:
        one.close()


class TestAFullLink:
    """The supervisor does not read for a while."""

    def fill(self, link: WorkerLink, connection: socket.socket) -> list[int]:
        slots = []
        while (slot := link.hold(connection)) != NO_SLOT:
            slots.append(slot)
        return slots

    async def test_a_connection_is_not_held_and_its_slot_not_lost(
        self, supervisor: Supervisor, link: WorkerLink, connection: socket.socket
    ) -> None:
        slots = self.fill(link, connection)
        assert 50 < len(slots) < SLOTS
        supervisor.all()
        assert link.hold(connection) == slots[-1] - 1

    async def test_what_was_let_go_is_said_when_it_reads_again(
        self, supervisor: Supervisor, link: WorkerLink, connection: socket.socket
    ) -> None:
        slots = self.fill(link, connection)
        for slot in slots:
            link.released(slot)
        said: list[Said] = []
        async with asyncio.timeout(SECONDS):
            while sum(kind == RELEASE for kind, _, _ in said) < len(slots):
                said += supervisor.all()
                await asyncio.sleep(0)
        assert [slot for kind, slot, _ in said if kind == RELEASE] == slots

    async def test_a_connection_is_taken_only_when_it_can_be_held(
        self, supervisor: Supervisor, link: WorkerLink, connection: socket.socket
    ) -> None:
        """Else the supervisor would believe untouched what we have read from."""
        held: list[int] = []

        def adopt(one: socket.socket) -> None:
            held.append(link.hold(one))
            one.close()

        link.on_adopt(adopt)
        self.fill(link, connection)
        supervisor.give(connection)
        await until_idle()
        assert held == []
        async with asyncio.timeout(SECONDS):
            while not held:
                supervisor.all()
                await asyncio.sleep(0)
        assert held != [NO_SLOT]

    async def test_many_are_handed_over_by_one_who_does_not_listen_meanwhile(
        self, supervisor: Supervisor, link: WorkerLink, connection: socket.socket
    ) -> None:
        held: list[int] = []

        def adopt(one: socket.socket) -> None:
            held.append(link.hold(one))
            one.close()

        link.on_adopt(adopt)
        given = 0
        async with asyncio.timeout(SECONDS):
            while len(held) < 1_000:
                before = given
                while given < 1_000 and supervisor.give(connection):
                    given += 1
                    await asyncio.sleep(0)
                if given == before:
                    supervisor.all()
                    await asyncio.sleep(0)
        assert NO_SLOT not in held
        assert len(set(held)) == 1_000

    async def test_a_supervisor_that_goes_is_seen(
        self, supervisor: Supervisor, link: WorkerLink, connection: socket.socket
    ) -> None:
        for slot in self.fill(link, connection):
            link.released(slot)
        await until_idle()
        supervisor.link.close()
        await asyncio.wait_for(link.drain.wait(), SECONDS)
        assert link.reason == "supervisor exited"


async def test_a_supervisor_that_has_gone_holds_nothing(
    supervisor: Supervisor, link: WorkerLink, connection: socket.socket
) -> None:
    slot = link.hold(connection)
    supervisor.link.close()
    assert link.hold(connection) == NO_SLOT
    link.ready()
    link.released(slot)
    await asyncio.wait_for(link.drain.wait(), SECONDS)
    assert link.reason == "supervisor exited"
    assert not link.holds
    assert link.hold(connection) == NO_SLOT
    link.released(slot)


async def test_a_take_over_is_heard_and_means_no_leaving(supervisor: Supervisor, link: WorkerLink) -> None:
    supervisor.link.send(TAKEN_OVER)
    await asyncio.wait_for(link.taken_over.wait(), SECONDS)
    assert not link.drain.is_set()


async def test_an_unknown_message_and_one_without_its_descriptor_mean_nothing(
    supervisor: Supervisor, link: WorkerLink
) -> None:
    link.on_adopt(lambda _: pytest.fail("nothing was handed over"))
    supervisor.link.send(b"?")
    supervisor.link.send(ADOPT)
    supervisor.link.send(TAKEN_OVER)
    await asyncio.wait_for(link.taken_over.wait(), SECONDS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_drain(link: WorkerLink, number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    await asyncio.wait_for(link.drain.wait(), SECONDS)
    assert link.reason == "signal"


async def test_where_nobody_reads_the_log_any_more_it_still_leaves(
    supervisor: Supervisor, link: WorkerLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unread:
        def info(self, event: str, **_: object) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(worker_link, "_log", Unread())
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    supervisor.link.send(TAKEN_OVER)
    await asyncio.wait_for(link.taken_over.wait(), SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(link.drain.wait(), SECONDS)
    assert link.reason == "signal"


async def test_without_a_supervisor_nothing_is_held(connection: socket.socket) -> None:
    link = WorkerLink(None)
    assert not link.holds
    assert link.hold(connection) == NO_SLOT
    link.marks[NO_SLOT] = UNDER_WAY
    link.ready()
    link.released(NO_SLOT)
    link.close()
    assert link.marks[0] == IDLE


async def test_it_answers_while_its_loop_runs(link: WorkerLink, supervisor: Supervisor) -> None:
    supervisor.all()
    for _ in range(3):
        supervisor.link.send(ASK)
    async with asyncio.timeout(SECONDS):
        answers: list[Said] = []
        while len(answers) < 3:
            await asyncio.sleep(0)
            answers += supervisor.all()
    assert [kind for kind, _, _ in answers] == [ALIVE] * 3
    assert not link.drain.is_set()


async def test_for_a_while_it_reports_a_worker_that_did_not_answer(
    link: WorkerLink, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert link.errors() == []
    supervisor.link.send(RESTARTS + Restarts(crashed=1, unresponsive=2, seconds_ago=7).packed())
    async with asyncio.timeout(SECONDS):
        while link.restarts == Restarts():  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0)
    [error] = link.errors()
    assert "a worker did not answer and was replaced" in error
    assert "(2 since the supervisor's start)" in error
    later = time.monotonic() + 301
    monkeypatch.setattr(worker_link.time, "monotonic", lambda: later)
    assert link.errors() == []

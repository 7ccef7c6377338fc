"""Held connections, with real sockets: ``kong`` is Kong's end, and a worker's own copy is closed as its death does."""

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kong_eventhooks_plugin.kong.supervisor import held_connections
from kong_eventhooks_plugin.kong.supervisor.call_marks import UNDER_WAY, make, map_marks
from kong_eventhooks_plugin.kong.supervisor.held_connections import ENDING_SECONDS, HeldConnections
from tests.support.clock import FakeClock
from tests.support.waiting import SECONDS

FIRST, SECOND = 101, 102
"""Process ids of workers."""


class World:
    """What is held, with the workers' memory and the ends that tests use."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.held = HeldConnections(self.clock)
        descriptor = make()
        self.marks = map_marks(descriptor)
        os.close(descriptor)
        self._open: list[socket.socket] = []

    def connect(self, slot: int, worker: int = FIRST) -> tuple[socket.socket, socket.socket]:
        """Have a worker accept a connection and have it held; return Kong's end and the worker's."""
        kong, worked = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        kong.settimeout(SECONDS)
        worked.settimeout(SECONDS)
        self._open += [kong, worked]
        self.held.hold(worker, slot, worked.dup())
        return kong, worked

    def offered(self, worker: int = SECOND, most: int = 1_000) -> list[socket.socket]:
        """Offer what waits to a worker that takes at most so many; return its copies."""
        taken: list[socket.socket] = []

        def give(sock: socket.socket) -> bool:
            if len(taken) == most:
                return False
            taken.append(sock.dup())
            return True

        self.held.offer(worker, give)
        self._open += taken
        return taken

    def polled(self) -> bool:
        """Return whether the supervisor's loop would poll; then poll."""
        readable = bool(select.select([self.held.fileno()], [], [], 0)[0])
        if readable:
            self.held.poll()
        return readable

    def close(self) -> None:
        self.held.close()
        self.marks.close()
        for sock in self._open:
            sock.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def open_descriptors() -> set[tuple[str, str]]:
    """Return each descriptor with what it leads to. Some that others left may be closed at any time: count new ones."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            found.add((link.name, str(link.readlink())))
    return {(name, target) for name, target in found if not target.startswith("/proc/")}  # this listing's own


def copies(sock: socket.socket) -> int:
    """Return how many descriptors lead to a socket."""
    inode = f"socket:[{os.fstat(sock.fileno()).st_ino}]"
    return sum(target == inode for _, target in open_descriptors())


def is_usable(kong: socket.socket, worked: socket.socket) -> bool:
    kong.sendall(b"call")
    received = worked.recv(100)
    worked.sendall(b"answer")
    return (received, kong.recv(100)) == (b"call", b"answer")


class TestAWorkerThatWasKilled:
    def test_an_idle_connection_lives_on_for_the_next_one(self, world: World) -> None:
        kong, worked = world.connect(0)
        worked.close()
        world.held.orphan(FIRST, world.marks)
        assert world.held.waiting()
        (taken,) = world.offered()
        assert not world.held.waiting()
        world.held.hold(SECOND, 9, taken.dup())
        assert len(world.held) == 1
        assert is_usable(kong, taken)

    def test_a_call_that_nobody_has_read_yet_is_read_by_the_next_one(self, world: World) -> None:
        kong, worked = world.connect(0)
        kong.sendall(b"on its way")
        worked.close()
        world.held.orphan(FIRST, world.marks)
        (taken,) = world.offered()
        assert taken.recv(100) == b"on its way"

    def test_kong_reads_the_end_of_a_connection_with_a_call_under_way_and_never_a_reset(self, world: World) -> None:
        kong, worked = world.connect(4)
        world.marks[4] = UNDER_WAY
        kong.sendall(b"half of a call")  # unread: closing now would be a reset
        worked.close()
        world.held.orphan(FIRST, world.marks)
        assert not world.held.waiting()
        assert world.held.ending()
        assert kong.recv(100) == b""
        kong.sendall(b"the other half")  # Kong may still write: it must read the end, not find a broken pipe
        assert world.polled()
        assert kong.recv(100) == b""
        kong.close()
        assert world.polled()
        assert len(world.held) == 0
        assert not world.held.ending()

    def test_each_is_ended_by_its_own_mark(self, world: World) -> None:
        ends = [world.connect(slot)[0] for slot in range(4)]
        world.marks[1] = world.marks[2] = UNDER_WAY
        world.held.orphan(FIRST, world.marks)
        assert len(world.offered()) == 2
        assert [bool(select.select([kong], [], [], 0)[0]) for kong in ends] == [False, True, True, False]

    def test_without_marks_every_connection_may_have_a_call(self, world: World) -> None:
        kong, _ = world.connect(0)
        world.held.orphan(FIRST, None)
        assert kong.recv(100) == b""

    def test_what_it_was_handed_and_had_not_taken_yet_goes_to_the_next(self, world: World) -> None:
        kong, worked = world.connect(0)
        worked.close()
        world.held.orphan(FIRST, world.marks)
        (given,) = world.offered(SECOND)  # and killed before it says HOLD
        given.close()
        kong.sendall(b"call")
        world.held.orphan(SECOND, None)
        (taken,) = world.offered(103)
        assert taken.recv(100) == b"call"

    def test_another_workers_connections_are_left_alone(self, world: World) -> None:
        world.connect(0, FIRST)
        world.connect(0, SECOND)
        world.held.orphan(FIRST, world.marks)
        assert len(world.offered(103)) == 1
        assert len(world.held) == 2


class TestAWorkerThatDrains:
    def test_what_it_lets_go_is_handed_over(self, world: World) -> None:
        kong, worked = world.connect(6)
        world.connect(7)
        world.held.release(FIRST, 6)
        worked.close()
        (taken,) = world.offered()
        assert is_usable(kong, taken)

    def test_an_unknown_slot_means_nothing(self, world: World) -> None:
        world.connect(6)
        world.held.release(FIRST, 5)
        world.held.release(SECOND, 6)
        assert not world.held.waiting()

    def test_of_two_that_had_the_slot_one_after_the_other_the_second_is_meant(self, world: World) -> None:
        """A slot is used again as soon as its connection has ended, which the supervisor may notice later."""
        ended, first = world.connect(6)
        kong, worked = world.connect(6)
        ended.close()
        first.close()
        world.held.release(FIRST, 6)
        worked.close()
        (taken,) = world.offered()
        assert is_usable(kong, taken)

    def test_nor_is_one_meant_that_had_it_before_and_is_held_for_less_long(self, world: World) -> None:
        kong, worked = world.connect(6)
        world.held.release(FIRST, 6)
        (taken,) = world.offered()
        world.connect(6, SECOND)[0].close()
        world.held.hold(SECOND, 6, taken.dup())
        worked.close()
        world.held.release(SECOND, 6)
        assert is_usable(kong, world.offered(103)[0])

    def test_without_a_successor_it_is_ended(self, world: World) -> None:
        kong, worked = world.connect(6)
        world.held.release(FIRST, 6)
        worked.close()
        kong.sendall(b"just now")
        world.held.end_waiting()
        assert world.held.ending()
        assert kong.recv(100) == b""
        assert world.polled()
        assert kong.recv(100) == b""

    def test_one_that_is_served_is_not_ended(self, world: World) -> None:
        kong, worked = world.connect(6)
        world.held.end_waiting()
        assert is_usable(kong, worked)


def test_a_worker_that_takes_no_more_is_offered_the_rest_later(world: World) -> None:
    for slot in range(5):
        world.connect(slot)
    world.held.orphan(FIRST, world.marks)
    assert len(world.offered(most=2)) == 2
    assert world.held.waiting()
    assert len(world.offered()) == 3
    assert world.offered() == []


def test_one_that_kong_closes_is_forgotten(world: World) -> None:
    kong, worked = world.connect(0)
    assert not world.polled()
    kong.sendall(b"call")
    assert not world.polled()  # what is said on it is its worker's business
    kong.close()
    assert world.polled()
    assert len(world.held) == 0
    assert worked.recv(100) == b"call"
    assert not world.polled()


def test_one_that_kong_closes_while_it_waits_is_forgotten(world: World) -> None:
    kong, worked = world.connect(0)
    worked.close()
    world.held.orphan(FIRST, world.marks)
    kong.close()
    assert world.polled()
    assert not world.held.waiting()


def test_one_that_does_not_end_is_closed_in_time(world: World) -> None:
    kong, worked = world.connect(0)
    worked.close()
    world.held.orphan(FIRST, None)
    world.clock.now += ENDING_SECONDS - 0.1
    world.held.prune()
    assert world.held.ending()
    world.clock.now += 0.2
    world.held.prune()
    assert not world.held.ending()
    with pytest.raises(BrokenPipeError):
        kong.sendall(b"late")


def test_past_the_limit_one_is_not_held_and_nothing_is_leaked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_connections, "SLOTS", 2)
    for slot in range(2):
        world.connect(slot)
    kong, worked = world.connect(2)
    assert (copies(kong), copies(worked)) == (1, 1)
    assert len(world.held) == 2
    assert is_usable(kong, worked)
    worked.close()
    assert kong.recv(100) == b""


def test_the_same_one_held_again_only_moves(world: World) -> None:
    kong, worked = world.connect(0)
    assert copies(worked) == 2
    world.held.hold(SECOND, 3, worked.dup())
    assert copies(worked) == 2
    world.held.orphan(FIRST, None)
    assert is_usable(kong, worked)
    world.held.release(SECOND, 3)
    assert world.held.waiting()


def test_closing_lets_every_descriptor_go() -> None:
    before = open_descriptors()
    world = World()
    for slot in range(3):
        world.connect(slot)
    world.held.orphan(FIRST, world.marks)
    world.held.end_waiting()
    world.close()
    assert open_descriptors() <= before

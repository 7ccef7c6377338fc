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


class House:
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

    def heard(self) -> bool:
        """Tell whether the supervisor's loop would look; then look."""
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
def house() -> Iterator[House]:
    made = House()
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
    def test_an_idle_connection_lives_on_for_the_next_one(self, house: House) -> None:
        kong, worked = house.connect(0)
        worked.close()
        house.held.orphan(FIRST, house.marks)
        assert house.held.waiting()
        (taken,) = house.offered()
        assert not house.held.waiting()
        house.held.hold(SECOND, 9, taken.dup())
        assert len(house.held) == 1
        assert is_usable(kong, taken)

    def test_a_call_that_nobody_has_read_yet_is_read_by_the_next_one(self, house: House) -> None:
        kong, worked = house.connect(0)
        kong.sendall(b"on its way")
        worked.close()
        house.held.orphan(FIRST, house.marks)
        (taken,) = house.offered()
        assert taken.recv(100) == b"on its way"

    def test_kong_reads_the_end_of_a_connection_with_a_call_under_way_and_never_a_reset(self, house: House) -> None:
        kong, worked = house.connect(4)
        house.marks[4] = UNDER_WAY
        kong.sendall(b"half of a call")  # unread: closing now would be a reset
        worked.close()
        house.held.orphan(FIRST, house.marks)
        assert not house.held.waiting()
        assert house.held.ending()
        assert kong.recv(100) == b""
        kong.sendall(b"the other half")  # Kong may still write: it must read the end, not find a broken pipe
        assert house.heard()
        assert kong.recv(100) == b""
        kong.close()
        assert house.heard()
        assert len(house.held) == 0
        assert not house.held.ending()

    def test_each_is_looked_at_by_its_own_mark(self, house: House) -> None:
        ends = [house.connect(slot)[0] for slot in range(4)]
        house.marks[1] = house.marks[2] = UNDER_WAY
        house.held.orphan(FIRST, house.marks)
        assert len(house.offered()) == 2
        assert [bool(select.select([kong], [], [], 0)[0]) for kong in ends] == [False, True, True, False]

    def test_without_marks_every_connection_may_have_a_call(self, house: House) -> None:
        kong, _ = house.connect(0)
        house.held.orphan(FIRST, None)
        assert kong.recv(100) == b""

    def test_what_it_was_handed_and_had_not_taken_yet_goes_to_the_next(self, house: House) -> None:
        kong, worked = house.connect(0)
        worked.close()
        house.held.orphan(FIRST, house.marks)
        (given,) = house.offered(SECOND)  # and killed before it says HOLD
        given.close()
        kong.sendall(b"call")
        house.held.orphan(SECOND, None)
        (taken,) = house.offered(103)
        assert taken.recv(100) == b"call"

    def test_another_workers_connections_are_left_alone(self, house: House) -> None:
        house.connect(0, FIRST)
        house.connect(0, SECOND)
        house.held.orphan(FIRST, house.marks)
        assert len(house.offered(103)) == 1
        assert len(house.held) == 2


class TestAWorkerThatDrains:
    def test_what_it_lets_go_is_handed_over(self, house: House) -> None:
        kong, worked = house.connect(6)
        house.connect(7)
        house.held.release(FIRST, 6)
        worked.close()
        (taken,) = house.offered()
        assert is_usable(kong, taken)

    def test_an_unknown_slot_means_nothing(self, house: House) -> None:
        house.connect(6)
        house.held.release(FIRST, 5)
        house.held.release(SECOND, 6)
        assert not house.held.waiting()

    def test_of_two_that_had_the_slot_one_after_the_other_the_second_is_meant(self, house: House) -> None:
        """A slot is used again as soon as its connection has ended, of which the supervisor may hear later."""
        ended, first = house.connect(6)
        kong, worked = house.connect(6)
        ended.close()
        first.close()
        house.held.release(FIRST, 6)
        worked.close()
        (taken,) = house.offered()
        assert is_usable(kong, taken)

    def test_nor_is_one_meant_that_had_it_before_and_is_held_for_less_long(self, house: House) -> None:
        kong, worked = house.connect(6)
        house.held.release(FIRST, 6)
        (taken,) = house.offered()
        house.connect(6, SECOND)[0].close()
        house.held.hold(SECOND, 6, taken.dup())
        worked.close()
        house.held.release(SECOND, 6)
        assert is_usable(kong, house.offered(103)[0])

    def test_without_a_successor_it_is_ended(self, house: House) -> None:
        kong, worked = house.connect(6)
        house.held.release(FIRST, 6)
        worked.close()
        kong.sendall(b"just now")
        house.held.end_waiting()
        assert house.held.ending()
        assert kong.recv(100) == b""
        assert house.heard()
        assert kong.recv(100) == b""

    def test_one_that_is_served_is_not_ended(self, house: House) -> None:
        kong, worked = house.connect(6)
        house.held.end_waiting()
        assert is_usable(kong, worked)


def test_a_worker_that_takes_no_more_is_offered_the_rest_later(house: House) -> None:
    for slot in range(5):
        house.connect(slot)
    house.held.orphan(FIRST, house.marks)
    assert len(house.offered(most=2)) == 2
    assert house.held.waiting()
    assert len(house.offered()) == 3
    assert house.offered() == []


def test_one_that_kong_closes_is_forgotten(house: House) -> None:
    kong, worked = house.connect(0)
    assert not house.heard()
    kong.sendall(b"call")
    assert not house.heard()  # what is said on it is its worker's business
    kong.close()
    assert house.heard()
    assert len(house.held) == 0
    assert worked.recv(100) == b"call"
    assert not house.heard()


def test_one_that_kong_closes_while_it_waits_is_forgotten(house: House) -> None:
    kong, worked = house.connect(0)
    worked.close()
    house.held.orphan(FIRST, house.marks)
    kong.close()
    assert house.heard()
    assert not house.held.waiting()


def test_one_that_does_not_end_is_closed_in_time(house: House) -> None:
    kong, worked = house.connect(0)
    worked.close()
    house.held.orphan(FIRST, None)
    house.clock.now += ENDING_SECONDS - 0.1
    house.held.prune()
    assert house.held.ending()
    house.clock.now += 0.2
    house.held.prune()
    assert not house.held.ending()
    with pytest.raises(BrokenPipeError):
        kong.sendall(b"late")


def test_past_the_limit_one_is_not_held_and_nothing_is_leaked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_connections, "SLOTS", 2)
    for slot in range(2):
        house.connect(slot)
    kong, worked = house.connect(2)
    assert (copies(kong), copies(worked)) == (1, 1)
    assert len(house.held) == 2
    assert is_usable(kong, worked)
    worked.close()
    assert kong.recv(100) == b""


def test_the_same_one_told_again_only_moves(house: House) -> None:
    kong, worked = house.connect(0)
    assert copies(worked) == 2
    house.held.hold(SECOND, 3, worked.dup())
    assert copies(worked) == 2
    house.held.orphan(FIRST, None)
    assert is_usable(kong, worked)
    house.held.release(SECOND, 3)
    assert house.held.waiting()


def test_closing_lets_every_descriptor_go() -> None:
    before = open_descriptors()
    house = House()
    for slot in range(3):
        house.connect(slot)
    house.held.orphan(FIRST, house.marks)
    house.held.end_waiting()
    house.close()
    assert open_descriptors() <= before

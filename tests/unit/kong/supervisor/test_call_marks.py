"""Marks in shared memory: what one process marks, another one reads, also after the first was killed."""

import os
import signal
import subprocess
import sys

from kong_eventhooks_plugin.kong.supervisor.call_marks import IDLE, NO_SLOT, SLOTS, UNDER_WAY, make, map_marks


def test_fresh_marks_are_idle_and_have_a_place_for_what_has_no_slot() -> None:
    descriptor = make()
    with map_marks(descriptor) as marks:
        assert len(marks) == SLOTS + 1
        assert set(marks[:]) == {IDLE}
        marks[NO_SLOT] = UNDER_WAY
    os.close(descriptor)


def test_they_are_not_left_to_children() -> None:
    descriptor = make()
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_both_sides_see_the_same_and_need_no_descriptor_for_it() -> None:
    descriptor = make()
    with map_marks(descriptor) as ours, map_marks(descriptor) as theirs:
        os.close(descriptor)
        ours[3] = UNDER_WAY
        assert (theirs[3], theirs[4]) == (UNDER_WAY, IDLE)
        ours[3] = IDLE
        assert theirs[3] == IDLE


def test_two_workers_have_marks_of_their_own() -> None:
    first, second = make(), make()
    with map_marks(first) as old, map_marks(second) as new:
        old[0] = UNDER_WAY
        assert new[0] == IDLE
    os.close(first)
    os.close(second)


def test_the_last_word_of_a_killed_process_stays() -> None:
    program = (
        "import os, signal, sys\n"
        "from kong_eventhooks_plugin.kong.supervisor.call_marks import UNDER_WAY, map_marks\n"
        "map_marks(int(sys.argv[1]))[5] = UNDER_WAY\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    descriptor = make()
    with map_marks(descriptor) as marks:
        ended = subprocess.run(
            [sys.executable, "-c", program, str(descriptor)], pass_fds=[descriptor], check=False, timeout=30
        )
        os.close(descriptor)
        assert ended.returncode == -signal.SIGKILL
        assert [slot for slot, mark in enumerate(marks[:]) if mark == UNDER_WAY] == [5]

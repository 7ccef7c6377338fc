import os
import subprocess
import sys
from pathlib import Path

import pytest

from kong_eventhooks_plugin.queue import holders


def test_this_process_has_not_gone() -> None:
    assert not holders.exited(holders.this_process())


def test_a_process_that_ended_has_gone_even_before_it_is_collected() -> None:
    code = "from kong_eventhooks_plugin.queue.holders import this_process as t; print(t(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert not holders.exited(name)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and waits to be collected
        assert holders.exited(name)
    assert holders.exited(name)


def test_a_process_that_proc_hides_may_be_running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As for a worker's successor where /proc is mounted with hidepid=invisible."""
    *place, _, start = holders.this_process().split("/")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("/proc/self/ns/pid")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        name = "/".join((*place, str(other.pid), start))
        monkeypatch.setattr(holders, "_PROC", tmp_path)
        assert not holders.exited(name)
        assert not holders.running(name)
        other.kill()
    assert holders.exited(name)


def test_a_later_process_with_the_same_id_is_another() -> None:
    host, namespace, pid, start = holders.this_process().rsplit("/", 3)
    assert holders.exited(f"{host}/{namespace}/{pid}/{int(start) - 1}")


def test_what_cannot_be_judged_from_here_is_left_alone() -> None:
    host, namespace, pid, _ = holders.this_process().rsplit("/", 3)
    for name in (
        f"other-{host}/{namespace}/1/1",
        f"{host}/1{namespace}/{pid}/1",
        "somebody",
        f"{host}/{namespace}/x/1",
    ):
        assert not holders.exited(name)

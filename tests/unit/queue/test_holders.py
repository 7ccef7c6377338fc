import os
import subprocess
import sys

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

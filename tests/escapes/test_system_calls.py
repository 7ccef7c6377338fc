"""System calls from inside the isolation, as of code that has broken out of its language: the kernel refuses each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from kong_eventhooks_plugin.sandbox import landlock, process, seccomp
from kong_eventhooks_plugin.sandbox.tasks import Failed
from tests.support.sandbox import running_pool, text_of

REFUSED = {
    "fcntl F_SETOWN", "open", "open /proc/PID/mem", "unlink", "dup", "pipe", "ioctl TIOCSTI", "prctl", "rt_sigaction",
}  # fmt: skip
NEWER = {"a call of tomorrow", "a call of x32"}

BROKEN_OUT = """
import os
from kong_eventhooks_plugin.sandbox import worker
answer, parent = worker.Languages.answer, os.getppid()
def broken_out(self, task):
    if task.templates[0].text == "{{ broken out }}":
        os.kill(parent, 0)
    return answer(self, task)
worker.Languages.answer = broken_out
worker.main()
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.isolated_calls"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(seccomp.missing() is not None, reason="the kernel has no seccomp")
def test_a_call_outside_the_list_kills_the_process(answers: dict[str, dict[str, str]]) -> None:
    expected = (
        dict.fromkeys(answers["all"], "killed") | dict.fromkeys(REFUSED, "EPERM") | dict.fromkeys(NEWER, "ENOSYS")
    )
    assert answers["all"] == expected | {"getpid": "done", "abort": "SIGABRT", "the secret": "secret"}


@pytest.mark.skipif(landlock.missing() is not None, reason="the kernel has no Landlock")
def test_landlock_refuses_what_passes_by_seccomp(answers: dict[str, dict[str, str]]) -> None:
    expected = dict.fromkeys(answers["landlock"], "EPERM") | {"the secret": "secret"}
    since = landlock.version()
    expected |= dict.fromkeys(("unlink", "execve"), "EACCES")
    expected["connect TCP"] = "EACCES" if since >= 4 else "done"
    expected |= dict.fromkeys(
        ("kill", "tgkill", "rt_sigqueueinfo", "connect abstract"), "EPERM" if since >= 6 else "done"
    )
    assert answers["landlock"] == expected


def test_these_calls_are_harmful_where_nothing_refuses_them(answers: dict[str, dict[str, str]]) -> None:
    harmful = {"kill", "tgkill", "rt_sigqueueinfo", "unlink", "connect TCP", "connect abstract", "execve"}
    if os.geteuid() == 0:
        harmful |= {"ptrace", "process_vm_readv", "process_vm_writev"}
        assert answers["none"]["the secret"] == "forged"
    assert {name: answers["none"][name] for name in harmful} == dict.fromkeys(harmful, "done")


async def test_a_worker_that_broke_out_costs_its_task_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "_ARGUMENTS", ("-I", "-c", BROKEN_OUT))
    with structlog.testing.capture_logs() as logs:
        async with running_pool() as pool:
            result = await text_of(pool, "{{ broken out }}", "theirs")
            assert result == Failed("syscall", "killed at a system call that the sandbox forbids")
            assert await text_of(pool, "{{ limit }}", "honest") == "4"
    (line,) = logs
    assert (line["event"], line["log_level"], line["reason"]) == ("sandbox_worker_exited", "error", "syscall")
    assert pool.counts == {("render", "syscall"): 1, ("render", "done"): 1}

"""What a sandbox process gives up before it runs user code, and the timers that kill it.

===================  =======================================================================================
system calls         ``seccomp``: some 30 are left, any other kills the process or fails
files, TCP, signals  ``landlock`` refuses all, and to trace (ptrace) what is outside
files and sockets    ``RLIMIT_NOFILE`` 0: what is open stays open, nothing can be opened or accepted
processes            ``RLIMIT_NPROC`` 0 (the kernel exempts root, so there is nothing to start one with, either)
writing              ``RLIMIT_FSIZE`` 0, ``RLIMIT_CORE`` 0
memory               ``RLIMIT_AS``: what the idle worker has and ``SandboxLimits.memory_bytes`` more
privileges           ``PR_SET_NO_NEW_PRIVS``
its own memory       ``linux.refuse_inspection``: no other process of this user may read it, no core dump has it
its parent's end     ``PR_SET_PDEATHSIG`` SIGKILL; the closed socket ends it too
wall and CPU time    interval timers of the kernel with the default action, death: user code that runs in C for a
                     minute is killed as surely as a loop, and the exit status tells which limit it was
===================  =======================================================================================

A kernel without seccomp or Landlock (``missing_features``) leaves the rest, and the log and /readyz say so. A feature
that the kernel has and that cannot be applied all the same keeps the process from starting.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kong_eventhooks_plugin.linux import prctl, refuse_inspection
from kong_eventhooks_plugin.sandbox import landlock, seccomp
from kong_eventhooks_plugin.sandbox.tasks import SandboxLimits

WALL_SIGNAL = signal.SIGALRM
CPU_SIGNAL = signal.SIGPROF

FEATURES: Final[dict[str, Callable[[], str | None]]] = {"seccomp": seccomp.missing, "landlock": landlock.missing}
"""The kernel's features that are used where they are there: the functions return why they are missing."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_STATM = Path("/proc/self/statm")


def die_with_parent(parent: int) -> None:
    """Have the kernel kill us when the process ``parent`` ends; raises ``OSError`` where it has ended already."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise OSError("the parent has exited")


def missing_features() -> dict[str, str]:
    """Return which of the kernel's features are missing, each with the reason."""
    return {feature: reason for feature, missing in FEATURES.items() if (reason := missing()) is not None}


def isolate(limits: SandboxLimits, *, files_and_processes: bool) -> None:
    """Apply the limits for good; ``files_and_processes`` keeps those (``untrusted_lua = on``). Raises ``OSError``."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    refuse_inspection()
    for deadly in (WALL_SIGNAL, CPU_SIGNAL):
        signal.signal(deadly, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (WALL_SIGNAL, CPU_SIGNAL))
    _silence_output()
    _limit(resource.RLIMIT_AS, _address_space() + limits.memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    if not files_and_processes:
        missing = missing_features()
        if "landlock" not in missing:
            landlock.restrict()  # opens a descriptor
        _limit(resource.RLIMIT_FSIZE, 0)
        _limit(resource.RLIMIT_NPROC, 0)
        _limit(resource.RLIMIT_NOFILE, 0)
        if "seccomp" not in missing:
            seccomp.restrict()  # last: it refuses the calls above


class Alarms:
    """The timers of one task."""

    def __init__(self, limits: SandboxLimits) -> None:
        self._wall, self._cpu = limits.wall_seconds, limits.cpu_seconds

    def set(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._wall)
        signal.setitimer(signal.ITIMER_PROF, self._cpu)

    def clear(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))


def _address_space() -> int:
    return int(_STATM.read_text().split()[0]) * resource.getpagesize()


def _silence_output() -> None:
    """Keep user code from writing into the log of the process that started this one."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        stream.flush()
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)

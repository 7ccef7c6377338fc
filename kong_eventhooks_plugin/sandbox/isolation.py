"""What a sandbox process gives up before it runs user code, and the timers that kill it. Runs in the worker alone.

===================  =======================================================================================
files and sockets    ``RLIMIT_NOFILE`` 0: what is open stays open, nothing can be opened or accepted
processes            ``RLIMIT_NPROC`` 0 (the kernel exempts root, so there is nothing to start one with, either)
writing              ``RLIMIT_FSIZE`` 0, ``RLIMIT_CORE`` 0
memory               ``RLIMIT_AS``: what the idle worker has and ``SandboxLimits.memory_bytes`` more
privileges           ``PR_SET_NO_NEW_PRIVS``
its parent's end     ``PR_SET_PDEATHSIG`` SIGKILL; the closed socket ends it too
wall and CPU time    interval timers of the kernel with the default action, death: user code that runs in C for a
                     minute is killed as surely as a loop, and the exit status tells which limit it was
===================  =======================================================================================

Not used: seccomp. The packages for it need libseccomp on the machine or have been unmaintained for years.
"""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

from kong_eventhooks_plugin.sandbox.tasks import SandboxLimits

WALL_SIGNAL = signal.SIGALRM
CPU_SIGNAL = signal.SIGPROF

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_STATM = Path("/proc/self/statm")


def die_with_parent(parent: int) -> None:
    """Have the kernel kill us when the process ``parent`` ends; raises ``OSError`` where it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise OSError("the parent has exited")


def isolate(limits: SandboxLimits, *, files_and_processes: bool) -> None:
    """Apply the limits for good; ``files_and_processes`` keeps those (``untrusted_lua = on``)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    for deadly in (WALL_SIGNAL, CPU_SIGNAL):
        signal.signal(deadly, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (WALL_SIGNAL, CPU_SIGNAL))
    _silence_output()
    _limit(resource.RLIMIT_AS, _address_space() + limits.memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    if not files_and_processes:
        _limit(resource.RLIMIT_FSIZE, 0)
        _limit(resource.RLIMIT_NPROC, 0)
        _limit(resource.RLIMIT_NOFILE, 0)


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


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

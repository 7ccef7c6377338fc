"""The system calls that a sandbox process may still make, as a seccomp filter.

==========  ===============================================================================================
allowed     what an isolated worker needs: its socket, memory that is not executable, the clock, its timers,
            signals to itself, its exit
``EPERM``   what libraries attempt in normal life and can do without: files, their own settings
``ENOSYS``  calls that are newer than the tables, so that a newer C library uses an older one
killed      any other call, and any of another architecture: no code of ours makes it, so somebody's does
==========  ===============================================================================================

The process is killed with SIGSYS, which the pool reports as the reason ``syscall``. The numbers are those of Linux
6.16: arch/x86/entry/syscalls/syscall_64.tbl and scripts/syscall.tbl. An architecture without a table has no filter.

Our own code, because the packages for it need libseccomp on the machine or have been unmaintained for years.
"""

import errno
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from kong_eventhooks_plugin.linux import address, syscall

Table = Mapping[str, tuple[int, int | None]]
"""Number on x86-64, number on aarch64."""

ALLOWED: Final[Table] = {
    "brk": (12, 214),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "close": (3, 57),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "futex": (202, 98),
    "getcpu": (309, 168),
    "getpid": (39, 172),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "madvise": (28, 233),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "nanosleep": (35, 101),
    "recvfrom": (45, 207),
    "restart_syscall": (219, 128),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "sendto": (44, 206),
    "setitimer": (38, 103),
    "time": (201, None),
    "write": (1, 64),
    "writev": (20, 66),
}
WITHOUT_EXECUTION: Final[Table] = {"mmap": (9, 222), "mprotect": (10, 226)}
"""Allowed for memory that is not executable; else the process is killed. LuaJIT's compiler is off (``prelude.lua``)."""

TO_ITSELF: Final[Table] = {"tgkill": (234, 131)}
"""Allowed with our own process id: ``abort()``."""

REFUSED: Final[Table] = {
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "fcntl": (72, 25),
    "fstat": (5, 80),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    "ioctl": (16, 29),
    "lseek": (8, 62),
    "lstat": (6, None),
    "membarrier": (324, 283),
    "newfstatat": (262, 79),
    "open": (2, None),
    "openat": (257, 56),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "prctl": (157, 167),
    "read": (0, 63),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "readv": (19, 65),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "rt_sigaction": (13, 134),
    "sched_getaffinity": (204, 123),
    "sigaltstack": (131, 132),
    "stat": (4, None),
    "statx": (332, 291),
    "sysinfo": (99, 179),
    "uname": (63, 160),
    "unlink": (87, None),
    "unlinkat": (263, 35),
}
NEWEST: Final = 467


class Architecture(NamedTuple):
    """``audit`` is its number in linux/audit.h, ``column`` its place in the tables."""

    audit: int
    column: int
    seccomp: int


ARCHITECTURES: Final = {
    "x86_64": Architecture(0xC000_003E, 0, 317),
    "aarch64": Architecture(0xC000_00B7, 1, 277),
}

_SET_MODE_FILTER, _GET_ACTION_AVAILABLE, _ALL_THREADS = 1, 2, 1
_KILL, _ALLOW, _ERRNO = 0x8000_0000, 0x7FFF_0000, 0x0005_0000

# Instructions of linux/filter.h: load a word, compare, test bits, return.
_LOAD, _EQUAL, _GREATER, _HAS_BITS, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 32  # in struct seccomp_data

Instruction = tuple[int, int, int, int]
_INSTRUCTION = struct.Struct("=HBBI")


def missing() -> str | None:
    """Return why there can be no filter here, None where there can."""
    architecture = ARCHITECTURES.get(os.uname().machine)
    if architecture is None:
        return f"no table of system calls for {os.uname().machine}"
    try:
        syscall(architecture.seccomp, _GET_ACTION_AVAILABLE, 0, struct.pack("=I", _KILL))
    except OSError as error:
        return str(error.strerror)
    return None


def restrict() -> None:
    """Apply the filter to all threads, for good; raises ``OSError``. ``PR_SET_NO_NEW_PRIVS`` comes before."""
    architecture = ARCHITECTURES[os.uname().machine]
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in program(architecture, os.getpid()))
    header = struct.pack("@HP", len(code) // _INSTRUCTION.size, address(code))
    if syscall(architecture.seccomp, _SET_MODE_FILTER, _ALL_THREADS, header):
        raise OSError(errno.EBUSY, "a thread has another seccomp filter")


def program(architecture: Architecture, pid: int) -> list[Instruction]:
    """Return the filter for the process ``pid`` in classic BPF: operation, jumps if true and if false, operand."""
    return list(_program(architecture, pid))


def _program(architecture: Architecture, pid: int) -> Iterator[Instruction]:
    def numbers(table: Table) -> Iterator[int]:
        yield from (number for row in table.values() if (number := row[architecture.column]) is not None)

    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, architecture.audit
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER
    for number in numbers(ALLOWED):
        yield _EQUAL, 0, 1, number
        yield _RETURN, 0, 0, _ALLOW
    for number in numbers(WITHOUT_EXECUTION):
        yield _EQUAL, 0, 4, number
        yield _LOAD, 0, 0, _THIRD_ARGUMENT
        yield _HAS_BITS, 0, 1, mmap.PROT_EXEC
        yield _RETURN, 0, 0, _KILL
        yield _RETURN, 0, 0, _ALLOW
    for number in numbers(TO_ITSELF):
        yield _EQUAL, 0, 4, number
        yield _LOAD, 0, 0, _FIRST_ARGUMENT
        yield _EQUAL, 0, 1, pid
        yield _RETURN, 0, 0, _ALLOW
        yield _RETURN, 0, 0, _KILL
    for number in numbers(REFUSED):
        yield _EQUAL, 0, 1, number
        yield _RETURN, 0, 0, _ERRNO | errno.EPERM
    yield _GREATER, 0, 1, NEWEST
    yield _RETURN, 0, 0, _ERRNO | errno.ENOSYS
    yield _RETURN, 0, 0, _KILL

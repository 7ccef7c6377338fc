"""Makes system calls from inside a sandbox's isolation, as code that has broken out of its language would.

``python -m tests.support.isolated_calls`` forks a child for each call, which isolates itself as a worker does and makes
the call: with all of the kernel's features, with Landlock alone, and with none. Prints as JSON what each call said:
``done``, ``killed`` (SIGSYS), or the error's name. The target of calls that reach for another process is the one that
forked.

Tests run as root too, and without some of the features: so no call may do harm where it succeeds.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import tempfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from kong_eventhooks_plugin.sandbox import isolation
from kong_eventhooks_plugin.sandbox.tasks import SandboxLimits

LIBC = ctypes.CDLL(None, use_errno=True)
NUMBERS = {  # those of x86-64 and aarch64, for what the C library has no function for
    "bpf": (321, 280), "io_uring_setup": (425, 425), "kcmp": (312, 272), "keyctl": (250, 219),
    "memfd_create": (319, 279), "open_tree": (428, 428), "perf_event_open": (298, 241), "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434), "process_madvise": (440, 440), "rt_sigqueueinfo": (129, 138), "seccomp": (317, 277),
    "userfaultfd": (323, 282),
}  # fmt: skip
COLUMN = ("x86_64", "aarch64").index(os.uname().machine)
TARGET = os.getpid()
SECRET = ctypes.create_string_buffer(b"secret", 6)
TCP = socket.create_server(("127.0.0.1", 0))
TCP.setblocking(False)
ABSTRACT = socket.socket(socket.AF_UNIX)
ABSTRACT.bind(b"\0event-hooks-" + str(TARGET).encode())
ABSTRACT.listen()
AFFINITY = os.sched_getaffinity(TARGET)
NOWHERE = b"/proc/event-hooks/nowhere"
FORGED = ctypes.create_string_buffer(b"forged", 6)
FILE = tempfile.NamedTemporaryFile(delete=False)  # noqa: SIM115 - a call of a child may remove it
PTRACE_SEIZE, F_SETOWN = 0x4206, 8
TIOCSTI = 0x5412
CLONE_NEWUSER = 0x1000_0000
X32 = 0x4000_0000


class Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def checked(answer: int) -> None:
    if answer < 0:
        raise OSError(ctypes.get_errno(), "refused")


def raw(name: str, *arguments: object) -> Callable[[], None]:
    return lambda: checked(LIBC.syscall(NUMBERS[name][COLUMN], *arguments))


def of_target(function: str) -> Callable[[], None]:
    ours = Vector(ctypes.addressof(FORGED), 6)
    theirs = Vector(ctypes.addressof(SECRET), 6)
    return lambda: checked(getattr(LIBC, function)(TARGET, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0))


def executable_memory() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


PAGE = mmap.mmap(-1, mmap.PAGESIZE)


def make_executable() -> None:
    address = ctypes.addressof(ctypes.c_char.from_buffer(PAGE))
    checked(LIBC.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC))


def signal_by_descriptor() -> None:
    """Have the kernel signal the target when something arrives on a socket."""
    checked(LIBC.fcntl(TCP.fileno(), F_SETOWN, TARGET))


def execute_memory() -> None:
    descriptor = os.memfd_create("x")
    os.execv(f"/proc/self/fd/{descriptor}", ["x"])  # noqa: S606 - the point


def connect(family: socket.AddressFamily, address: object) -> Callable[[], None]:
    """The socket was there before, as if its descriptor had been inherited."""
    here = socket.socket(family)
    return lambda: here.connect(address)  # type: ignore[arg-type]


CALLS: dict[str, Callable[[], object]] = {
    # the target's memory, limits, descriptors and life
    "ptrace": lambda: checked(LIBC.ptrace(PTRACE_SEIZE, TARGET, None, None)),
    "process_vm_readv": of_target("process_vm_readv"),
    "process_vm_writev": of_target("process_vm_writev"),
    "prlimit": lambda: resource.prlimit(TARGET, resource.RLIMIT_CORE),
    "kill": lambda: os.kill(TARGET, signal.SIGCONT),
    "tgkill": lambda: checked(LIBC.tgkill(TARGET, TARGET, signal.SIGCONT)),
    "rt_sigqueueinfo": raw(
        "rt_sigqueueinfo", TARGET, signal.SIGCONT, ctypes.create_string_buffer(b"\0" * 8 + b"\xff" * 4, 128)
    ),
    "fcntl F_SETOWN": signal_by_descriptor,
    "pidfd_open": raw("pidfd_open", TARGET, 0),
    "pidfd_getfd": raw("pidfd_getfd", 0, 0, 0),
    "process_madvise": raw("process_madvise", 0, None, 0, 0, 0),
    "kcmp": raw("kcmp", os.getpid(), TARGET, 0, 0, 0),
    "sched_setaffinity": lambda: os.sched_setaffinity(TARGET, AFFINITY),
    "setpriority": lambda: os.setpriority(os.PRIO_PROCESS, TARGET, 0),
    # files and sockets
    "open": lambda: os.open("/etc/hostname", os.O_RDONLY),
    "open /proc/PID/mem": lambda: os.open(f"/proc/{TARGET}/mem", os.O_RDWR),
    "unlink": lambda: Path(FILE.name).unlink(),
    "mkdir": lambda: Path("/proc/event-hooks").mkdir(),
    "open_tree": raw("open_tree", -100, NOWHERE, 0),
    "socket": socket.socket,
    "socketpair": socket.socketpair,
    "connect TCP": connect(socket.AF_INET, TCP.getsockname()),
    "connect abstract": connect(socket.AF_UNIX, ABSTRACT.getsockname()),
    "bind": lambda: TCP.bind(("127.0.0.1", 0)),
    "accept": lambda: TCP.accept(),
    "dup": lambda: os.dup(0),
    "pipe": os.pipe,
    "ioctl TIOCSTI": lambda: fcntl.ioctl(0, TIOCSTI, b"x"),
    # processes and code
    "fork": os.fork,
    "posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "execve": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606 - the point
    "execve of a memfd": execute_memory,
    "executable mmap": executable_memory,
    "executable mprotect": make_executable,
    # the kernel
    "mount": lambda: checked(LIBC.mount(b"none", NOWHERE, b"tmpfs", 0, None)),
    "unshare": lambda: checked(LIBC.unshare(CLONE_NEWUSER)),
    "setns": lambda: checked(LIBC.setns(0, 0)),
    "setuid": lambda: os.setuid(os.getuid()),
    "chroot": lambda: os.chroot("/"),
    "bpf": raw("bpf", 0, None, 0),
    "userfaultfd": raw("userfaultfd", 1),
    "io_uring_setup": raw("io_uring_setup", 1, ctypes.create_string_buffer(120)),
    "keyctl": raw("keyctl", 0, -3, 0),
    "memfd_create": raw("memfd_create", b"x", 0),
    "perf_event_open": raw("perf_event_open", ctypes.create_string_buffer(128), 0, -1, -1, 0),
    "personality": lambda: checked(LIBC.personality(0xFFFF_FFFF)),
    "prctl": lambda: checked(LIBC.prctl(4, 1, 0, 0, 0)),
    "seccomp": raw("seccomp", 1, 0, None),
    "rt_sigaction": lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN),
    "a call of tomorrow": lambda: checked(LIBC.syscall(9_999)),
    "a call of x32": lambda: checked(LIBC.syscall(X32 | 39)),
    # what stays allowed
    "getpid": os.getpid,
    "abort": os.abort,
}


REFUSED_TWICE = (
    "ptrace", "process_vm_readv", "process_vm_writev", "kill", "tgkill", "rt_sigqueueinfo", "unlink", "connect TCP",
    "connect abstract", "execve",
)  # fmt: skip
REAL = dict(isolation.FEATURES)


def said(call: Callable[[], object]) -> str:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            isolation.isolate(SandboxLimits(), files_and_processes=False)
            call()
            os.write(writer, b"done")
        except OSError as error:
            os.write(writer, errno.errorcode[error.errno or 0].encode())
        except BaseException as error:  # noqa: BLE001 - the child says what it was
            os.write(writer, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "killed" if number == signal.SIGSYS else signal.Signals(number).name
    return text or "done"  # a program that was executed


def said_with(features: Collection[str], calls: Iterable[str]) -> dict[str, str]:
    isolation.FEATURES.update({name: REAL[name] if name in features else lambda: "not here" for name in REAL})
    return {name: said(CALLS[name]) for name in calls} | {"the secret": SECRET.raw.decode()}


if __name__ == "__main__":
    print(
        json.dumps({
            "all": said_with(REAL, CALLS),
            "landlock": said_with({"landlock"}, REFUSED_TWICE),
            "none": said_with((), REFUSED_TWICE),
        })
    )  # fmt: skip
    Path(FILE.name).unlink(missing_ok=True)

"""Linux's system calls that Python has no function for. ``ctypes`` is loaded with the first call."""

import os

_PR_SET_DUMPABLE = 4


def prctl(option: int, value: int) -> None:
    """Raise ``OSError`` where the kernel refuses."""
    _checked("prctl", option, value, 0, 0, 0)


def syscall(number: int, *arguments: object) -> int:
    """Make a call by its number, which depends on the architecture; raises ``OSError``. Pointers are of ``ctypes``."""
    return _checked("syscall", number, *arguments)


def refuse_inspection() -> None:
    """Keep other processes of this user from reading or writing our memory (ptrace, /proc/PID/mem), root's excepted.

    It also means that no core dump, which would hold secrets, is written. A new program (exec) begins without it.
    """
    prctl(_PR_SET_DUMPABLE, 0)


def _checked(function: str, *arguments: object) -> int:
    import ctypes  # it takes 1 MB, which the command line need not load

    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    answer: int = getattr(ctypes.CDLL(None, use_errno=True), function)(*values)
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer

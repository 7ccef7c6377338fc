"""Linux's system calls that Python has no function for. ``ctypes`` is loaded with the first call: it takes 1 MB."""

import os
from functools import cache
from typing import Any

_PR_SET_DUMPABLE = 4


def prctl(option: int, value: int) -> None:
    """Raise ``OSError`` where the kernel refuses."""
    _checked("prctl", option, value, 0, 0, 0)


def syscall(number: int, *arguments: int | bytes | None) -> int:
    """Make a call by its number, which depends on the architecture; raises ``OSError``. Bytes go as a pointer."""
    return _checked("syscall", number, *arguments)


def refuse_inspection() -> None:
    """Keep other processes of this user from reading or writing our memory (ptrace, /proc/PID/mem), root's excepted.

    It also means that no core dump, which would hold secrets, is written. A new program (exec) begins without it.
    """
    prctl(_PR_SET_DUMPABLE, 0)


def address(data: bytes) -> int:
    """Return where bytes are, which have to outlive the use."""
    import ctypes

    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


@cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _checked(function: str, *arguments: int | bytes | None) -> int:
    import ctypes

    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    answer: int = getattr(_libc(), function)(*values)
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer

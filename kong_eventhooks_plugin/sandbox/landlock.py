"""Landlock: the kernel's own refusal of files, TCP, other processes' signals and abstract sockets, whatever the call.

It stands behind ``seccomp``, and refuses by object where that refuses by call. Each version of its interface can refuse
more (linux/landlock.h); a process here gets all that the kernel's version has, without exceptions. A process in it also
cannot trace one outside (ptrace, process_vm_writev, /proc/PID/mem).
"""

import os
import struct
from typing import Final

from kong_eventhooks_plugin.linux import syscall

_CREATE_RULESET: Final = 444  # the same on every architecture
_RESTRICT_SELF: Final = 446
_GET_VERSION: Final = 1

_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""The kernel's version of the interface -> how many kinds of access to files it knows; kinds are bits."""

_TCP_SINCE: Final = 4
_TCP: Final = 0b11  # bind, connect
_SCOPES_SINCE: Final = 6
_SCOPES: Final = 0b11  # abstract sockets, signals


def missing() -> str | None:
    """Return why the kernel has no Landlock, None where it has."""
    try:
        version()
    except OSError as error:
        return str(error.strerror)
    return None


def restrict() -> None:
    """Refuse everything to this thread, for good; raises ``OSError``. ``PR_SET_NO_NEW_PRIVS`` comes before."""
    refused = rights(version())
    ruleset = syscall(_CREATE_RULESET, refused, len(refused), 0)
    try:
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def rights(version: int) -> bytes:
    """Return the ``struct landlock_ruleset_attr`` that names all that ``version`` can refuse."""
    files = (1 << max(bits for since, bits in _FILE_RIGHTS.items() if since <= version)) - 1
    fields = [files]
    if version >= _TCP_SINCE:
        fields.append(_TCP)
    if version >= _SCOPES_SINCE:
        fields.append(_SCOPES)
    return struct.pack(f"={len(fields)}Q", *fields)


def version() -> int:
    return syscall(_CREATE_RULESET, None, 0, _GET_VERSION)

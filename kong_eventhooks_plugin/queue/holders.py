"""The name of a process that may hold the delivery lease, and whether that process has exited.

A lease expires after some seconds; a killed worker would delay every delivery that long. Its successor on the same
machine can see that it has exited. A name is ``host/namespace/pid/start``: process ids are valid within one PID
namespace (containers), and the start time tells a process from a later one with the same id.

A /proc that is mounted with ``hidepid`` (systemd's ``ProtectProc``) hides every other process of ours, because none may
be inspected (``linux.refuse_inspection``). Then a process whose id is in use may be the holder, or a later one.
"""

import os
import socket
from pathlib import Path

_PROC = Path("/proc")
_PARTS = 4
_STAT_START = 19
"""In /proc/PID/stat, behind the command: field 22, in clock ticks since the machine started (proc(5))."""


def this_process() -> str:
    pid = os.getpid()
    return "/".join((socket.gethostname(), _namespace(), str(pid), _started(pid) or "?"))


def exited(holder: str) -> bool:
    """Return whether the process has certainly exited; False for one that cannot be seen from here."""
    return _is_running(holder) is False


def running(holder: str) -> bool:
    """Return whether the process certainly runs; False for one that cannot be seen from here."""
    return _is_running(holder) is True


def _is_running(holder: str) -> bool | None:
    parts = holder.rsplit("/", _PARTS - 1)
    if len(parts) != _PARTS or not parts[2].isdecimal():
        return None
    host, namespace, pid, started = parts
    if host != socket.gethostname() or namespace != _namespace() or started == "?":
        return None
    found = _started(int(pid))
    return None if found is None and _is_used(int(pid)) else found == started


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").stat().st_ino)
    except OSError:
        return "?"


def _started(pid: int) -> str | None:
    """Return when the process started, empty for a zombie, None where there is none or it is hidden."""
    try:
        text = (_PROC / f"{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[_STAT_START]


def _is_used(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's
    return True

"""What Kong lost before the sidecar heard of it: its error log has a line for each call, and nothing else counts them.

Limit: the last ``BYTES`` of that log are read, and nothing of one that is no regular file here (a container's).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from kong_eventhooks_plugin.files import opened

BYTES: Final = 16 << 20


class Loss(NamedTuple):
    """Calls that were lost in one way; ``last`` is Kong's local time."""

    calls: int
    last: str
    why: str
    fix: str


_TIMERS: Final = (
    rb"[^\n]*plugin_servers/plugin\.lua[^\n]*lua_max_running_timers are not enough",
    "calls of plugins like this one were dropped: a worker of Kong's had no timer left",
    "give the sidecar a processor of its own; worker_stalled in its log says when calls waited for it",
)
_FULL: Final = (
    rb"[^\n]*connect\(\) to unix:%b failed \(11: ",
    "calls found no room on the plugin socket, where so many waited",
    "raise net.core.somaxconn, then restart the sidecar",
)
_UNSERVED: Final = (
    rb"[^\n]*connect\(\) to unix:%b failed \((?!11: )",
    "calls could not connect to the plugin socket",
    "keep the sidecar running, and let Kong's user connect: socket_group",
)
_RAISED: Final = (
    rb"[^\n]*failed to run log_by_lua\*",
    "requests ended with an error of another plugin's log phase, which may have kept them from this one",
    "fix or remove the plugin that Kong's error log names there",
)
_TIME: Final = rb"^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) "


def read_losses(error_log: Path, socket: Path) -> Iterator[Loss]:
    """Yield what an error log of Kong's says; raises ``OSError`` where it cannot be read."""
    with opened(error_log) as descriptor:
        os.lseek(descriptor, max(0, os.fstat(descriptor).st_size - BYTES), os.SEEK_SET)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            text = file.read(BYTES)
    path = re.escape(os.fsencode(socket))
    for pattern, why, fix in (_TIMERS, _FULL, _UNSERVED, _RAISED):
        times = re.findall(_TIME + pattern.replace(b"%b", path), text, re.MULTILINE)
        if times:
            yield Loss(len(times), times[-1].decode(), why, fix)

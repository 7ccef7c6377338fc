"""Kong's error log as a file: lines are appended as nginx writes them, each an entry with its time and level.

The file is opened for each write, so that Kong may rotate it, and never made: where it is missing the path is wrong.
A pipe that nobody reads does not block: it counts as an error, as a full disk does.

What somebody else could plant is not written to: in a directory that belongs neither to our user nor to root, a link is
not followed, and the file must be a regular one with no second name.
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.background import RateLimitedLogger
from kong_eventhooks_plugin.model.log_line import Level, LogLine

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_NGINX: Mapping[Level, str] = {"err": "error"}


class ErrorLogFile:
    """``clock`` gives Unix seconds."""

    def __init__(self, path: str, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._limited_log = RateLimitedLogger(time.monotonic)

    def write(self, lines: Sequence[LogLine]) -> bool:
        """Append the lines; False, and logged, where the file cannot have them."""
        stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(self._clock()))
        pid = os.getpid()
        text = "".join(f"{stamp} [{_NGINX.get(line.level, line.level)}] {pid}#0: {line.text}\n" for line in lines)
        data = memoryview(text.encode("utf-8", "replace"))
        try:
            descriptor = _opened(self._path)
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
            finally:
                os.close(descriptor)
        except OSError as error:
            self._limited_log.warning("kong_error_log_unwritable", "", path=self._path, error=str(error.strerror))
            return False
        return True


def _opened(path: str) -> int:
    try:
        with files.own_directory(Path(path).parent):
            return os.open(path, _FLAGS)
    except files.ForeignDirectory:
        descriptor = os.open(path, _FLAGS | os.O_NOFOLLOW)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EPERM, "another user owns the directory, and the file is no regular one or has a second name")

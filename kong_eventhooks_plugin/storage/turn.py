"""Whose turn it is among the processes over one data directory: two overlap while Kong reloads.

It is a lock on a file, which ends with its process, however that ends. Limit: none; a process that has not got it asks
again whenever it wants to know.
"""

import fcntl
import os
from pathlib import Path

import structlog

from kong_eventhooks_plugin import files

NAME = "polling.lock"

_log = structlog.get_logger()


class Turn:
    """``taken`` is called on one thread, as often as somebody wants to know."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._descriptor: int | None = None
        self._ended = False
        self._error: str | None = None

    def taken(self) -> bool:
        """Return whether it is this process's turn, and take it where nobody has it."""
        if self._descriptor is None and not self._ended:
            self._descriptor = self._take()
        return self._descriptor is not None

    def end(self) -> None:
        """Leave the turn to another process, for good."""
        self._ended = True
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self) -> int | None:
        try:
            with files.own_directory(self._data_dir) as directory:
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(NAME, flags, 0o600, dir_fd=directory)
        except OSError as error:
            self._note(error)
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                self._note(error)
            return None
        return descriptor

    def _note(self, error: OSError) -> None:
        if self._error != error.strerror:
            _log.error("polling_lock_failed", error=error.strerror)
        self._error = error.strerror

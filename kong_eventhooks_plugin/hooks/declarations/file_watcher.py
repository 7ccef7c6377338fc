"""Polls declarative files once a second.

Polling, not inotify: a Kubernetes ConfigMap changes by a swapped symlink, NFS reports nothing, editors rename. A poll
is a ``stat``. Where that changed, the content is read, and once more at the next poll, since a second change within one
tick of the file system's clock leaves the same ``stat``. It is parsed where its hash changed. Reading and parsing run
in a thread.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from pathlib import Path

import structlog

from kong_eventhooks_plugin.hooks.declarations import documents, kong_yml
from kong_eventhooks_plugin.hooks.declarations.declared import Declared
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation

SECONDS = 1.0

_log = structlog.get_logger()

Listener = Callable[[str, Declared], None]


class FileWatcher:
    """Calls ``listener`` with what a file declares or with its errors: at the first poll and after each change.

    ``wait`` is called with the seconds until the next poll.
    """

    def __init__(
        self,
        paths: Iterable[str],
        validation: Validation,
        listener: Listener,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        loaded: Callable[[], None] = lambda: None,
    ) -> None:
        self._files = [_File(path, validation) for path in paths]
        self._listener = listener
        self._wait = wait
        self._on_loaded = loaded

    async def poll(self) -> None:
        for file in self._files:
            declared = await asyncio.to_thread(file.poll)
            if declared is not None:
                _report(file.path, declared)
                self._listener(file.path, declared)

    async def run(self) -> None:
        await self.poll()
        self._on_loaded()
        while True:
            await self._wait(SECONDS)
            await self.poll()


def _report(path: str, declared: Declared) -> None:
    if declared.errors:
        _log.warning("declarative_file_invalid", file=path, errors=len(declared.errors), error=str(declared.errors[0]))
    else:
        _log.info("declarative_file_loaded", file=path, hooks=len(declared.hooks))


_Signature = tuple[int, int, int, int] | str


class _File:
    def __init__(self, path: str, validation: Validation) -> None:
        self.path = path
        self._validation = validation
        self._signature: _Signature | None = None
        self._stable = False
        self._content: bytes | None = None

    def poll(self) -> Declared | None:
        """Return what the file declares, None where its content is the same as before."""
        signature = _signature(self.path)
        moved, self._signature = signature != self._signature, signature
        if not moved and self._stable:
            return None
        self._stable = not moved
        try:
            data = documents.read_bytes(self.path)
        except documents.Unreadable as error:
            unreadable = Declared(errors=(error.error,))
            return self._if_new(str(error).encode(), lambda: unreadable)
        return self._if_new(sha256(data).digest(), lambda: kong_yml.parse(data, self.path, self._validation))

    def _if_new(self, content: bytes, read: Callable[[], Declared]) -> Declared | None:
        if content == self._content:
            return None
        self._content = content
        return read()


def _signature(path: str) -> _Signature:
    try:
        found = Path(path).stat()
    except (OSError, ValueError) as error:
        return str(error)
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)

"""Files that are opened by a name which somebody else gave, or in a directory that others may write to.

=================== ====================================================================================
trap                what protects
=================== ====================================================================================
a pipe, a device    opened without waiting; only a regular file is read, seen by what was opened, not by its name
a file without end  the caller's limit
/proc/kmsg          it is a regular file: reading does not wait either, and what is not there yet is an error
a link to elsewhere ``read_below`` compares where the opened file really is; ``created`` follows no link
a directory of      refused by ``own_directory``: who owns a directory can replace what we made in it between two of our
another user        calls, and a process of root would then write where that user may not
a lock of somebody  ``locked`` takes it on a file that our user alone can open, not on a directory, which all may read;
else                it waits no longer than it is told
=================== ====================================================================================

Reading can still take long, or for ever, where the file system does (NFS, FUSE): on an event loop, call it in a thread.
Everything raises ``OSError`` whose ``strerror`` says what is wrong with the file.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Collection, Iterator
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20
ROOT = 0
_LOCK_PACE = 0.02


class ForeignDirectory(PermissionError):
    """A directory belongs to somebody else; the text has the way out."""


def read(path: str | Path, limit: int, flags: int = 0) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes; ``flags`` are added to those of open(2)."""
    with opened(path, flags) as descriptor:
        return _content(descriptor, limit)


def read_below(path: str, directories: Collection[str], limit: int) -> bytes:
    """Return the content of a regular file that is really, behind every link, below one of the directories."""
    _check_regular(Path(_checked(path)).stat())  # opening a device may do something
    with opened(path) as descriptor:
        real = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if is_below(real, directories) or is_below(real, [os.path.realpath(each) for each in directories]):
            return _content(descriptor, limit)
    raise PermissionError(errno.EACCES, "it is not in a directory of secret_file_directories")


def is_below(path: str, directories: Collection[str]) -> bool:
    """Return whether the path, as it is written, leads to something below one of the directories."""
    normal = os.path.normpath(path)
    return any(normal.startswith(f"{os.path.normpath(directory).rstrip('/')}/") for directory in directories)


@contextlib.contextmanager
def own_directory(path: Path) -> Iterator[int]:
    """Yield a descriptor of a directory that belongs to our user or root; raises ``ForeignDirectory``.

    For root, all directories above it do as well: whose one of them is can put another one in its place.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check_owner(path, os.fstat(descriptor))
        if os.geteuid() == ROOT:
            for above in Path(os.path.realpath(path)).parents:
                _check_owner(above, above.stat())
        yield descriptor
    finally:
        os.close(descriptor)


def _check_owner(directory: Path, found: os.stat_result) -> None:
    owner, us = found.st_uid, os.geteuid()
    if owner not in (us, ROOT):
        raise ForeignDirectory(
            errno.EPERM,
            f"{directory} belongs to user {owner}, who could replace what user {us} writes there; give the directory "
            f"to user {us} (chown {us} {directory}), run the sidecar as user {owner}, or name another directory",
        )


@contextlib.contextmanager
def created(name: str, directory: int, mode: int) -> Iterator[int]:
    """Yield a descriptor of a new file in a directory; whatever has the name, a link too, is removed first."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        os.fchmod(descriptor, mode)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(name: str, directory: int, seconds: float) -> Iterator[None]:
    """Hold the lock of that name in a directory, where nothing is left of it; ``TimeoutError`` after the seconds."""
    deadline = time.monotonic() + seconds
    while (descriptor := _lock(name, directory)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, f"another process has held the lock {name} for {seconds:g} s")
        time.sleep(_LOCK_PACE)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        os.close(descriptor)


def _lock(name: str, directory: int) -> int | None:
    """Return the descriptor of the lock's file, None where another process has the lock, or has just removed it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found, opened_one = os.stat(name, dir_fd=directory, follow_symlinks=False), os.fstat(descriptor)
        if (found.st_dev, found.st_ino) == (opened_one.st_dev, opened_one.st_ino):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


@contextlib.contextmanager
def opened(path: str | Path, flags: int = 0) -> Iterator[int]:
    """Yield a descriptor of a regular file."""
    descriptor = os.open(_checked(path), _FLAGS | flags)
    try:
        _check_regular(os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def _check_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")


def _checked(path: str | Path) -> str:
    text = os.fspath(path)
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise OSError(errno.EINVAL, "it is not a path") from error
    if "\0" in text:
        raise OSError(errno.EINVAL, "it is not a path")
    return text


def _content(descriptor: int, limit: int) -> bytes:
    data = bytearray()
    while chunk := os.read(descriptor, min(_CHUNK_BYTES, limit + 1 - len(data))):
        data += chunk
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"it is larger than {limit:,} bytes")
    return bytes(data)

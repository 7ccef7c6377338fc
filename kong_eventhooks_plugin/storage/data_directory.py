"""Who uses a data directory: a second ``serve`` with other files would remove the first one's hooks from the store.

Workers over one socket share the directory, as a new one starts beside the old while Kong reloads; so do sidecars that
read the same files. A lock on a file says that somebody is there, its content who. ``store migrate`` has a directory
alone, for as long as it reads it.

Limit: whoever is just starting has ``PATIENCE`` seconds to say who it is. Where the file cannot be made or locked (the
store says why then, or the file system has no locks) nobody is refused.
"""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.errors import SettingsError

FILE: Final = "serving"
PATIENCE: Final = 2.0
_PACE: Final = 0.02
_LONGEST: Final = 65_536


class User(msgspec.Struct, frozen=True):
    """A sidecar: its machine, its socket and the files of its hooks."""

    host: str
    socket_path: str
    kong_yml: tuple[str, ...]
    migrating: bool = False
    """It is no sidecar but ``store migrate``, which is alone."""

    def may_join(self, other: "User") -> bool:
        if self.migrating or other.migrating:
            return False
        return (self.host, self.socket_path) == (other.host, other.socket_path) or self.kong_yml == other.kong_yml


_decode = msgspec.json.Decoder(User).decode


def claim(data_dir: Path, socket_path: str, kong_yml: tuple[str, ...]) -> int | None:
    """Claim a data directory; return the descriptor that holds the claim, None where there is none.

    Raises ``SettingsError`` where another sidecar with other files uses it.
    """
    ours = User(socket.gethostname(), str(Path(socket_path).absolute()), kong_yml)
    try:
        with contextlib.suppress(FileExistsError):
            data_dir.mkdir(mode=0o700)
        descriptor = _opened(data_dir)
    except OSError:
        return None
    try:
        theirs = _share(descriptor, ours)
    except (OSError, msgspec.MsgspecError):
        return descriptor
    if theirs is None or ours.may_join(theirs):
        return descriptor
    os.close(descriptor)
    where = "" if theirs.host == ours.host else f" on {theirs.host}"
    if theirs.migrating:
        raise SettingsError(
            f"data_dir: `store migrate`{where} reads {data_dir}; start when that has ended, or set another one"
        )
    raise SettingsError(
        f"data_dir: {data_dir} is in use by the sidecar of the socket {theirs.socket_path}{where}, which reads "
        f"other files (kong_yml: {', '.join(theirs.kong_yml) or 'none'}); give each its own data_dir"
    )


@contextlib.contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Keep sidecars out of a directory. Raises ``SettingsError`` where one uses it, or it cannot be locked."""
    ours = User(socket.gethostname(), "", (), migrating=True)
    try:
        descriptor = _opened(data_dir)
    except OSError as error:
        raise SettingsError(f"{data_dir / FILE}: cannot be locked: {error.strerror}") from error
    try:
        if not _locks(descriptor, fcntl.LOCK_EX):
            raise SettingsError(f"{data_dir}: {_who(descriptor)} uses it; stop that first")
        _write(descriptor, ours)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _who(descriptor: int) -> str:
    try:
        user = _decode(os.pread(descriptor, _LONGEST, 0))
    except (OSError, msgspec.MsgspecError):
        return "a sidecar"
    where = "" if user.host == socket.gethostname() else f" on {user.host}"
    return "another `store migrate`" if user.migrating else f"the sidecar of the socket {user.socket_path}{where}"


def _opened(data_dir: Path) -> int:
    with files.own_directory(data_dir) as directory:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(FILE, flags, 0o600, dir_fd=directory)


def _share(descriptor: int, ours: User) -> User | None:
    """Share the directory; return who had it last, None where nobody did or said so in time."""
    deadline = time.monotonic() + PATIENCE
    while True:
        if _locks(descriptor, fcntl.LOCK_EX):
            _write(descriptor, ours)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return None
        if _locks(descriptor, fcntl.LOCK_SH):
            theirs = _decode(os.pread(descriptor, _LONGEST, 0))
            if ours.may_join(theirs):
                _write(descriptor, ours)  # it may outlive the other
            return theirs
        if time.monotonic() > deadline:
            return None
        time.sleep(_PACE)


def _write(descriptor: int, user: User) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, msgspec.json.encode(user), 0)


def _locks(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

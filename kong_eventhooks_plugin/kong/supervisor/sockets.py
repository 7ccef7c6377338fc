"""The listening socket that Kong's calls arrive on, bound beside its path and renamed over it.

The path therefore never refuses a call while one server hands over to the next. A lock beside it keeps two starters
apart; nothing of it is left.

Limits, and what happens past them:

- A path has at most ``PATH_BYTES`` bytes (the kernel takes 107, and the name beside it is longer): ``SocketError``.
- The kernel keeps ``net.core.somaxconn`` calls waiting (4,096 by default): Kong is refused the next one.
- A starter waits ``LOCK_SECONDS`` for another's lock: then ``SocketError``.

The socket is 0660: whoever reaches it can register hooks, so it is for its user and one group, never for all. Its group
and mode are set by descriptor, so that a link planted in its place has no effect, and a directory that belongs to
somebody else is refused.
"""

import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.errors import SocketError, SocketInUse

MODE = 0o660
BACKLOG = 65_535
"""More than any somaxconn in use: the kernel cuts it down to that."""

_BESIDE = ".new"
_LOCK = ".lock"
PATH_BYTES = 107 - len(_BESIDE)
LOCK_SECONDS = 5.0

PathState = Literal["ours", "taken", "gone"]


class SocketPlan(NamedTuple):
    """Where and how to bind.

    ``group`` is a group's name or number, None for our own. ``take_over`` renames over a live socket of
    another process (Kong starts a server while the one before a reload still runs); without it,
    a live socket is refused.
    """

    path: Path
    group: str | None = None
    take_over: bool = False


class SocketLease:
    """A listening socket and the path that leads to it, for as long as both are ours.

    ``plan`` is None where the socket was handed to us (systemd): its path is then never ours to remove.
    """

    def __init__(
        self, sock: socket.socket, path: Path, plan: SocketPlan | None, identity: tuple[int, int] | None
    ) -> None:
        self.sock = sock
        self.path = path
        self._plan = plan
        self._identity = identity

    def fileno(self) -> int:
        """Return the listening socket's descriptor."""
        return self.sock.fileno()

    def listen(self) -> None:
        """Make the queue of waiting calls as long as allowed, and this process the one whose id the socket shows.

        Call it again once a worker serves. A worker should accept and never listen(2) on the socket that it shares
        with us: asyncio's and uvloop's servers do, and cut the queue to their own length (100 by default). This
        restores it, but until then Kong is refused where more calls wait than that.
        """
        self.sock.listen(BACKLOG)

    def state(self) -> PathState:
        """Return whether the path leads to our socket, to something else (``taken``) or nowhere (``gone``)."""
        if self._identity is None:
            return "ours"
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return "gone"
        except OSError:
            return "ours"  # unreadable just now (permission, I/O): no reason to stop serving
        return "ours" if (found.st_dev, found.st_ino) == self._identity else "taken"

    def rebind(self) -> "SocketLease":
        """Bind again where the path has vanished; the old socket stays open. Raises ``SocketError``."""
        if self._plan is None:
            raise SocketError(f"{self.path}: this socket was inherited (LISTEN_FDS) and cannot be bound again")
        return bind(self._plan)

    def release(self) -> None:
        """Close the socket, and remove the path if it is still our own."""
        if self._identity is not None:
            # Without the lock another starter could rename over the path between the check and the removal. A path
            # that stays because the lock was held is stale, and the next starter replaces it.
            with contextlib.suppress(SocketError, OSError), _start_lock(self.path):
                if self.state() == "ours":
                    self.path.unlink()
        self.sock.close()


def bind(plan: SocketPlan) -> SocketLease:
    """Listen on the plan's path; raises ``SocketInUse`` or a ``SocketError`` that names the setting and the fix."""
    _check_length(plan.path)
    with _explained_errors(plan.path), _start_lock(plan.path) as directory:
        _check_occupant(plan)
        return _bind(plan, directory)


def _bind(plan: SocketPlan, directory: int) -> SocketLease:
    beside = plan.path.with_name(plan.path.name + _BESIDE)
    beside.unlink(missing_ok=True)  # of a starter that was killed here: we hold the lock, so nobody uses it
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _umask(~MODE & 0o777):
            sock.bind(str(beside))
        identity = _set_permissions(beside.name, directory, plan)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        os.rename(beside.name, plan.path.name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        sock.close()
        beside.unlink(missing_ok=True)
        raise
    return SocketLease(sock, plan.path, plan, identity)


def _set_permissions(name: str, directory: int, plan: SocketPlan) -> tuple[int, int]:
    """Admit our user and one group, before anybody can connect: nothing listens yet. Return the socket's identity."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
            raise SocketError(f"socket_path {plan.path}: somebody replaced the socket while it was made; set another")
        ours = f"/proc/self/fd/{descriptor}"  # the socket itself: fchmod(2) refuses such a descriptor
        _give_to_group(ours, found.st_gid, plan.group)
        os.chmod(ours, MODE)  # noqa: PTH101 - the other calls on descriptors are os's too
    finally:
        os.close(descriptor)
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _give_to_group(path: str, has: int, group: str | None) -> None:
    number = has if group is None else _group_number(group)
    if number != has:  # a system call filter may refuse the call whatever it asks for
        try:
            os.chown(path, -1, number)
        except PermissionError as error:
            raise SocketError(
                f"socket_group {group!r}: this process may not give its socket to that group; "
                "run it as a member of the group, or as root"
            ) from error


def _group_number(group: str) -> int:
    if group.isdecimal():
        return int(group)
    import grp  # a module of the C library's name service: only where a name is used

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise SocketError(f"socket_group {group!r}: there is no such group; give its name or its number") from error


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > PATH_BYTES:
        raise SocketError(
            f"socket_path {path}: {length} bytes, and a unix socket's path may have {PATH_BYTES} here; "
            "choose a shorter one"
        )


def _check_occupant(plan: SocketPlan) -> None:
    """Refuse what must not be replaced: a file that is no socket and, unless we take over, a live socket."""
    try:
        found = plan.path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketError(f"socket_path {plan.path}: something is there that is not a socket; remove it or set another")
    if not plan.take_over:
        holder = _holder(plan.path)
        if holder is not None:
            raise SocketInUse(
                f"socket_path {plan.path}: {holder} already listens there; stop it, or set another socket_path "
                "(a server that Kong starts takes over with --started-by-kong)"
            )


def path_of(listening: socket.socket) -> Path:
    """Return the path that leads to a listening socket, which was bound beside it."""
    return Path(os.fsdecode(listening.getsockname()).removesuffix(_BESIDE))


def is_served(path: Path) -> bool:
    """Return whether a process listens on the path, also where its permissions hide it."""
    try:
        return _holder(path) is not None
    except SocketError:
        return True


def _holder(path: Path) -> str | None:
    """Return the name of the process that listens on the path, None where none does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        except BlockingIOError:
            return "a process with a full queue"
        except PermissionError as error:
            raise SocketError(
                f"socket_path {path}: another user's socket is there, and it cannot be checked whether it is in use; "
                "remove it or set another"
            ) from error
        except OSError as error:
            return f"a process of another kind ({error.strerror})"
        size = struct.calcsize("3i")
        pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return f"process {pid}" if pid else "a process of another container"


@contextlib.contextmanager
def _start_lock(path: Path) -> Iterator[int]:
    """Keep other starters away from a socket's path; yield a descriptor of its directory."""
    with files.own_directory(path.parent) as directory, files.locked(path.name + _LOCK, directory, LOCK_SECONDS):
        yield directory


_FIXES = {
    errno.ENOENT: "the directory {directory} does not exist; create it, or set another socket_path",
    errno.ENOTDIR: "{directory} is not a directory; set another socket_path",
    errno.EACCES: "this process may not write to {directory}; give it to our user, or set another socket_path",
    errno.EPERM: "this process may not write to {directory}; give it to our user, or set another socket_path",
    errno.EROFS: "{directory} is read-only; set another socket_path",
}


@contextlib.contextmanager
def _explained_errors(path: Path) -> Iterator[None]:
    """Turn the kernel's errors into a ``SocketError`` that names the setting and the fix."""
    try:
        yield
    except files.ForeignDirectory as error:
        raise SocketError(f"socket_path {path}: {error.strerror}") from error
    except TimeoutError as error:
        raise SocketError(f"{path.parent}: {error.strerror}; look for a server that hangs while it starts") from error
    except OSError as error:
        fix = _FIXES.get(error.errno or 0, "{reason}; set another socket_path")
        text = fix.format(directory=path.parent, reason=error.strerror or error)
        raise SocketError(f"socket_path {path}: {text}") from error

"""The listening socket that systemd hands over (socket activation): LISTEN_FDS and LISTEN_PID.

The protocol is sd_listen_fds(3): descriptors from 3 on, LISTEN_FDS of them, for the process LISTEN_PID
alone. Exactly one is taken, and only if it is what Kong can connect to; anything else is a ``SocketError``.
"""

import os
import socket
from collections.abc import MutableMapping
from pathlib import Path

from kong_eventhooks_plugin.errors import SocketError
from kong_eventhooks_plugin.kong.supervisor.sockets import SocketLease

FIRST_DESCRIPTOR = 3
_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


def inherited(environment: MutableMapping[str, str]) -> SocketLease | None:
    """Return the socket that was handed to this process, None where there is none.

    The variables are removed from ``environment``: our children must not inherit them.
    """
    count, pid, _ = (environment.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()):
        return None
    if count != "1":
        raise SocketError(f"LISTEN_FDS={count}: the socket unit must hand over exactly one socket (one ListenStream=)")
    os.set_inheritable(FIRST_DESCRIPTOR, False)
    try:
        sock = socket.socket(fileno=FIRST_DESCRIPTOR)
    except OSError as error:
        raise SocketError(f"LISTEN_FDS: descriptor {FIRST_DESCRIPTOR} is not a socket") from error
    _check(sock)
    sock.setblocking(False)
    return SocketLease(sock, Path(os.fsdecode(sock.getsockname())), plan=None, identity=None)


def _check(sock: socket.socket) -> None:
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise SocketError("LISTEN_FDS: not a unix stream socket; the socket unit needs ListenStream=/a/path")
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise SocketError("LISTEN_FDS: the socket does not listen; the socket unit needs Accept=no")

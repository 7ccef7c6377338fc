"""The supervisor as a program of its own, so that it carries nothing of the command line's libraries.

``become`` replaces the calling process with it: the process id, which Kong and systemd know, stays.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

from kong_eventhooks_plugin.errors import SocketError
from kong_eventhooks_plugin.files import ROOT
from kong_eventhooks_plugin.kong.supervisor.inherited_socket import inherited
from kong_eventhooks_plugin.kong.supervisor.plain_log import PlainLog
from kong_eventhooks_plugin.kong.supervisor.sockets import SocketLease, SocketPlan, bind
from kong_eventhooks_plugin.kong.supervisor.supervisor import Supervisor
from kong_eventhooks_plugin.linux import refuse_inspection

EXIT_NO_SOCKET = 2
"""The exit status of every usage error on the command line."""


class Supervision(NamedTuple):
    """The supervisor's arguments; plain values, because they pass through a command line as JSON.

    ``worker`` is the worker's command, its first part an absolute path. ``drain_seconds`` is how long a
    worker may take to drain, ``watchdog_seconds`` to answer (0: for ever). ``log`` is the format of log lines.
    """

    socket_path: str
    socket_group: str | None
    started_by_kong: bool
    drain_seconds: float
    watchdog_seconds: float
    log: Literal["json", "human"]
    worker: Sequence[str]


def become(supervision: Supervision) -> NoReturn:
    """Replace this process with the supervisor."""
    sys.stdout.flush()
    sys.stderr.flush()
    text = json.dumps(supervision._asdict())
    # -P: import nothing from the current directory. No shell: our own interpreter.
    os.execv(sys.executable, [sys.executable, "-P", "-m", __name__, text])  # noqa: S606


def lease(supervision: Supervision) -> SocketLease:
    """Return the socket that systemd hands over, or else bind the path; raises ``SocketError``."""
    plan = SocketPlan(
        path=Path(supervision.socket_path), group=supervision.socket_group, take_over=supervision.started_by_kong
    )
    return inherited(os.environ) or bind(plan)


def main(arguments: Sequence[str]) -> int:
    """Supervise as the one argument says; return the exit status."""
    refuse_inspection()
    supervision = Supervision(**json.loads(arguments[0]))
    try:
        held = lease(supervision)
    except SocketError as error:
        sys.stderr.write(f"kong-event-hooks: {error}\n")
        return EXIT_NO_SOCKET
    log = PlainLog(human=supervision.log == "human")
    if os.geteuid() == ROOT:
        log.warning("running_as_root", advice="run it as a user of its own, in the group of Kong's workers")
    return Supervisor(
        held,
        supervision.worker,
        started_by_kong=supervision.started_by_kong,
        drain_seconds=supervision.drain_seconds,
        watchdog_seconds=supervision.watchdog_seconds,
        log=log,
    ).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

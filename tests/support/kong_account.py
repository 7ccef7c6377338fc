"""An exact account of what Kong logged and what the sidecar made of it: nothing may be missing between the two.

Kong's access log has a line for each request whose log phase ran, those included that a client no longer waited for.
So of a route with ``event-hooks`` there are as many lines as calls reach the sidecar, and as many with a status that a
hook subscribes to as become events, are left unread or are counted as lost. What is between is what Kong dropped.
"""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kong_eventhooks_plugin.queue.contract import LOSSES

LOG = "logs/account.log"
CONF = {
    "nginx_http_log_format": "account '$pid $status $kong_request_id $request_uri'",
    "proxy_access_log": f"{LOG} account",
}
"""What kong.conf needs for it."""

DROPPED = "lua_max_running_timers are not enough"
"""Kong's error log has a line with this for each call that its timers had no room for."""

_METRIC = re.compile(r"^kong_event_hooks_(\w+?)(?:_total)?(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class Logged(NamedTuple):
    """A request in Kong's access log; ``worker`` is nginx's process."""

    worker: str
    status: int
    request_id: str
    path: str


def logged(prefix: Path, path: str, start: int = 0) -> list[Logged]:
    """Return the requests to a path; those whose lines are whole, from a place in the log on."""
    with (prefix / LOG).open("rb") as log:
        log.seek(start)
        lines = log.read().decode().rpartition("\n")[0].splitlines()
    found = (line.split(" ") for line in lines)
    return [
        Logged(worker, int(status), request_id, uri)
        for worker, status, request_id, uri in found
        if uri.startswith(path)
    ]


class Account(NamedTuple):
    """What the sidecar counts; ``failed`` are calls that ended without their event (in the metric of socket errors)."""

    calls: int
    events: int
    unread: int
    lost: int
    failed: int

    def since(self, before: "Account") -> "Account":
        """Return what came since."""
        return Account(*(late - early for late, early in zip(self, before, strict=True)))

    @property
    def known(self) -> int:
        """How many requests with a status that a hook subscribes to are accounted for."""
        return self.events + self.unread + self.lost + self.failed


def account(metrics: bytes) -> Account:
    """Read what the sidecar counts; of events those of ``rate-limiting``."""
    counts: Counter[str] = Counter()
    for name, labels, value in _METRIC.findall(metrics.decode()):
        if _COUNTED.get(name, _any)(labels):
            counts[name] += round(float(value))
    return Account(
        *(counts[name] for name in ("plugin_calls", "events", "unread_logs", "events_lost", "socket_errors"))
    )


def _any(_labels: str) -> bool:
    return True


FAILED = ("internal_error", "oversized", "pdk_answer", "peer_gone", "stalled")
_COUNTED: dict[str, Callable[[str], bool]] = {
    "plugin_calls": lambda labels: 'call="handle_event"' in labels,
    "events": lambda labels: 'source="rate-limiting"' in labels,
    "events_lost": lambda labels: (
        not any(f'reason="{reason}"' in labels for reason in LOSSES)
    ),  # those are events as well
    "socket_errors": lambda labels: any(f'reason="{reason}"' in labels for reason in FAILED),
}
"""A metric -> which of its labels are counted, where not all are."""

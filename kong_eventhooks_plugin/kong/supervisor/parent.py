"""Whether the process that started us is still there.

A server that Kong started ends itself when that Kong has gone. Kong's worker is our parent; when it
dies, we get another one. Which one says nothing (1 is a common parent from the start in a container,
and a process in between may adopt orphans), so what counts is that it is not the one of the start.

The kernel could send a signal instead (PR_SET_PDEATHSIG), but it does so when the *thread* that
started us ends, and which thread of nginx that was is not ours to know. So we ask, at the pace of the
supervisor's look-round.
"""

import os
from collections.abc import Callable


class ParentMonitor:
    """Remembers the parent at the start."""

    def __init__(self, ask: Callable[[], int] = os.getppid) -> None:
        self._get_parent_pid = ask
        self.pid = ask()

    def exited(self) -> bool:
        """Tell whether the parent of the start has ended. Never true where it cannot be seen (its id is 0)."""
        return self._get_parent_pid() != self.pid

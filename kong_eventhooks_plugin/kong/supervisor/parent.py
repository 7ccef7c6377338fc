"""Whether the process that started us still runs.

A server that Kong started exits after that Kong has exited. Kong's worker is our parent; when it
dies, we get another one. Its id proves nothing (in a container, 1 may be the parent from the start,
and a process in between may adopt orphans), so what counts is that it is not the parent of the start.

The kernel could send a signal instead (PR_SET_PDEATHSIG), but it does so when the *thread* that
started us ends, and we cannot know which thread of nginx that was. So the supervisor polls.
"""

import os
from collections.abc import Callable


class ParentMonitor:
    def __init__(self, get_parent_pid: Callable[[], int] = os.getppid) -> None:
        self._get_parent_pid = get_parent_pid
        self.pid = get_parent_pid()

    def exited(self) -> bool:
        """Return whether the parent of the start has exited. Never true where it cannot be seen (its id is 0)."""
        return self._get_parent_pid() != self.pid

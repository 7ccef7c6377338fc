"""Which connections have a call under way, in memory that outlives the worker.

What becomes of a connection of a killed worker depends on this: Kong waits on one with a call under way, and has
put an idle one back into its pool. The worker marks a byte per connection before it reads from it; the supervisor
maps the same memory and reads it when the worker has exited.

Limit: ``SLOTS`` connections, as many as a server has open (``server.CONNECTIONS``); one more shares ``NO_SLOT``,
which nobody reads.
"""

import mmap
import os

SLOTS = 4_096
NO_SLOT = SLOTS

IDLE = 0
UNDER_WAY = 1


def make() -> int:
    """Return a descriptor of fresh marks, all idle."""
    descriptor = os.memfd_create("event-hooks-calls", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, SLOTS + 1)
    return descriptor


def map_marks(descriptor: int) -> mmap.mmap:
    """Map marks for reading and writing; the descriptor may then be closed."""
    return mmap.mmap(descriptor, SLOTS + 1)

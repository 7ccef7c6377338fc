"""Read by every Python that is started with this folder in PYTHONPATH: a worker's time of day can be set from outside.

``SETTABLE_CLOCK`` names a file of eight bytes, a float: the seconds that the worker's clock is ahead of the machine's.
Nobody can set the clock of a machine for one process: Linux has no time namespace for it, and the preloaded libraries
that pretend are not at hand everywhere. The monotonic clock goes on as it is.

The worker answers each call after the commit, however late, as in ``tests/support/patience``, which says why.
"""

import mmap
import os
import runpy
import sys
import time
from pathlib import Path
from struct import Struct

_AHEAD = Struct("d")
_PATIENCE = Path(__file__).resolve().parents[3] / "tests" / "support" / "patience" / "sitecustomize.py"


def _set_from(path: str) -> None:
    """Replace ``time.time`` before the package is imported, which keeps it as default arguments."""
    real = time.time
    with Path(path).open("rb") as file:
        ahead = mmap.mmap(file.fileno(), _AHEAD.size, prot=mmap.PROT_READ)

    def settable() -> float:
        return real() + float(_AHEAD.unpack_from(ahead)[0])

    time.time = settable


if "worker" in sys.orig_argv:
    _set_from(os.environ["SETTABLE_CLOCK"])
    runpy.run_path(str(_PATIENCE))

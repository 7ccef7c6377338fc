"""How a process that answers Kong sets Python: when the garbage collector runs, and how long a thread's turn is."""

import gc
import sys

COLLECT_AFTER = 10_000
"""New objects before the garbage collector looks at them. With 700, as Python has it, it finds each call that waits
for a commit alive, three times, and takes a sixth of the time under a flood."""

TURN_SECONDS = 0.000_5
"""How long a thread runs Python while another one waits to. With 5 ms, as Python has it, the loop waits so long each
time that it comes back from the kernel while a thread of ours works: the mirror's, the one that sends spans."""


def collect_seldom() -> None:
    """Let the garbage collector run seldom, and never visit again what exists now."""
    gc.enable()  # the command that started us had it off
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


def take_short_turns() -> None:
    """Let no thread hold the loop up for long."""
    sys.setswitchinterval(TURN_SECONDS)

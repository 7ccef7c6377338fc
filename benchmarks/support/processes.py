"""CPU time of other processes, from /proc."""

import os
from collections.abc import Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """Return the CPU seconds so far of those processes that are there."""
    found = {}
    for pid in pids:
        try:
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[pid] = (int(after_name[11]) + int(after_name[12])) / TICKS
    return found


def children(pid: int) -> list[int]:
    """Return the ids of a process's children; one that has ended meanwhile has none."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def processes(pid: int) -> list[int]:
    """Return a process and all below it."""
    return [pid, *(below for child in children(pid) for below in processes(child))]


def cpu(pid: int) -> float:
    """Return the CPU seconds of a process and all below it."""
    return sum(cpu_seconds(processes(pid)).values())


def cpu_with_ended(pid: int) -> float:
    """Return the same with what those of its children used that have ended."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return cpu(pid) + (int(after_name[13]) + int(after_name[14])) / TICKS

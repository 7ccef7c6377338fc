"""``benchmarks/soak_cluster.py`` with a seed of its own, a round of every fault; longer by its options."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak_cluster.py"


GENTLE = (
    "commits cut", "connections cut", "node cut off", "node ended", "store out of reach", "store restarted",
    "store crashed", "store read-only", "clock set",
)  # fmt: skip


@pytest.mark.usefixtures("postgres_programs")
@pytest.mark.parametrize(
    "options", [("--seconds=20", "--seed=1"), ("--seconds=5", "--seed=4", "--faults", *GENTLE)], ids=["all", "gentle"]
)
def test_every_accepted_event_arrives_and_only_what_was_under_way_twice(options: tuple[str, ...]) -> None:
    """Twice only where a node or a receiver was killed or stood still, or the store has forgotten it."""
    command = [sys.executable, str(SOAK), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout

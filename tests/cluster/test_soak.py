"""``benchmarks/soak_cluster.py`` with a seed of its own, a round of every fault; longer by its options."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak_cluster.py"


@pytest.mark.usefixtures("postgres_programs")
def test_every_accepted_event_arrives_whatever_breaks() -> None:
    command = [sys.executable, str(SOAK), "--seconds=20", "--seed=1"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout

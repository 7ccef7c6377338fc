"""``benchmarks/soak.py``, for seconds; a minute of it in the long run, an hour with ``make soak``."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


def soaked(*options: str, seconds: float) -> None:
    """Run it; what it printed is the message where something did not hold."""
    command = [sys.executable, str(SOAK), f"--seconds={seconds}", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_accepted_event_arrives_whatever_breaks() -> None:
    faults = ("worker killed", "disk full", "receiver killed", "clock set back")
    soaked("--seed=1", "--socket-rate=30", "--api-rate=15", "--faults", *faults, seconds=4)


@pytest.mark.long
def test_a_minute_of_everything() -> None:
    soaked("--seed=2", seconds=60)

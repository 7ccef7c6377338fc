"""A lesser user, for tests of what a process of root meets in that user's directories. Others skip."""

import os
from pathlib import Path

import pytest

OTHER = 65_534
"""The user nobody."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a directory of another user made")


def belonging_to(user: int, directory: Path) -> Path:
    """Make a directory that belongs to the user."""
    directory.mkdir()
    os.chown(directory, user, user)
    return directory

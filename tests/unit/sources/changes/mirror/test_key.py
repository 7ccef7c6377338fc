"""The digests' key: made once, for its owner alone, by whoever comes first."""

import stat
import threading
from pathlib import Path

import pytest

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.sources.changes.mirror.key import NAME, mirror_key


def test_made_once(tmp_path: Path) -> None:
    key = mirror_key(tmp_path)
    assert len(key) == 32
    assert mirror_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [NAME]


def test_two_at_once_have_one_key(tmp_path: Path) -> None:
    keys: list[bytes] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        keys.append(mirror_key(tmp_path))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_file_that_is_no_key(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    key = mirror_key(tmp_path)
    assert key != content
    assert mirror_key(tmp_path) == key


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"mirror\.key: No such file"):
        mirror_key(tmp_path / "none")

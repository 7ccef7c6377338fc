import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.storage import data_directory
from kong_eventhooks_plugin.storage.data_directory import FILE, alone, claim

HOLD = """
import sys
from pathlib import Path
from kong_eventhooks_plugin.storage.data_directory import claim
assert claim(Path(sys.argv[1]), sys.argv[2], ()) is not None
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_sidecar_with_another_socket_is_refused_while_the_first_one_lives(tmp_path: Path) -> None:
    held = claim(tmp_path / "data", "/run/one.sock", ("one.yml",))
    assert held is not None
    with pytest.raises(
        SettingsError,
        match=r"in use by the sidecar of the socket /run/one\.sock, which reads other files \(kong_yml: one\.yml\); g",
    ):
        claim(tmp_path / "data", "/run/two.sock", ("two.yml",))
    os.close(held)
    assert claim(tmp_path / "data", "/run/two.sock", ("two.yml",)) is not None


def test_workers_of_one_socket_share_it(tmp_path: Path) -> None:
    first, second = claim(tmp_path, "/run/one.sock", ("one.yml",)), claim(tmp_path, "/run/one.sock", ("one.yml",))
    assert first is not None
    os.close(first)
    with pytest.raises(SettingsError):  # the second one still holds it
        claim(tmp_path, "/run/two.sock", ("two.yml",))
    assert second is not None


def test_sidecars_of_the_same_files_share_it(tmp_path: Path) -> None:
    assert claim(tmp_path, "/run/one.sock", ("one.yml",)) is not None
    assert claim(tmp_path, "/run/two.sock", ("one.yml",)) is not None


def test_a_worker_with_other_files_than_the_one_before_it_is_the_one_to_join(tmp_path: Path) -> None:
    before = claim(tmp_path, "/run/one.sock", ("one.yml",))
    assert before is not None
    assert claim(tmp_path, "/run/one.sock", ("changed.yml",)) is not None
    os.close(before)
    assert claim(tmp_path, "/run/two.sock", ("changed.yml",)) is not None
    with pytest.raises(SettingsError):
        claim(tmp_path, "/run/three.sock", ("one.yml",))


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path), "/run/one.sock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SettingsError):
            claim(tmp_path, "/run/two.sock", ("two.yml",))
        holder.kill()
    assert claim(tmp_path, "/run/two.sock", ("two.yml",)) is not None


def test_one_on_another_machine_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as there:
        there.setattr(socket, "gethostname", lambda: "elsewhere")
        claim(tmp_path, "/run/one.sock", ("one.yml",))
    with pytest.raises(SettingsError, match=r"/run/one\.sock on elsewhere"):
        claim(tmp_path, "/run/one.sock", ("two.yml",))


def test_where_nothing_can_be_locked_nobody_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FILE).symlink_to("/dev/null")
    assert claim(tmp_path, "/run/one.sock", ("one.yml",)) is None
    assert claim(tmp_path / "not" / "there", "/run/one.sock", ("one.yml",)) is None
    monkeypatch.setattr(data_directory, "PATIENCE", 0.0)
    (tmp_path / "ours").mkdir()
    assert claim(tmp_path / "ours", "/run/one.sock", ("one.yml",)) is not None


def test_store_migrate_is_alone(tmp_path: Path) -> None:
    held = claim(tmp_path, "/run/one.sock", ("one.yml",))
    assert held is not None
    with (
        pytest.raises(SettingsError, match=r"the sidecar of the socket /run/one\.sock uses it; stop that first"),
        alone(tmp_path),
    ):
        pass
    os.close(held)
    with alone(tmp_path):
        with pytest.raises(SettingsError, match=r"`store migrate` reads .*; start when that has ended"):
            claim(tmp_path, "", ())
        with pytest.raises(SettingsError, match="another `store migrate` uses it"), alone(tmp_path):
            pass
    assert claim(tmp_path, "", ()) is not None

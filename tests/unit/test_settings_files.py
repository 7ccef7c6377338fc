"""The files that settings name are read before anything starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from kong_eventhooks_plugin import settings_files
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.settings import Settings
from tests.support.waiting import SECONDS

TOKEN = "a-token-of-enough-letters"


@pytest.mark.parametrize("setting", settings_files.CREDENTIALS)
def test_a_file_with_a_credential_is_there_and_has_one(setting: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    settings = Settings(**{setting: str(file)})
    with pytest.raises(SettingsError, match=f"^{setting}: {file}: cannot be read: No such file"):
        settings_files.check(settings)
    file.write_text(" \n")
    with pytest.raises(SettingsError, match=f"^{setting}: {file}: is empty"):
        settings_files.check(settings)
    file.write_text(TOKEN)
    settings_files.check(settings)


@pytest.mark.parametrize("setting", ["api_tls_cert", "api_tls_key"])
def test_a_certificate_and_its_key_are_there(setting: str, tmp_path: Path) -> None:
    there = Path(__file__)
    named = {"api_tls_cert": str(there), "api_tls_key": str(there), setting: str(tmp_path / "missing")}
    with pytest.raises(SettingsError, match=f"^{setting}: {tmp_path}/missing: cannot be read"):
        settings_files.check(Settings(**named))


@pytest.mark.parametrize("setting", ["listen", "grpc_listen"])
def test_an_address_for_other_machines_has_a_token(setting: str) -> None:
    with pytest.raises(SettingsError, match=f"^{setting}: 0.0.0.0:8010 can be reached from other machines"):
        settings_files.check(Settings(**{setting: "0.0.0.0:8010"}))


def test_serve_ends_before_it_takes_the_socket(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    flags = (f"--socket-path={tmp_path}/s", f"--data-dir={tmp_path}/data", "--listen=127.0.0.1:0")
    ended = subprocess.run(
        [sys.executable, "-m", "kong_eventhooks_plugin", "serve", *flags, f"--api-token-file={tmp_path}/missing"],
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    error = f"kong-event-hooks: api_token_file: {tmp_path}/missing: cannot be read: No such file or directory\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", error)

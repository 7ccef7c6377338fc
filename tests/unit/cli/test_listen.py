"""``kong-event-hooks listen``: what it prints, and what it says of an address or a secret that is none."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from kong_eventhooks_plugin.cli import cli
from kong_eventhooks_plugin.errors import SettingsError
from tests.support.waiting import SECONDS


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x"])
def test_an_address_that_is_none(address: str) -> None:
    refused = CliRunner().invoke(cli, ["listen", "--address", address])
    assert isinstance(refused.exception, SettingsError)
    assert str(refused.exception) == f"--address {address}: expected HOST:PORT, for example 127.0.0.1:8020"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the secret cannot be used: it is empty"),
        (b"\n", "the secret cannot be used: it is empty"),
        (b"whsec_???", "the secret cannot be used: after whsec_ there must be base64"),
        (b"\xff", "is not UTF-8 text"),
        (None, "No such file or directory"),
    ],
)
def test_a_secret_that_is_none(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    refused = CliRunner().invoke(cli, ["listen", "--address", "127.0.0.1:0", "--secret-file", str(file)])
    assert isinstance(refused.exception, SettingsError)
    assert str(refused.exception).startswith("--secret-file")
    assert str(refused.exception).endswith(why)


@contextmanager
def listening(*options: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "kong_eventhooks_plugin", "listen", "--address", "127.0.0.1:0", *options]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0


def test_what_arrives_is_printed_and_cannot_steer_the_terminal() -> None:
    with listening() as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "(no --secret-file: signatures are not checked)" in first
        url = first.split()[2]
        body = '{"path": "\x9b2J"}'.encode()
        with urllib.request.urlopen(urllib.request.Request(f"{url}/hooks?a=b", body), timeout=SECONDS) as answer:
            assert answer.status == 204
        told = [process.stdout.readline() for _ in range(4)]
    assert told[0].endswith("  POST /hooks?a=b  signature not checked\n")
    assert told[1:] == ["    {\n", '      "path": "\ufffd2J"\n', "    }\n"]

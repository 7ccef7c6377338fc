"""What ``make run`` starts its sidecar with, and how it finds its address."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kong_eventhooks_plugin.cli.demo.run import ENDED, LINES_SHOWN, LOG, _environment, _ErrorLog, _health
from tests.support.waiting import SECONDS


def test_settings_of_a_real_sidecar_stay_out_of_it() -> None:
    """Its hooks would hear the recording and call real endpoints."""
    given = {"KONG_EVENTHOOKS_KONG_YML": "/etc/kong/kong.yml", "PATH": "/bin", "KONG_DATABASE": "off"}
    assert _environment(given) == {"PATH": "/bin", "KONG_DATABASE": "off"}


def test_the_address_is_what_the_log_says(tmp_path: Path) -> None:
    log = tmp_path / LOG
    log.write_bytes(b'Traceback\n{"event": "worker_serving", "pid": 5}\n[1]\n{"event": "api_liste')
    assert _health(tmp_path) is None, "not yet"
    log.write_bytes(log.read_bytes() + b'ning", "port": 4711}\n{"event": "delivery_lease_acquired"}\n')
    assert _health(tmp_path) == "http://127.0.0.1:4711"


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_its_sidecar_ends_with_it(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "kong_eventhooks_plugin", "demo", "--follow"]
    # Not tmp_path: a unix socket's path may have 107 bytes.
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "TMPDIR": directory}
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup has it ignored
        ) as process:
            assert process.stdout is not None
            next(line for line in process.stdout if "Playing the traffic" in line)
            assert list(Path(directory).glob("*/plugin.sock"))
            process.send_signal(number)
            process.stdout.read()
            assert process.wait(SECONDS) == ENDED
        assert list(Path(directory).iterdir()) == [], "it waited for the sidecar, then removed its directory"


@pytest.mark.long
def test_every_hook_fires() -> None:
    command = [sys.executable, "-m", "kong_eventhooks_plugin", "demo"]
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"TMPDIR": directory}
        done = subprocess.run(command, check=False, timeout=SECONDS, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ("ada-1 was created", "127.0.0.1:9190 is unhealthy", "127.0.0.1:9190 is healthy", "A replay of"):
        assert done.stdout.count(line) == 1, line


def test_what_nohup_has_ignored_does_not_end_it() -> None:
    program = (
        "import asyncio, os, signal\n"
        "from kong_eventhooks_plugin.cli.demo import run\n"
        "async def main():\n"
        "    run._end_orderly()\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    for _ in range(3):\n"
        "        await asyncio.sleep(0)\n"
        "asyncio.run(main())\n"
    )
    command = ["nohup", sys.executable, "-c", program]
    done = subprocess.run(command, check=False, timeout=SECONDS, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_first_lines_of_each_box_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show = _ErrorLog()
    show("notice", "a line of somebody else's")
    for _ in range(2):
        show("notice", "[kong] event_hooks.lua:?:452 [error-log]----+")
        for number in range(LINES_SHOWN + 3):
            show("notice", f"|line {number}     |")
    box = ["  Kong's error log, [notice]:", *(f"            |line {n}" for n in range(LINES_SHOWN)), "            ..."]
    assert capsys.readouterr().out.splitlines() == box * 2


def test_a_box_is_shown_in_one_piece(capsys: pytest.CaptureFixture[str]) -> None:
    show = _ErrorLog()
    show("notice", "[kong] event_hooks.lua:?:452 [error-log]----+")
    for number in range(LINES_SHOWN):
        assert not capsys.readouterr().out
        show("notice", f"|line {number}     |")
    assert capsys.readouterr().out.endswith("            ...\n")

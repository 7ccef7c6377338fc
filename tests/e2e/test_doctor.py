"""``kong-event-hooks doctor`` beside a real sidecar and an Admin API."""

import asyncio
import getpass
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.cli import cli
from tests.e2e.test_processes import Processes, World
from tests.support.admin_node import AdminNode
from tests.support.waiting import SECONDS, until

HOOKS = [{"name": "limits", "source": "rate-limiting", "handler": "log", "handler_config": {}}]


class Seen(NamedTuple):
    exit_code: int
    lines: list[str]

    def of(self, check: str) -> list[str]:
        return [line for line in self.lines if line[6:15].strip() == check]


def doctor(settings: Path, *arguments: str) -> Seen:
    result = CliRunner().invoke(
        cli, ["doctor", "--settings", str(settings), "--kong-user", getpass.getuser(), *arguments]
    )
    return Seen(result.exit_code, result.stdout.splitlines())


def settings_file(folder: Path, world: World, **more: str) -> Path:
    values = {"socket_path": world.path, "data_dir": world.data, **more}
    file = folder / "settings.toml"
    file.write_text("".join(f'{key} = "{value}"\n' for key, value in values.items()))
    return file


@pytest.mark.long
async def test_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AdminNode() as kong:
        kong.behind.create("plugins", name="event-hooks", config={"hooks": HOOKS})
        with Processes() as processes:
            data = tmp_path / "data"
            data.mkdir(mode=0o700)
            world = World(tmp_path, data, processes)
            running = await asyncio.to_thread(world.sidecar, f"--admin-url={kong.url}")
            listen = f"127.0.0.1:{(await asyncio.to_thread(running.wait_for, 'api_listening'))['port']}"
            file = settings_file(tmp_path, world, listen=listen, admin_url=kong.url)
            seen = await asyncio.to_thread(
                until, lambda: (found := doctor(file)).of("hooks")[:1] == WELL and found, "the hook is in force"
            )
            sent = await asyncio.to_thread(doctor, file, "--send", "limits")
            unknown = await asyncio.to_thread(doctor, file, "--send", "limit")
            monkeypatch.setattr("kong_eventhooks_plugin.cli.doctor.__version__", "9.9.9")
            monkeypatch.setattr("kong_eventhooks_plugin.cli.doctor.PAGE_SIZE", 1)
            for name in ("correlation-id", "cors"):
                kong.behind.create("plugins", name=name)
            newer = await asyncio.to_thread(doctor, file)
    assert seen.of("socket") == [
        f"ok    socket     {world.path} is served",
        f"ok    socket     {getpass.getuser()} may connect",
    ]
    assert seen.of("store")[0].startswith(f"ok    store      {data}/events.db")
    assert seen.of("clock") == ["ok    clock      agrees with Kong's"]
    assert "ok    kong       knows the plugin event-hooks" in seen.of("kong")
    assert sent.of("send") == ["ok    send       limits: done"]
    assert (seen.exit_code, sent.exit_code) == (0, 0)
    (text,) = unknown.of("send")
    assert "limit: there is no hook 'limit'; did you mean limits?; 'kong-event-hooks hooks list' lists them" in text
    assert unknown.exit_code == 1
    assert newer.of("version") == [f"warn  version    the sidecar is {__version__}, this program 9.9.9"]
    assert newer.of("hooks") == WELL, "the instance is found on whichever page it is"


WELL = ["ok    hooks      1 declared in Kong, all of them in force; 1 in all"]


def test_nothing_is_there(tmp_path: Path, unused_tcp_port: int) -> None:
    world = World(tmp_path, tmp_path / "data", Processes())
    url = f"http://127.0.0.1:{unused_tcp_port}"
    seen = doctor(settings_file(tmp_path, world, listen=url.removeprefix("http://"), admin_url=url))
    assert seen.exit_code == 1
    assert seen.of("socket") == [f"fail  socket     {world.path}: No such file or directory"]
    assert seen.of("store") == [f"fail  store      {world.data}: No such file or directory"]
    assert seen.of("sidecar")[0].startswith(f"fail  sidecar    no sidecar answers at {url}")
    assert seen.of("sidecar")[0].endswith("or name its address with the setting listen")
    assert seen.of("kong") == [f"fail  kong       {url}: Connection refused"]
    assert "                 -> does Kong run, and is admin_url right?" in seen.lines


async def test_kong_does_not_know_the_plugin_or_the_hook(tmp_path: Path, unused_tcp_port: int) -> None:
    world = World(tmp_path, tmp_path, Processes())
    async with AdminNode() as kong:
        file = settings_file(tmp_path, world, listen=f"127.0.0.1:{unused_tcp_port}", admin_url=kong.url)
        seen = await asyncio.to_thread(doctor, file)
    assert seen.of("hooks") == ["warn  hooks      Kong has no instance of event-hooks"]
    assert seen.of("losses") == [
        "ok    losses     not read: Kong's error log, /srv/kong/no.log: No such file or directory"
    ]
    assert seen.exit_code == 1


async def test_what_kong_dropped_is_read_from_its_error_log(tmp_path: Path, unused_tcp_port: int) -> None:
    world = World(tmp_path, tmp_path, Processes())
    log = tmp_path / "error.log"
    async with AdminNode() as kong:
        kong.error_log = str(log)
        file = settings_file(tmp_path, world, listen=f"127.0.0.1:{unused_tcp_port}", admin_url=kong.url)
        log.write_text("")
        well = await asyncio.to_thread(doctor, file)
        log.write_text("2026/11/30 21:00:00 [error] 1#0: *1 failed to run log_by_lua*: boom\n")
        raised = await asyncio.to_thread(doctor, file)
    async with AdminNode(starts_plugin_server=True) as kong:
        file = settings_file(tmp_path, world, listen=f"127.0.0.1:{unused_tcp_port}", admin_url=kong.url)
        unknown = await asyncio.to_thread(doctor, file)
    assert well.of("losses") == [f"ok    losses     Kong dropped no call, says {log}"]
    [found] = raised.of("losses")
    assert found.startswith("warn  losses     1 requests ended with an error of another plugin's log phase")
    assert found.endswith("; the last at 2026/11/30 21:00:00")
    assert unknown.of("losses") == ["ok    losses     not read: Kong answers 500 when asked where its error log is"]


@pytest.mark.timeout(SECONDS)
def test_kongs_user_may_not_enter(tmp_path: Path) -> None:
    import socket

    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    world = World(folder, tmp_path, Processes())
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(world.path))
        listening.listen()
        world.path.chmod(0o666)
        seen = CliRunner().invoke(
            cli, ["doctor", "--settings", str(settings_file(tmp_path, world)), "--kong-user", "nobody"]
        )
    assert f"fail  socket     nobody may not enter {folder}" in seen.stdout
    assert f"-> chmod or chgrp {folder}" in seen.stdout

"""``serve``: check what can be checked before anything starts, then become the supervisor."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import click

from kong_eventhooks_plugin import files, settings_files
from kong_eventhooks_plugin.cli.options import SettingsCommand, settings_options
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.kong.supervisor.sockets import is_served
from kong_eventhooks_plugin.kong.supervisor.supervise import Supervision, become
from kong_eventhooks_plugin.settings import Settings, described, load

_PROBE = ".writable"


@click.command("serve", cls=SettingsCommand)
@settings_options
def command(settings_file: Path | None, **flags: Any) -> NoReturn:
    """Serve Kong's plugin socket and deliver: the sidecar itself."""
    settings = load(flags, settings_file)
    settings_files.check(settings)
    prepare_data_dir(Path(settings.data_dir))
    if settings.started_by_kong and is_served(Path(settings.socket_path)):
        _rehearse(settings)
    human = settings.log_format == "human" or (settings.log_format == "auto" and sys.stdout.isatty())
    become(
        Supervision(
            socket_path=settings.socket_path,
            socket_group=settings.socket_group,
            started_by_kong=settings.started_by_kong,
            drain_seconds=settings.drain_seconds,
            watchdog_seconds=settings.watchdog_seconds,
            log="human" if human else "json",
            worker=worker_command(settings_file, flags, human=human),
        )
    )


def _rehearse(settings: Settings) -> None:
    """Make a worker's parts; raise ``SettingsError`` where the worker would.

    It takes a while, so it is done only before another server is taken over, which goes on serving meanwhile. Taken
    over by a server that cannot serve, the socket would be without anybody for seconds, each time Kong starts us.
    """
    from kong_eventhooks_plugin.components import Components

    Components(settings)


def worker_command(settings_file: Path | None, flags: Mapping[str, Any], *, human: bool) -> list[str]:
    """Return the worker's command line: the same flags, so that a new worker reads file and environment anew."""
    command = [sys.executable, "-P", "-m", "kong_eventhooks_plugin", "worker"]
    if settings_file is not None:
        command += ["--settings", str(settings_file.absolute())]
    values = {one.flag: flags.get(one.name) for one in described()}
    values["--log-format"] = "human" if human else "json"
    given = {flag: value for flag, value in values.items() if value is not None}
    return command + [flag if flag == "--started-by-kong" else f"{flag}={value}" for flag, value in given.items()]


def prepare_data_dir(path: Path) -> None:
    """Create the data directory where only it is missing; raises ``SettingsError`` where it cannot be used."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        with files.own_directory(path) as directory, files.created(_PROBE, directory, 0o600):
            os.unlink(_PROBE, dir_fd=directory)
    except files.ForeignDirectory as error:
        raise SettingsError(f"data_dir: {error.strerror}") from error
    except OSError as error:
        raise SettingsError(
            f"data_dir: {path}: {error.strerror}; name a directory that exists and that we may write to with --data-dir"
        ) from error

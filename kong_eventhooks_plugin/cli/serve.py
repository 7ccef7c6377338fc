"""``serve``: check what can be checked before anything starts, then become the supervisor."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.kong.supervisor.sockets import is_served
from kong_eventhooks_plugin.kong.supervisor.supervise import Supervision, become
from kong_eventhooks_plugin.settings import Settings, described, load


def serve(settings_file: Path | None, flags: Mapping[str, Any], rehearse: Callable[[Settings], object]) -> NoReturn:
    """Replace this process by the supervisor of a worker that is given the same flags.

    ``rehearse`` makes what a worker makes, and refuses what a worker would refuse. It takes a while, so it is called
    only where another server would be taken over, which goes on serving meanwhile: taken by one that cannot serve, the
    socket would be without anybody for seconds, again and again as Kong starts us again.

    Raises ``SettingsError`` for what would keep every worker from serving.
    """
    settings = load(flags, settings_file)
    prepare_data_dir(Path(settings.data_dir))
    if settings.started_by_kong and is_served(Path(settings.socket_path)):
        rehearse(settings)
    human = settings.log_format == "human" or (settings.log_format == "auto" and sys.stdout.isatty())
    become(
        Supervision(
            socket_path=settings.socket_path,
            socket_group=settings.socket_group,
            started_by_kong=settings.started_by_kong,
            drain_seconds=settings.drain_seconds,
            log="human" if human else "json",
            worker=worker_command(settings_file, flags, human=human),
        )
    )


def worker_command(settings_file: Path | None, flags: Mapping[str, Any], *, human: bool) -> list[str]:
    """Return the worker's command line: the same flags, so that a new worker reads file and environment anew."""
    command = [sys.executable, "-P", "-m", "kong_eventhooks_plugin", "worker"]
    if settings_file is not None:
        command += ["--settings", str(settings_file.absolute())]
    said = {one.flag: flags.get(one.name) for one in described()}
    said["--log-format"] = "human" if human else "json"
    for flag, value in said.items():
        if value is None:
            continue
        command += [flag] if flag == "--started-by-kong" else [f"{flag}={value}"]
    return command


def prepare_data_dir(path: Path) -> None:
    """Make the data directory where only it is missing; raises ``SettingsError`` where it cannot be used."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        probe = path / ".writable"
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        raise SettingsError(
            f"data_dir: {path}: {error.strerror}; name a directory that exists and that we may write to with --data-dir"
        ) from error

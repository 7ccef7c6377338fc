"""Options that several commands share. Each decorator passes the command one argument."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from kong_eventhooks_plugin.errors import EventHooksError, SettingsError
from kong_eventhooks_plugin.settings import Described, described, literal

MAX_BYTES: Final = 16 << 20

Command = Callable[..., Any]

FILE: Final = click.Path(dir_okay=False, path_type=Path)

_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}  # noqa: S104 - what a sidecar may listen on


def api_url(listen: str, *, tls: bool = False) -> str:
    """Return the address of a sidecar of this machine from its setting ``listen`` and whether it has TLS."""
    host, _, port = listen.rpartition(":")
    return f"http{'s' if tls else ''}://{_LOOPBACK.get(host, host)}:{port}"


def certificate_options(command: Command) -> Command:
    """Add ``--cert`` and ``--key``."""
    what = "File with the client's certificate in PEM, where the API asks for one."
    key = click.option(
        "--key", type=click.Path(dir_okay=False), help="File with its private key.  [default: in --cert]"
    )
    return click.option("--cert", type=click.Path(dir_okay=False), help=what)(key(command))


def read_text(path: Path, label: str, raised: type[EventHooksError] = SettingsError) -> str:
    """Return a file's content; raises ``raised`` with the label and why.

    A pipe is read too: whoever calls may write ``--file <(jq ...)``, and waits alone.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "is not UTF-8 text"
        raise raised(f"{label}: {why}") from error
    if len(data) > MAX_BYTES:
        raise raised(f"{label}: is larger than {MAX_BYTES >> 20} MiB")
    return text


def settings_options(command: Command) -> Command:
    """Add one flag for each setting, and ``--settings FILE``: ``settings_file``, and ``flags`` by name.

    The command's class is ``SettingsCommand``, which groups them.
    """
    for setting in reversed(list(described())):
        is_switch = setting.name == "started_by_kong"
        command = click.option(
            setting.flag,
            setting.name,
            default=None,
            is_flag=is_switch,
            flag_value="true" if is_switch else None,
            type=str,
            metavar=None if is_switch else "VALUE",
            help=_help(setting),
        )(command)
    return click.option("--settings", "settings_file", type=FILE, help="TOML file with settings.")(command)


def _help(setting: Described) -> str:
    default = "" if setting.default in (None, (), False) else f"  [default: {literal(setting.default)}]"
    return setting.description.replace("`", "") + default


class SettingsCommand(click.Command):
    """Shows its settings in their groups, with what else it has before them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups = {setting.name: setting.group for setting in described()}
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                sections.setdefault(groups.get(parameter.name or "", "Options"), []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records)


def output_option(command: Command) -> Command:
    """Add ``--output``: ``as_json``."""

    @click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
    @wraps(command)
    def with_output(*arguments: Any, output: str, **named: Any) -> Any:
        return command(*arguments, as_json=output == "json", **named)

    return with_output


def page_options(size: int) -> Callable[[Command], Command]:
    """Return what adds ``--size``, with this default, and ``--offset``."""

    def add(command: Command) -> Command:
        command = click.option("--offset", help="Go on where the last page ended.")(command)
        sizes = click.IntRange(1, 1000)
        return click.option("--size", type=sizes, default=size, show_default=True, help="At most so many.")(command)

    return add

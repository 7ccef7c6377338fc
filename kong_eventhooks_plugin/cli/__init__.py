"""The command line: ``kong-event-hooks``.

Every command imports what it needs when it runs: ``plugin-info`` is called by Kong while it starts and
must answer in under 300 ms. A mistake of the user's ends with one line on stderr and exit status 2; a
command that found faults exits with 1.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.cli.remote_commands import attach
from kong_eventhooks_plugin.errors import EventHooksError, SettingsError
from kong_eventhooks_plugin.settings import Settings, described

F = TypeVar("F", bound=Callable[..., Any])

PLUGIN_NAMES = ("event-hooks", "event-hooks-crud")
DEFAULTS = Settings()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="kong-event-hooks")
def cli() -> None:
    """Event hooks for Kong Gateway: declared in kong.yml, delivered durably, with proof."""


def main() -> NoReturn:
    """Run the command line; an error that we raise on purpose is one line, not a traceback."""
    try:
        cli.main(standalone_mode=True)
    except EventHooksError as error:
        click.echo(f"kong-event-hooks: {error}", err=True)
        sys.exit(2)
    sys.exit(0)


def with_settings(command: F) -> F:
    """Give a command one flag for each setting, and ``--settings FILE``."""
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
            help=setting.description.replace("`", ""),
        )(command)
    return click.option(
        "--settings", "settings_file", type=click.Path(dir_okay=False, path_type=Path), help="TOML file with settings."
    )(command)


@cli.command("serve")
@with_settings
def serve_command(settings_file: Path | None, **flags: Any) -> None:
    """Serve Kong's plugin socket and deliver: the sidecar itself."""
    from kong_eventhooks_plugin.cli.serve import serve as run

    sys.exit(run(settings_file, flags, _rehearse))


def _rehearse(settings: Settings) -> None:
    """Make a worker's parts; raises ``SettingsError`` as the worker would."""
    from kong_eventhooks_plugin.app import Components

    Components(settings)


@cli.command(hidden=True)
@click.option("--fd", type=int, required=True, help="The listening socket that the supervisor holds.")
@click.option("--link", type=int, help="The socket to the supervisor.")
@with_settings
def worker(fd: int, link: int | None, settings_file: Path | None, **flags: Any) -> None:
    """Run the worker process under `serve`; not for people."""
    from kong_eventhooks_plugin.app import run_worker

    sys.exit(run_worker(flags, settings_file, fd, link))


@cli.command("plugin-info")
@click.argument("name", type=click.Choice(PLUGIN_NAMES))
@click.option("--socket-path", default=DEFAULTS.socket_path, show_default=True, help="Where the sidecar listens.")
@click.option("--protocol", type=click.Choice(["protobuf", "msgpack"]), default="protobuf", show_default=True)
def plugin_info(name: str, socket_path: str, protocol: str) -> None:
    """Print what Kong's `query_cmd` wants to know of plugin NAME: one JSON document and nothing else."""
    from kong_eventhooks_plugin.kong.plugin_server.documents import plugin_document

    click.echo(plugin_document(name, socket_path, protocol), nl=False)


@cli.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def check_command(files: tuple[Path, ...]) -> None:
    """Check the hooks declared in FILES; every fault is printed with its path, and the exit status is 1.

    A route to Kong's Admin API is looked at too: a key that was not filled in is a fault, no authentication a warning.
    An event of an entity that Kong is not known to have is a warning as well, since a plugin may add it.
    """
    from kong_eventhooks_plugin.cli.check import check_files
    from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
    from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known

    faults = check_files(
        [str(file) for file in files], Validation(known()), lambda fault: click.echo(f"warning: {fault}", err=True)
    )
    for fault in faults:
        click.echo(str(fault))
    if faults:
        sys.exit(1)
    click.echo(f"{len(files)} file{'s' if len(files) > 1 else ''} checked, no fault")


@cli.command("demo")
@click.option("--follow", is_flag=True, help="Play the recording again and again until interrupted.")
def demo_command(follow: bool) -> None:
    """Run the main job: the sidecar, a receiver, and recorded Kong traffic through the real socket."""
    from kong_eventhooks_plugin.cli.demo.run import run_demo

    sys.exit(run_demo(follow=follow))


@cli.command()
@click.option("--address", default="127.0.0.1:8020", show_default=True, help="Where to listen.")
@click.option(
    "--secret-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the hook's secret, to verify."
)
def listen(address: str, secret_file: Path | None) -> None:
    """Receive webhooks, print each and verify its signatures."""
    from kong_eventhooks_plugin.cli.demo.listen import run_listen
    from kong_eventhooks_plugin.hooks.reference_values import without_line_end

    secret = None
    if secret_file is not None:
        try:
            secret = without_line_end(secret_file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise SettingsError(f"--secret-file {secret_file}: {why}") from error
    sys.exit(run_listen(address, secret))


data_dir_option = click.option(
    "--data-dir", default=DEFAULTS.data_dir, show_default=True, envvar="KONG_EVENTHOOKS_DATA_DIR",
    type=click.Path(path_type=Path), help="The sidecar's data directory.",
)  # fmt: skip
output_option = click.option(
    "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)


@cli.group()
def deliveries() -> None:
    """Look at deliveries and their attempts."""


@deliveries.command("list")
@data_dir_option
@output_option
@click.option("--hook", help="Name or id of a hook.")
@click.option("--state", type=click.Choice(["pending", "leased", "delivered", "dead"]))
@click.option("--size", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--offset", help="Where the last page said to go on.")
def deliveries_list(data_dir: Path, output: str, hook: str | None, state: Any, size: int, offset: str | None) -> None:
    """List deliveries, newest first."""
    from kong_eventhooks_plugin.cli import store_view

    click.echo(store_view.deliveries(data_dir, hook, state, size, offset, as_json=output == "json"))


@deliveries.command("show")
@data_dir_option
@output_option
@click.argument("delivery_id")
def deliveries_show(data_dir: Path, output: str, delivery_id: str) -> None:
    """Show one delivery: its event and every attempt."""
    from kong_eventhooks_plugin.cli import store_view

    click.echo(store_view.delivery(data_dir, delivery_id, as_json=output == "json"))


@cli.group()
def hooks() -> None:
    """Look at hooks."""


@hooks.command("list")
@data_dir_option
@output_option
def hooks_list(data_dir: Path, output: str) -> None:
    """List the hooks in force, with where each is declared and how many deliveries wait."""
    from kong_eventhooks_plugin.cli import store_view

    click.echo(store_view.hooks(data_dir, as_json=output == "json"))


attach(cli, hooks, deliveries)

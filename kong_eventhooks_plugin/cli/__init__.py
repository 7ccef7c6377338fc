"""The command line: ``kong-event-hooks``. One module a command; it is imported when the command runs.

``plugin-info`` is called by Kong while it starts and must answer in under 300 ms. An error of the user's ends with one
line on stderr and exit status 2; a command that found errors exits with 1.
"""

import sys
from importlib import import_module
from typing import Final, NoReturn

import click

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.cli.group import Group
from kong_eventhooks_plugin.errors import EventHooksError

MODULES: Final = {
    "check": "check",
    "deliveries": "deliveries",
    "demo": "demo.run",
    "doctor": "doctor",
    "events": "events",
    "health": "health",
    "hooks": "hooks",
    "listen": "listen",
    "plugin-info": "plugin_info",
    "serve": "serve",
    "sources": "sources",
    "store": "store",
    "try": "try_",
    "worker": "worker",
}
"""Command -> the module of this package whose ``command`` it is."""


class _Commands(Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MODULES:
            return None
        command: click.Command = import_module(f"{__name__}.{MODULES[cmd_name]}").command
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="kong-event-hooks")
def cli() -> None:
    """Event hooks for Kong Gateway: declared in kong.yml, delivered durably, every attempt on record."""


def main() -> NoReturn:
    """Run the command line; an error that we raise on purpose is one line, not a traceback."""
    try:
        cli.main(standalone_mode=True)
    except EventHooksError as error:
        click.echo(f"kong-event-hooks: {error}", err=True)
        sys.exit(2)
    sys.exit(0)

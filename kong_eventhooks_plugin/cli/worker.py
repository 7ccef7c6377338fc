"""``worker``: the process that ``serve`` runs; not for people."""

import gc
import sys
from pathlib import Path
from typing import Any

import click

from kong_eventhooks_plugin.cli.options import settings_options


@click.command("worker", hidden=True)
@click.option("--fd", type=int, required=True, help="The listening socket that the supervisor holds.")
@click.option("--link", type=int, help="The socket to the supervisor.")
@settings_options
def command(fd: int, link: int | None, settings_file: Path | None, **flags: Any) -> None:
    """Run the worker process under `serve`; not for people."""
    gc.disable()  # until it serves: all that its start makes stays, and collecting costs a tenth of the start
    from kong_eventhooks_plugin.app import run_worker  # large, and --help imports every command

    sys.exit(run_worker(flags, settings_file, fd, link))

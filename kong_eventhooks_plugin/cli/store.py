"""``store migrate`` and ``store status``: the store that nodes share, without a sidecar."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Final

import click

from kong_eventhooks_plugin import settings_groups as groups
from kong_eventhooks_plugin.cli.group import Group
from kong_eventhooks_plugin.cli.options import output_option
from kong_eventhooks_plugin.cli.printing import pretty, table
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.queue.sqlite.engine import DATABASE
from kong_eventhooks_plugin.settings import load
from kong_eventhooks_plugin.storage.data_directory import alone

LINE_SECONDS: Final = 5.0
"""How often a line says how far it is, where there is no terminal."""


@click.group("store", cls=Group)
def command() -> None:
    """Show the store that nodes share, and move events to it."""


URL_FILE: Final = click.option("--store-url-file", help="File with its URL, which keeps a password out of sight.")


@command.command("migrate")
@click.option(
    "--from",
    "data_dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The data directory that holds events.db. No sidecar may use it.",
)
@click.option("--to", "url", help="URL of the PostgreSQL to move them to.")
@URL_FILE
def migrate(data_dir: Path, url: str | None, store_url_file: str | None) -> None:
    """Move a sidecar's events to the store that nodes share.

    That is: events, deliveries with their attempts, what on_change and snooze remember, the hooks that the API has
    made, and the health of endpoints. The file stays as it is. Where this was interrupted, run it again: it goes on
    where it ended. Exits with 1 where the counts of both sides differ in the end.
    """
    store = _url(url, store_url_file, "--to")
    path = data_dir / DATABASE
    if not path.exists():
        raise SettingsError(f"{path}: there is no such file; name a sidecar's data directory with --from")
    from kong_eventhooks_plugin.queue.migration.migration import migrate as move

    with alone(data_dir):
        moved = asyncio.run(move(path, store, time.time, _Progress()))
    names = [name.replace("_", " ").replace("api ", "API ") for name in moved.file._fields]
    rows = [(name, *map(_number, row)) for name, *row in zip(names, moved.file, moved.store, strict=True)]
    click.echo(table(("", "IN THE FILE", "IN THE STORE"), rows, ""))
    if moved.resumed:
        click.echo(f"{_number(moved.resumed)} of the events had been moved by an earlier run.")
    if moved.known:
        click.echo(f"{_number(moved.known)} of the events were there already; what the store had of them stays.")
    if moved.file != moved.store:
        click.echo("kong-event-hooks: the counts differ: not everything is in the store.", err=True)
        sys.exit(1)


@command.command("status")
@click.option("--store", "url", help="URL of the PostgreSQL.")
@URL_FILE
@output_option
def status(url: str | None, store_url_file: str | None, *, as_json: bool) -> None:
    """Show nodes, who delivers which hook, and what waits.

    Reads the database itself, and needs no sidecar. Lag is for how long the first delivery of a hook has been due.
    """
    store = _url(url, store_url_file, "--store")
    from kong_eventhooks_plugin.cli import store_status
    from kong_eventhooks_plugin.queue.postgresql.status import read_status

    found = asyncio.run(read_status(store))
    click.echo(pretty(store_status.as_data(found)) if as_json else store_status.as_text(found))


class _Progress:
    """A bar on a terminal, elsewhere a line now and then; both on stderr."""

    def __init__(self) -> None:
        self._shown: tuple[str, int] = ("", 0)
        self._last = time.monotonic()

    def __call__(self, what: str, done: int, of: int) -> None:
        share = 100 * done // of if of else 100
        text = f"{what} {_number(done)} of {_number(of)} events"
        if sys.stderr.isatty():
            self._draw(what, text, share, ended=done >= of)
        elif time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            click.echo(f"{text} ({share} %)", err=True)

    def _draw(self, what: str, text: str, share: int, *, ended: bool) -> None:
        if self._shown == (what, share) and not ended:
            return
        self._shown = what, share
        bar = "#" * (share * _WIDTH // 100)
        click.echo(f"\r{text} [{bar:<{_WIDTH}}] {share:3} %", err=True, nl=ended)


_WIDTH: Final = 30


def _number(count: int) -> str:
    return f"{count:,}"


def _url(url: str | None, file: str | None, flag: str) -> str:
    """Return the store's URL from the flags, else from the environment as for ``serve``."""
    if url is not None and file is not None:
        raise SettingsError(f"--store-url-file: {flag} is set as well; set one of the two")
    found = groups.store_url(load({"store": url, "store_url_file": file}))
    if found is None:
        raise SettingsError(f"{flag} or --store-url-file: name the PostgreSQL that nodes share")
    return found

"""The commands that ask a running sidecar over REST; ``cli`` attaches them. They import ``remote`` when they run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}  # noqa: S104 - what a sidecar may listen on
_file = click.Path(dir_okay=False, path_type=Path)


def attach(cli: click.Group, hooks: click.Group, deliveries: click.Group) -> None:
    """Add the commands to the groups of the command line."""
    for command in (show, create, delete, ping, test):
        hooks.add_command(command)
    deliveries.add_command(replay)
    cli.add_command(sources)
    cli.add_command(events)


def _remote(command: F) -> F:
    """Give a command the options that say where the API is."""
    command = click.option(
        "--token-file",
        type=_file,
        envvar="KONG_EVENTHOOKS_API_TOKEN_FILE",
        help="File that holds the API's admin token, where it has one.",
    )(command)
    return click.option(
        "--url", help="Address of the sidecar's API.  [default: http://127.0.0.1:8010, or what the setting listen says]"
    )(command)


def _as_printed(command: F) -> F:
    return click.option(
        "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
    )(command)


def _target(url: str | None, token_file: Path | None) -> Any:
    from os import environ

    from kong_eventhooks_plugin.api.client.rest import DEFAULT_URL, ApiTarget
    from kong_eventhooks_plugin.errors import SettingsError

    token = None
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not text"
            raise SettingsError(f"--token-file {token_file}: {why}") from error
        if not (token and token.isprintable()):
            raise SettingsError(f"--token-file {token_file}: expected one line, the token")
    listen = environ.get("KONG_EVENTHOOKS_LISTEN")
    if url is None and listen:
        host, _, port = listen.rpartition(":")
        url = f"http://{_ANYWHERE.get(host, host)}:{port}"
    return ApiTarget(url or DEFAULT_URL, token)


@click.command("show")
@_remote
@_as_printed
@click.argument("hook")
def show(hook: str, url: str | None, token_file: Path | None, output: str) -> None:
    """Show the hook with the name or id HOOK."""
    from kong_eventhooks_plugin.cli import remote

    click.echo(remote.hooks_show(_target(url, token_file), hook, as_json=output == "json"))


@click.command("create")
@_remote
@_as_printed
@click.option("--file", type=_file, help="JSON file with the hook, instead of fields.")
@click.argument("fields", nargs=-1, metavar="[NAME=VALUE]...")
def create(fields: tuple[str, ...], file: Path | None, url: str | None, token_file: Path | None, output: str) -> None:
    """Make a hook of fields as in Kong's documentation, config.url=https://... ; NAME=@FILE takes a file's content."""
    from kong_eventhooks_plugin.cli import remote

    click.echo(remote.hooks_create(_target(url, token_file), fields, file, as_json=output == "json"))


@click.command("delete")
@_remote
@click.argument("hook")
def delete(hook: str, url: str | None, token_file: Path | None) -> None:
    """Remove the hook with the name or id HOOK, which the API made."""
    from kong_eventhooks_plugin.cli import remote

    click.echo(remote.hooks_delete(_target(url, token_file), hook))


@click.command("ping")
@_remote
@_as_printed
@click.argument("hook")
def ping(hook: str, url: str | None, token_file: Path | None, output: str) -> None:
    """Send the ping of the hook with the name or id HOOK."""
    from kong_eventhooks_plugin.cli import remote

    click.echo(remote.hooks_ping(_target(url, token_file), hook, as_json=output == "json"))


@click.command("test")
@_remote
@_as_printed
@click.option("--file", type=_file, help="JSON file with the event's data, instead of fields.")
@click.argument("hook")
@click.argument("fields", nargs=-1, metavar="[NAME=VALUE]...")
def test(
    hook: str, fields: tuple[str, ...], file: Path | None, url: str | None, token_file: Path | None, output: str
) -> None:
    """Run the handler of the hook with the name or id HOOK at once, with fields as the event's data."""
    from kong_eventhooks_plugin.cli import remote

    click.echo(remote.hooks_test(_target(url, token_file), hook, fields, file, as_json=output == "json"))


@click.command("sources")
@_remote
@_as_printed
@click.argument("source", required=False)
@click.argument("event", required=False)
def sources(source: str | None, event: str | None, url: str | None, token_file: Path | None, output: str) -> None:
    """List the sources that hooks can name with their events, those of SOURCE, or the fields of one EVENT."""
    from kong_eventhooks_plugin.cli import remote

    click.echo(remote.sources(_target(url, token_file), source, event, as_json=output == "json"))


@click.group("events")
def events() -> None:
    """Look at events."""


@events.command("tail")
@_remote
@_as_printed
@click.option("--source", help="Only events of this source.")
@click.option("--event", help="Only events of this name.")
@click.option("--hook", help="Only events that fired this hook, or on which it was held back.")
@click.option("--recent", type=click.IntRange(0, 1000), default=10, show_default=True, help="Show so many of before.")
def tail(
    source: str | None,
    event: str | None,
    hook: str | None,
    recent: int,
    url: str | None,
    token_file: Path | None,
    output: str,
) -> None:
    """Show events as they are accepted, with what each fired and what was held back, until interrupted."""
    from kong_eventhooks_plugin.cli import remote

    target = _target(url, token_file)
    try:
        remote.events_tail(
            target, click.echo, lambda text: click.echo(f"kong-event-hooks: {text}", err=True),
            source=source, event=event, hook=hook, recent=recent, as_json=output == "json",
        )  # fmt: skip
    except KeyboardInterrupt:
        return


@click.command("replay")
@_remote
@_as_printed
@click.argument("delivery_id", required=False)
@click.option("--hook", help="Instead of one delivery: those of this hook.")
@click.option("--since", metavar="TIME", help="Of these, those created then or later: 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="TIME", help="Of these, those created before.")
@click.option("--state", type=click.Choice(["dead", "delivered"]), default="dead", show_default=True)
def replay(
    delivery_id: str | None,
    hook: str | None,
    since: str | None,
    until: str | None,
    state: str,
    url: str | None,
    token_file: Path | None,
    output: str,
) -> None:
    """Send a delivery again, or with --hook the dead ones of a hook."""
    from kong_eventhooks_plugin.cli import remote

    if (delivery_id is None) == (hook is None):
        raise click.UsageError("name a DELIVERY_ID, or a hook with --hook")
    target, as_json = _target(url, token_file), output == "json"
    if delivery_id is not None:
        click.echo(remote.deliveries_replay(target, delivery_id, as_json=as_json))
    elif hook is not None:
        click.echo(remote.deliveries_replay_all(target, hook, since, until, state, as_json=as_json))

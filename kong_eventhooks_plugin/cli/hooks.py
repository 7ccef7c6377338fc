"""``hooks list``, ``show``, ``create``, ``update``, ``delete``, ``ping`` and ``test``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from kong_eventhooks_plugin.api.client.rest import ApiTarget, RestClient
from kong_eventhooks_plugin.cli.api_calls import api_client, api_options, api_or_file_options, fields_options
from kong_eventhooks_plugin.cli.group import Group
from kong_eventhooks_plugin.cli.options import output_option
from kong_eventhooks_plugin.cli.preview_text import filter_text, request_text
from kong_eventhooks_plugin.cli.printing import FAILED, json_line, name_or_id, outcome, pretty, printable, table, when
from kong_eventhooks_plugin.cli.readiness_text import held_hooks
from kong_eventhooks_plugin.errors import RemoteError

LOOKED_AT: Final = 200
"""Pending deliveries that are looked at for their errors."""


@click.group("hooks", cls=Group)
def command() -> None:
    """List, create and test hooks."""


@command.command("list")
@api_or_file_options
@output_option
def list_hooks(target: ApiTarget, data_dir: Path | None, *, as_json: bool) -> None:
    """List the hooks in force, their states and what waits.

    With where each is declared, and what to do about those that are held.
    """
    if data_dir is not None:
        from kong_eventhooks_plugin.cli import store_file

        hooks = store_file.hooks(data_dir)
        pending = store_file.deliveries(data_dir, None, {"state": "pending"}, LOOKED_AT)["data"]
    else:
        with api_client(target) as client:
            hooks = _listed(client)
            pending = _pending(client) if any(hook["waiting"] for hook in hooks) else []
    hooks.sort(key=name_or_id)
    shared = any(hook["delivered_by"] for hook in hooks)
    rows = [_row(hook, shared=shared) for hook in hooks]
    heads = ("NAME", "EVENT", "HANDLER", "STATE", "WAITING", "DECLARED IN", *(("DELIVERED BY",) if shared else ()))
    if as_json:
        click.echo(pretty(hooks))
        return
    shrink, drop = ("DECLARED IN", "EVENT", "NAME"), ("DECLARED IN", "HANDLER", *heads[6:])
    listed = table(heads, rows, "no hook", shrink, drop)
    click.echo("\n".join((listed, *_reasons(hooks), *_failures(hooks, pending))))


def _row(hook: dict[str, Any], *, shared: bool) -> tuple[str, ...]:
    event = f"{hook['source']}/{hook['event'] or '*'}"
    row = (
        name_or_id(hook),
        event,
        hook["handler"],
        _state(hook),
        str(hook["waiting"]),
        hook["declared_in"] or "the API",
    )
    return (*row, hook["delivered_by"] or "no node") if shared else row


def _listed(client: RestClient) -> list[dict[str, Any]]:
    hooks = list(client.pages("event-hooks"))
    health = client.call("GET", "readyz", accept=503)
    waiting = health["queue"].get("per_hook", {})
    return [{**hook, "waiting": waiting.get(name_or_id(hook), 0)} for hook in hooks]


def _state(hook: dict[str, Any]) -> str:
    return str(hook["state"]) if hook["held"] is None else f"held: {hook['held'].partition(':')[0]}"


def _reasons(hooks: list[dict[str, Any]]) -> Iterator[str]:
    """Yield why hooks are held, and what to do about it."""
    for line in held_hooks({name_or_id(hook): hook["held"] for hook in hooks if hook["held"] is not None}):
        yield printable(line.text).replace("\n", " ")
        if line.fix:
            yield f"    -> {line.fix}"


def _pending(client: RestClient) -> list[dict[str, Any]]:
    """Return the newest pending deliveries; none for a caller without the token."""
    query = {"state": "pending", "size": LOOKED_AT}
    try:
        return list(client.call("GET", "deliveries", query=query)["data"])
    except RemoteError:
        return []


def _failures(hooks: list[dict[str, Any]], pending: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the last error of each hook that is on, and whose deliveries are tried again."""
    last = {each["event_hook"]["id"]: each for each in reversed(pending) if each["last_error"] is not None}
    failing = [(hook, last[hook["id"]]) for hook in hooks if hook["held"] is None and hook["id"] in last]
    for hook, one in failing:
        status = "" if one["last_status"] is None else f" {one['last_status']}"
        yield printable(f"{name_or_id(hook)} fails: the last attempt ended with {one['last_error']}{status}")
    if failing:
        yield "    -> 'kong-event-hooks deliveries list --state pending' has each, 'deliveries show ID' the answer"


@command.command("show")
@click.argument("hook")
@api_options
@output_option
def show_hook(hook: str, target: ApiTarget, *, as_json: bool) -> None:
    """Show the hook with the name or id HOOK."""
    with api_client(target, hook) as client:
        _echo(client.call("GET", "event-hooks", hook), as_json=as_json)


@command.command("create")
@fields_options("the hook")
@api_options
@output_option
def create_hook(body: dict[str, Any], target: ApiTarget, *, as_json: bool) -> None:
    """Create a hook.

    Its fields are as in Kong's documentation: config.url=https://... NAME=@FILE is a file's content.
    """
    with api_client(target) as client:
        _echo(client.call("POST", "event-hooks", **body), as_json=as_json)


@command.command("update")
@click.argument("hook")
@fields_options("the fields to change")
@api_options
@output_option
def update_hook(hook: str, body: dict[str, Any], target: ApiTarget, *, as_json: bool) -> None:
    """Change fields of a hook that the API created.

    HOOK is its name or id. An empty value unsets a field.
    """
    with api_client(target, hook) as client:
        _echo(client.call("PATCH", "event-hooks", hook, **body), as_json=as_json)


@command.command("delete")
@click.argument("hook")
@api_options
def delete_hook(hook: str, target: ApiTarget) -> None:
    """Delete a hook that the API created.

    HOOK is its name or id.
    """
    with api_client(target, hook) as client:
        client.call("DELETE", "event-hooks", hook)
    click.echo(f"hook '{hook}' is deleted")


@command.command("ping")
@click.argument("hook")
@api_options
@output_option
def ping_hook(hook: str, target: ApiTarget, *, as_json: bool) -> None:
    """Send the ping of the hook with the name or id HOOK."""
    with api_client(target, hook) as client:
        try:
            sent = client.call("GET", "event-hooks", hook, "ping")
        except RemoteError as error:
            if "does not support 'ping'" in str(error):
                raise RemoteError(f"{error}; use 'kong-event-hooks hooks test {hook}'") from error
            raise
    click.echo(pretty(sent) if as_json else f"the ping of hook '{hook}' arrived")


@command.command("test")
@click.argument("hook")
@fields_options("the event's data")
@api_options
@output_option
def test_hook(hook: str, body: dict[str, Any], target: ApiTarget, *, as_json: bool) -> None:
    """Run a hook's handler at once, with fields as its data.

    Without fields it gets the example of its event. Their values are text; other types come with --file. HOOK is its
    name or id. It runs whatever the hook's filter says of them, which is shown. 'kong-event-hooks try' shows what would
    be sent, and sends nothing.
    """
    with api_client(target, hook) as client:
        tested = client.call("POST", "event-hooks", hook, "test", accept=500, **body)
    failed = tested.get("message")
    if as_json and failed is None:
        click.echo(pretty(tested))
    else:
        click.echo(printable("\n\n".join(_test_lines(tested))))
    if failed is not None:
        raise RemoteError(failed)
    if outcome(tested).startswith(FAILED):
        sys.exit(1)


def _test_lines(tested: dict[str, Any]) -> Iterator[str]:
    """Yield what the filter says, what was sent and what came back, as far as they are there."""
    if (verdict := tested.get("filter")) is not None:
        yield filter_text(verdict)
    if (request := tested.get("request")) is not None:
        yield f"sent  {request_text(request, indent=6)}"
    if (result := tested.get("result")) is None:
        return
    headers = [f"{name}: {value}" for name, value in result["headers"].items()]
    came = f"answered {result['status']}" if "message" in tested else outcome(tested)
    body = "" if result["body"] == tested.get("error") else result["body"]
    yield "\n".join(part for part in (came, *headers, body) if part)


def _echo(hook: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(pretty(hook))
        return
    rows = {name: value for name, value in hook.items() if name != "config" and value is not None}
    rows |= {f"config.{name}": value for name, value in hook["config"].items() if value is not None}
    width = max(len(name) for name in rows)
    click.echo("\n".join(f"{name.ljust(width)}  {_value(name, value)}" for name, value in rows.items()))


def _value(name: str, value: Any) -> str:
    if name in {"created_at", "updated_at"}:
        return when(value)
    return printable(value if isinstance(value, str) else json_line(value))

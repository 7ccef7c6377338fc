"""``events list`` and ``events tail``, the accepted events with what each fired; and ``events publish``."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import click
import msgspec

from kong_eventhooks_plugin.api.client.rest import ApiTarget, Unreachable
from kong_eventhooks_plugin.api.client.sse import Message
from kong_eventhooks_plugin.cli.api_calls import api_client, api_options, fields_options
from kong_eventhooks_plugin.cli.group import Group
from kong_eventhooks_plugin.cli.options import Command, output_option, page_options
from kong_eventhooks_plugin.cli.printing import json_line, name_or_id, pretty, printable, when

RECONNECT_SECONDS: Final = 2.0
DATA_SHOWN: Final = 160
"""Characters of an event's data in a line; ``--output json`` has all of it."""

Write = Callable[[str], None]


@click.group("events", cls=Group)
def command() -> None:
    """List and watch events, and publish some of your own."""


def _which_events(command: Command) -> Command:
    """Add ``--source``, ``--event`` and ``--hook``."""
    for name, what in (
        ("--hook", "Only events that fired this hook, or on which it was held back."),
        ("--event", "Only events of this name."),
        ("--source", "Only events of this source."),
    ):
        command = click.option(name, help=what)(command)
    return command


@command.command("list")
@_which_events
@click.option("--since", metavar="TIME", help="Only those accepted then or later: 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="TIME", help="Only those accepted before.")
@page_options(20)
@api_options
@output_option
def list_events(target: ApiTarget, hook: str | None, *, as_json: bool, **wanted: Any) -> None:
    """List accepted events, with what each fired.

    The newest first, with why other hooks did not fire.
    """
    with api_client(target, hook) as client:
        page = client.call("GET", "events", query={**wanted, "hook": hook})
    following = page.get("offset")
    if as_json:
        click.echo(pretty({"data": page["data"], "offset": following}))
        return
    lines = [event_lines(event) for event in page["data"]] or ["no event"]
    click.echo("\n".join([*lines, *([f"more: --offset {following}"] if following else [])]))


@command.command("tail")
@_which_events
@click.option("--recent", type=click.IntRange(0, 1000), default=10, show_default=True, help="Begin with so many.")
@api_options
@output_option
def tail(target: ApiTarget, recent: int, *, as_json: bool, **wanted: str | None) -> None:
    """Show events as they are accepted, with what each fired.

    And what was held back; it goes on until it is interrupted.
    """
    with suppress(KeyboardInterrupt):
        tail_events(
            target, click.echo, lambda text: click.echo(f"kong-event-hooks: {text}", err=True),
            wanted=wanted, recent=recent, as_json=as_json,
        )  # fmt: skip


@command.command("publish")
@click.argument("event")
@fields_options("the event's data")
@click.option("--event-key", help="Of two events with the same key the second is none.")
@api_options
@output_option
def publish(target: ApiTarget, event: str, body: dict[str, Any], event_key: str | None, *, as_json: bool) -> None:
    """Publish an event of the source custom.

    Its name is EVENT, its data are the fields, whose values are text; other types come with --file. What it fired is
    shown.
    """
    if "json" in body:
        body = {"json": {"event": event, "data": body["json"], "key": event_key}}
    else:
        about = [("event", event), *((("key", event_key),) if event_key is not None else ())]
        body = {"form": [*about, *((f"data.{name}", value) for name, value in body["form"])]}
    with api_client(target) as client:
        receipt = client.call("POST", "events", **body)
    if as_json:
        click.echo(pretty(receipt))
        return
    lines = [f"event {receipt['id']}{' is known already' if receipt['duplicate'] else ''}", *_outcome(receipt)]
    if receipt["undecided"]:
        lines.append("accepted; the store that nodes share decides next what it fires: 'events tail' shows it")
    elif not receipt["duplicate"] and not (receipt["fired"] or receipt["held_back"]):
        lines.append("no hook subscribes to it")
    click.echo(printable("\n".join(lines)))


def tail_events(
    target: ApiTarget,
    write: Write,
    warn: Write,
    *,
    wanted: Mapping[str, str | None],
    recent: int = 10,
    as_json: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Write the recent events and then each as it is accepted, until interrupted; ``warn`` of breaks.

    ``wanted`` is ``source``, ``event`` and ``hook``. Raises ``RemoteError`` where the API refuses, or does not answer
    in the beginning.
    """
    shown = json_line if as_json else event_lines
    with api_client(target, wanted.get("hook")) as client:
        last = None
        if recent:
            for event in reversed(client.call("GET", "events", query={**wanted, "size": recent})["data"]):
                last = event["id"]
                write(shown(event))
        connected = False
        while True:
            try:
                with client.stream("events", "stream", query=wanted, last=last) as messages:
                    connected = True
                    for message in messages:
                        last = message.last_id or last
                        write(_message(message, shown, as_json=as_json))
            except Unreachable as error:
                if not connected:
                    raise
                warn(f"{error}; trying again")
                wait(RECONNECT_SECONDS)


def _message(message: Message, shown: Callable[[Any], str], *, as_json: bool) -> str:
    value = msgspec.json.decode(message.data)
    if message.event != "missed":
        return shown(value)
    if as_json:
        return json_line({"missed": value["count"]})
    count = "some" if value["count"] is None else f"{value['count']:,}"
    return f"-- {count} events are not shown: they came faster than they were read"


def event_lines(event: dict[str, Any]) -> str:
    """Return an event as lines that cannot move a terminal's cursor."""
    data = json_line(event["data"])
    cut = data if len(data) <= DATA_SHOWN else f"{data[:DATA_SHOWN]}..."
    lines = [f"{when(event['time'])}  {event['source']}/{event['event']}  {cut}"]
    return printable("\n".join((*lines, *_outcome(event))))


def _outcome(event: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"    -> {name_or_id(one['event_hook'])}  {one['delivery']}" for one in event["fired"])
    yield from (f"    -- {name_or_id(one['event_hook'])}  {one['reason']}" for one in event["held_back"])

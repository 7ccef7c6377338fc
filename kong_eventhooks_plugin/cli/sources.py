"""``sources``: what hooks can subscribe to."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

import click

from kong_eventhooks_plugin.api.client.rest import ApiTarget
from kong_eventhooks_plugin.cli.api_calls import api_client, api_options
from kong_eventhooks_plugin.cli.options import output_option
from kong_eventhooks_plugin.cli.printing import pretty

EVENTS_SHOWN: Final = 3


@click.command("sources")
@click.argument("source", required=False)
@click.argument("event", required=False)
@api_options
@output_option
def command(target: ApiTarget, source: str | None, event: str | None, *, as_json: bool) -> None:
    """List what hooks can subscribe to.

    That is the sources, the events of SOURCE, or the fields of one EVENT.
    """
    path = [part for part in (source, event) if part is not None]
    named = "/".join(path) or None
    with api_client(target, named, kind="source or event", listed_by="sources") as client:
        found = client.call("GET", "event-hooks", "sources", *path)["data"]
    if as_json:
        click.echo(pretty(found))
        return
    if event is not None:
        found = {event: found}
    if source is not None:
        found = {source: found}
    lines = _lines(found) if source is not None else _summary(found)
    click.echo("\n".join(lines) or "no event")


def _summary(found: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each source; crud alone has more than a hundred events."""
    width = max(map(len, found))
    for source, events in found.items():
        shown = ", ".join(list(events)[:EVENTS_SHOWN]) or "any event"
        more = f" and {len(events) - EVENTS_SHOWN} more" if len(events) > EVENTS_SHOWN else ""
        yield f"{source.ljust(width)}  {shown}{more}"
    yield f"\n'kong-event-hooks sources {next(iter(found))}' lists a source's events with their fields."


def _lines(found: dict[str, Any]) -> Iterator[str]:
    for source, events in found.items():
        if not events:
            yield f"{source}  any event"
        # The fields once for all consecutive events that share them: crud has more than a hundred events.
        for (fields, unique), alike in groupby(events.items(), _fields_of):
            yield from (f"{source}/{event}  {about['description']}" for event, about in alike)
            yield f"    fields: {', '.join(fields)}"
            if unique:
                yield f"    unique: {', '.join(unique)}"


def _fields_of(event: tuple[str, dict[str, Any]]) -> tuple[list[str], list[str]]:
    return event[1]["fields"], event[1].get("unique", [])

"""``deliveries list``, ``show`` and ``replay``."""

import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

import click

from kong_eventhooks_plugin.api.advice import DUE, waits_for
from kong_eventhooks_plugin.api.client.rest import ApiTarget, RestClient
from kong_eventhooks_plugin.api.durations import span
from kong_eventhooks_plugin.cli.api_calls import api_client, api_options, api_or_file_options
from kong_eventhooks_plugin.cli.delivery_ids import short_ids, whole_id
from kong_eventhooks_plugin.cli.group import Group
from kong_eventhooks_plugin.cli.options import output_option, page_options
from kong_eventhooks_plugin.cli.printing import name_or_id, pretty, printable, table, when
from kong_eventhooks_plugin.delivery.hook_rules import is_ordered
from kong_eventhooks_plugin.model.delivery import State

ID_LENGTH: Final = 36
"""Of a hook's id; a removed hook is known by it alone."""

BODY_SHOWN: Final = 2_000
"""Characters of an endpoint's answer; ``--output json`` has all that was kept."""


@click.group("deliveries", cls=Group)
def command() -> None:
    """List deliveries, show their attempts and replay them."""


@command.command("list")
@click.option("--hook", help="Only of this hook, by name or id.")
@click.option("--state", type=click.Choice(get_args(State)), help="Only in this state.")
@click.option("--source", help="Only of this source.")
@click.option("--since", metavar="TIME", help="Only those created then or later: 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="TIME", help="Only those created before.")
@page_options(50)
@api_or_file_options
@output_option
def list_deliveries(
    target: ApiTarget,
    data_dir: Path | None,
    hook: str | None,
    size: int,
    offset: str | None,
    *,
    as_json: bool,
    **wanted: str | None,
) -> None:
    """List deliveries, newest first."""
    query = {name: value for name, value in wanted.items() if value is not None}
    if data_dir is not None:
        from kong_eventhooks_plugin.cli import store_file

        page = store_file.deliveries(data_dir, hook, query, size, offset)
        waits = _waits(store_file.hooks(data_dir))
    else:
        with api_client(target, hook) as client:
            if hook is not None:
                hook = client.call("GET", "event-hooks", hook)["id"] if len(hook) != ID_LENGTH else hook
            page = client.call("GET", "deliveries", query={**query, "hook": hook, "size": size, "offset": offset})
            waits = {} if as_json or not any(map(_due, page["data"])) else _waits(client.pages("event-hooks"))
    following = page.get("offset")
    if as_json:
        click.echo(pretty({"data": page["data"], "offset": following}))
        return
    short = short_ids(one["id"] for one in page["data"])
    rows = [
        (short[one["id"]], when(one["created_at"]), name_or_id(one["event_hook"]), f"{one['source']}/{one['event']}",
         one["state"], str(one["attempt_count"]), str(one["last_status"] or "-"), one["last_error"] or "-",
         _next(one, waits))
        for one in page["data"]
    ]  # fmt: skip
    more = f"\nmore: --offset {following}" if following else ""
    heads = ("ID", "CREATED", "HOOK", "EVENT", "STATE", "ATTEMPTS", "STATUS", "ERROR", "NEXT")
    shrink, drop = ("EVENT", "HOOK", "NEXT"), ("ATTEMPTS", "STATUS", "EVENT", "CREATED")
    click.echo(table(heads, rows, "no delivery", shrink, drop) + more)


def _waits(hooks: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return by a hook's id what its due deliveries wait for."""
    return {hook["id"]: waits_for(hook["held"], ordered=is_ordered(hook["config"])) for hook in hooks}


def _due(delivery: dict[str, Any]) -> bool:
    return bool(delivery["state"] == "pending" and delivery["due_at"] <= time.time())


def _next(delivery: dict[str, Any], waits: Mapping[str, str]) -> str:
    """Return when it is tried next, why it is not, or why it was given up."""
    if delivery["state"] == "dead":
        return str(delivery["reason"] or "-")
    if delivery["state"] != "pending":
        return "-"
    if not _due(delivery):
        return f"in {span(delivery['due_at'] - time.time())}"
    return waits.get(delivery["event_hook"]["id"], DUE)


@command.command("show")
@click.argument("delivery_id")
@api_or_file_options
@output_option
def show_delivery(target: ApiTarget, data_dir: Path | None, delivery_id: str, *, as_json: bool) -> None:
    """Show one delivery, its event and every attempt."""
    if data_dir is not None:
        from kong_eventhooks_plugin.cli import store_file

        found = whole_id(delivery_id, partial(_of_file, data_dir))
        delivery = store_file.delivery(data_dir, found)
    else:
        with api_client(target, delivery_id, kind="delivery", listed_by="deliveries list") as client:
            delivery = client.call("GET", "deliveries", whole_id(delivery_id, partial(_of_api, client)))
    click.echo(pretty(delivery) if as_json else describe(delivery))


def _of_file(data_dir: Path, event_id: str, size: int) -> list[dict[str, Any]]:
    from kong_eventhooks_plugin.cli import store_file

    found: list[dict[str, Any]] = store_file.deliveries(data_dir, None, {"event_id": event_id}, size)["data"]
    return found


def _of_api(client: RestClient, event_id: str, size: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.call("GET", "deliveries", query={"event_id": event_id, "size": size})["data"]
    return found


def describe(delivery: dict[str, Any]) -> str:
    """Return a delivery with its data and attempts as text that cannot move a terminal's cursor."""
    shown = {name: value for name, value in delivery.items() if name not in {"data", "attempts"}}
    shown |= {"event_hook": name_or_id(delivery["event_hook"])}
    shown |= {name: when(shown[name]) for name in ("created_at", "due_at", "settled_at") if shown[name] is not None}
    if (suppressed := shown["suppressed"]) is not None:
        unread = f", and {suppressed['unread']} unread" if suppressed["unread"] else ""
        shown["suppressed"] = f"{suppressed['count']}{unread} since {when(suppressed['since'])}"
    head = "\n".join(f"{name:<13} {'-' if value is None else value}" for name, value in shown.items())
    attempts = "\n".join(map(_attempt, delivery["attempts"])) or "no attempt yet"
    last = next((one["request"] for one in reversed(delivery["attempts"]) if one["request"] is not None), None)
    return printable("\n\n".join([head, pretty(delivery["data"]), attempts, *([] if last is None else [_sent(last)])]))


def _sent(request: dict[str, Any]) -> str:
    """Return the last request as it was sent."""
    lines = [f"sent  {request['method']} {request['url']}"]
    lines += [f"      {name}: {value}" for name, value in request["headers"].items()]
    body = request["body"][:BODY_SHOWN]
    return "\n".join([*lines, "", f"      {body}{'...' if request['size'] > len(body.encode()) else ''}"])


def _attempt(one: dict[str, Any]) -> str:
    """Return an attempt's line, and below it, indented, the endpoint's words."""
    took, status = f"{one['seconds'] * 1000:.0f} ms", f", status {one['status']}" if one["status"] else ""
    why = ": ".join(part for part in (one["error"], one["detail"]) if part)
    line = f"attempt {one['number']}  {when(one['started_at'])}  {one['outcome']} in {took}{status}"
    cut = "..." if len(one["body"]) > BODY_SHOWN else ""
    body = "".join(f"\n    {each}" for each in f"{one['body'][:BODY_SHOWN]}{cut}".splitlines())
    location = next((value for name, value in one["headers"].items() if name.lower() == "location"), None)
    final = f"\n    location: {location}" if one["error"] == "redirect" and location is not None else ""
    return f"{line}{f'  {why}' if why else ''}{final}{body}"


@command.command("replay")
@click.argument("delivery_id", required=False)
@click.option("--hook", help="Instead of one delivery: those of this hook.")
@click.option("--since", metavar="TIME", help="Of these, those created then or later: 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="TIME", help="Of these, those created before.")
@click.option("--state", type=click.Choice(["dead", "delivered"]), default="dead", show_default=True)
@api_options
@output_option
def replay(
    target: ApiTarget,
    delivery_id: str | None,
    hook: str | None,
    since: str | None,
    until: str | None,
    state: str,
    *,
    as_json: bool,
) -> None:
    """Send a delivery again, or the dead ones of a hook."""
    if delivery_id is not None and hook is None:
        with api_client(target, delivery_id, kind="delivery", listed_by="deliveries list") as client:
            found = whole_id(delivery_id, partial(_of_api, client))
            replayed = client.call("POST", "deliveries", found, "replay")
        text = f"delivery {delivery_id} is {replayed['state']}: due now, unless its hook is held"
    elif hook is not None and delivery_id is None:
        with api_client(target, hook) as client:
            wanted = {"since": since, "until": until, "state": state}
            replayed = client.call("POST", "event-hooks", hook, "replay", json=wanted)
        text = _replayed(replayed, state, hook)
    else:
        raise click.UsageError("name a DELIVERY_ID, or a hook with --hook")
    click.echo(pretty(replayed) if as_json else text)


def _replayed(found: dict[str, Any], state: str, hook: str) -> str:
    count, rest = found["replayed"], _rest(found)
    if not (count or rest):
        return f"hook '{hook}' has no {state} delivery to send again"
    counted = "1 delivery" if count == 1 else f"{count:,} deliveries"
    return f"{counted} of hook '{hook}' {'is' if count == 1 else 'are'} due now{rest}"


def _rest(replayed: dict[str, Any]) -> str:
    if replayed["refused"]:
        return f"; the queue had no room for the rest ({replayed['refused']}): repeat this when it has drained"
    return "; there are more: repeat this" if replayed["more"] else ""

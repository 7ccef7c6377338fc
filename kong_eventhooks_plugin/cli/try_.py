"""``try``: what a hook would do with an event, without doing it.

A hook of a file is tried here, in a sandbox with the limits of the settings, and needs no sidecar; but for a recorded
event, which the sidecar has. A hook in force is tried by the sidecar.
"""

import asyncio
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from kong_eventhooks_plugin import settings_groups as groups
from kong_eventhooks_plugin.api.client.rest import ApiTarget
from kong_eventhooks_plugin.api.rest.answers import builtins
from kong_eventhooks_plugin.api.service.entity import definition_of
from kong_eventhooks_plugin.api.service.presenter import Presenter
from kong_eventhooks_plugin.api.service.previews import ChosenEvent, made_up
from kong_eventhooks_plugin.cli.api_calls import api_client, api_options, json_file
from kong_eventhooks_plugin.cli.check import check_files
from kong_eventhooks_plugin.cli.options import FILE, output_option
from kong_eventhooks_plugin.cli.preview_text import preview_text
from kong_eventhooks_plugin.cli.printing import pretty, printable
from kong_eventhooks_plugin.errors import RemoteError
from kong_eventhooks_plugin.hooks.declarations import documents, kong_yml
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.preview.dry_run import DryRun, nothing_remembered
from kong_eventhooks_plugin.preview.offline import offline_handlers
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.settings import Settings, load
from kong_eventhooks_plugin.suggestions import did_you_mean

_FILE_NAMES = (".yml", ".yaml", ".json")


@click.command("try")
@click.argument("subject", metavar="FILE|NAME")
@click.argument("hook", required=False)
@click.option(
    "--event",
    metavar="EXAMPLE|FILE|JSON|ID",
    help="The name of an event, for its example; an event's data, or event and data, as JSON or in a JSON file; or the "
    "id of a recorded event.  [default: the example of the hook's event]",
)
@click.option("--settings", "settings_file", type=FILE, help="TOML file with the sidecar's settings, for FILE.")
@api_options
@output_option
def command(
    subject: str,
    hook: str | None,
    event: str | None,
    settings_file: Path | None,
    target: ApiTarget,
    *,
    as_json: bool,
) -> None:
    """Show what a hook would do with an event, and send nothing.

    It is the one in force with that NAME, or of FILE the one called HOOK, or every hook. What is shown: what the filter
    says with the value of each part, what on_change and snooze say, the request, or a lambda's lines and result. The
    exit status is 1 where a hook could not do its work.
    """
    chosen = _chosen(event)
    if Path(subject).suffix in _FILE_NAMES or Path(subject).is_file():
        previews = _of_file(subject, hook, chosen, load({}, settings_file), target)
    elif hook is not None:
        raise click.UsageError(f"{subject}: is no file, and of a hook in force there is only the name")
    else:
        with api_client(target, subject) as client:
            body = _body(chosen)
            previews = [client.call("POST", "event-hooks", subject, "preview", json=body)]
    if as_json:
        click.echo(pretty(previews if len(previews) != 1 else previews[0]))
    else:
        click.echo(printable("\n\n".join(preview_text(each) for each in previews)))
    sys.exit(1 if any(_failed(each) for each in previews) else 0)


def _chosen(event: str | None) -> ChosenEvent:
    if event is None:
        return ChosenEvent()
    if event.startswith("{"):
        return _with_data(_json(event), "--event")
    if Path(event).suffix == ".json" or Path(event).is_file():
        return _with_data(json_file(Path(event)), event)
    try:
        return ChosenEvent(event_id=str(uuid.UUID(event)))
    except ValueError:
        return ChosenEvent(event=event)


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise RemoteError(f"--event: is not JSON: {error}") from error


def _with_data(found: Any, origin: str) -> ChosenEvent:
    """Return the event: an entry of ``GET /events``, or what is posted there, has event and data; else data."""
    if not isinstance(found, dict):
        raise RemoteError(f"{origin}: expected a JSON object, an event's data")
    name, data = found.get("event"), found.get("data")
    if isinstance(data, dict) and isinstance(name, str | None):
        return ChosenEvent(event=name, data=data)
    return ChosenEvent(data=found)


def _body(chosen: ChosenEvent) -> dict[str, Any]:
    given = {"event": chosen.event, "event_id": chosen.event_id, "data": chosen.data}
    return {name: value for name, value in given.items() if value is not None}


def _failed(preview: dict[str, Any]) -> bool:
    verdict = preview["filter"]
    return preview["error"] is not None or (verdict is not None and verdict["error"] is not None)


def _of_file(
    path: str, name: str | None, chosen: ChosenEvent, settings: Settings, target: ApiTarget
) -> list[dict[str, Any]]:
    hooks = _declared(path, name, settings)
    if chosen.event_id is None:
        return asyncio.run(_offline(hooks, chosen, settings))
    with api_client(target) as client:
        return [
            client.call(
                "POST", "event-hooks", "preview", json={**_body(chosen), "hook": definition_of(hook, hook.handler)}
            )
            for hook in hooks
        ]


def _declared(path: str, name: str | None, settings: Settings) -> Sequence[Hook]:
    """Return the hooks of a file, or the one of that name; prints what is wrong with the file."""
    validation = Validation(known(), settings.secret_file_directories)
    found = check_files([path], validation)
    for error in found.errors:
        click.echo(printable(str(error)), err=True)
    try:
        document = documents.parse(documents.read_bytes(path), path, lambda _: None, lambda _: None)
    except documents.Unreadable:
        sys.exit(1)
    hooks = kong_yml.examine(document, path, validation).hooks
    wanted = [hook for hook in hooks if name in (None, hook.name)]
    if name is not None and not wanted:
        raise RemoteError(f"{path}: has no valid hook '{name}'{did_you_mean(name, [hook.name for hook in hooks])}")
    if not wanted:
        raise RemoteError(f"{path}: has no valid hook")
    return wanted


async def _offline(hooks: Sequence[Hook], chosen: ChosenEvent, settings: Settings) -> list[dict[str, Any]]:
    pool = Pool(groups.sandbox_limits(settings), groups.lua_rules(settings))
    present = Presenter(lambda _: None)
    try:
        dry_run = DryRun(offline_handlers(pool), pool, time.time, nothing_remembered)
        found = []
        for hook in hooks:
            event = made_up(hook, chosen.event, chosen.data, time.time())
            found.append(builtins(present.preview(await dry_run.run(hook, event, scoped=False))))
        return found
    finally:
        await pool.close()

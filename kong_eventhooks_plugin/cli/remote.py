"""What the command line asks a running sidecar over REST, as text to print: tables for people or JSON.

Raises ``RemoteError`` with what to do. A field is given as in Kong's documentation, ``config.url=https://...``;
``NAME=@FILE`` takes a file's content without its last line end, as a shell's ``$(cat FILE)`` does and the setting
``secret_file``; so a secret needs not stand on the command line.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.api.client.rest import ApiTarget, Fields, NotFound, RestClient, Unreachable
from kong_eventhooks_plugin.api.client.sse import Message
from kong_eventhooks_plugin.cli.printing import pretty, printable, when
from kong_eventhooks_plugin.errors import RemoteError
from kong_eventhooks_plugin.hooks.reference_values import without_line_end

AGAIN_SECONDS: Final = 2.0
DATA_SHOWN: Final = 160
"""Characters of an event's data in a line of ``events tail``; ``--output json`` has all of it."""

Write = Callable[[str], None]


def hooks_show(target: ApiTarget, hook: str, *, as_json: bool) -> str:
    """Return one hook."""
    with _client(target, hook) as client:
        return _entity(client.call("GET", "event-hooks", hook), as_json=as_json)


def hooks_create(target: ApiTarget, given: Sequence[str], file: Path | None, *, as_json: bool) -> str:
    """Make a hook of fields (``source=custom``) or of a JSON file; return it."""
    with _client(target) as client:
        if file is not None:
            if given:
                raise RemoteError("give the hook's fields or --file, not both")
            return _entity(client.call("POST", "event-hooks", json=_json_file(file)), as_json=as_json)
        return _entity(client.call("POST", "event-hooks", form=fields(given)), as_json=as_json)


def hooks_delete(target: ApiTarget, hook: str) -> str:
    """Remove a hook; return what to say of it."""
    with _client(target, hook) as client:
        client.call("DELETE", "event-hooks", hook)
    return f"hook '{hook}' is removed"


def hooks_ping(target: ApiTarget, hook: str, *, as_json: bool) -> str:
    """Send a hook's ping; return what was sent."""
    with _client(target, hook) as client:
        sent = client.call("GET", "event-hooks", hook, "ping")
    return pretty(sent) if as_json else f"the ping of hook '{hook}' arrived"


def hooks_test(target: ApiTarget, hook: str, given: Sequence[str], file: Path | None, *, as_json: bool) -> str:
    """Run a hook's handler with data of fields or of a JSON file; return what the endpoint answered."""
    with _client(target, hook) as client:
        body: dict[str, Any] = {"form": fields(given)} if file is None else {"json": _json_file(file)}
        tested = client.call("POST", "event-hooks", hook, "test", **body)
    if as_json:
        return pretty(tested)
    result = tested["result"]
    status = "done" if result["status"] is None else f"answered {result['status']}"
    headers = "\n".join(f"{name}: {value}" for name, value in result["headers"].items())
    return printable("\n".join(part for part in (status, headers, result["body"]) if part))


def sources(target: ApiTarget, source: str | None, event: str | None, *, as_json: bool) -> str:
    """Return the sources and their events, or those of one source, or one event."""
    path = [part for part in (source, event) if part is not None]
    named = "/".join(path) or None
    with _client(target, named, what="source or event", where="kong-event-hooks sources") as client:
        found = client.call("GET", "event-hooks", "sources", *path)["data"]
    if as_json:
        return pretty(found)
    if event is not None:
        found = {source: {event: found}}
    elif source is not None:
        found = {source: found}
    return "\n".join(_source_lines(found)) or "no event"


def deliveries_replay(target: ApiTarget, delivery: str, *, as_json: bool) -> str:
    """Have one delivery sent again."""
    listed = "kong-event-hooks deliveries list"
    with _client(target, delivery, what="delivery", where=listed) as client:
        replayed = client.call("POST", "deliveries", delivery, "replay")
    return pretty(replayed) if as_json else f"delivery {delivery} is {replayed['state']} and due now"


def deliveries_replay_all(
    target: ApiTarget, hook: str, since: str | None, until: str | None, state: str, *, as_json: bool
) -> str:
    """Have a hook's dead or delivered deliveries of a range of time sent again."""
    range_ = {"since": since, "until": until, "state": state}
    with _client(target, hook) as client:
        replayed = client.call("POST", "event-hooks", hook, "replay", json=range_)
    if as_json:
        return pretty(replayed)
    said = f"{replayed['replayed']} deliveries of hook '{hook}' are due now"
    if replayed["refused"]:
        return f"{said}; the queue had no room for the rest ({replayed['refused']}): ask again when it has drained"
    return f"{said}; there are more: ask again" if replayed["more"] else said


def events_tail(
    target: ApiTarget,
    write: Write,
    warn: Write,
    *,
    source: str | None = None,
    event: str | None = None,
    hook: str | None = None,
    recent: int = 10,
    as_json: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Write the recent events and then each as it is accepted, until interrupted; ``warn`` hears of breaks.

    Raises ``RemoteError`` where the API refuses, or is not there in the beginning.
    """
    wanted = {"source": source, "event": event, "hook": hook}
    shown = _json_line if as_json else _event_lines
    with _client(target, hook) as client:
        last = None
        if recent:
            for told in reversed(client.call("GET", "events", query={**wanted, "size": recent})["data"]):
                last = told["id"]
                write(shown(told))
        begun = False
        while True:
            try:
                with client.stream("events", "stream", query=wanted, last=last) as messages:
                    begun = True
                    for message in messages:
                        last = message.last_id or last
                        write(_shown(message, shown))
            except Unreachable as error:
                if not begun:
                    raise
                warn(f"{error}; trying again")
                wait(AGAIN_SECONDS)


def fields(given: Sequence[str]) -> Fields:
    """Return ``NAME=VALUE`` and ``NAME=@FILE`` as names and values; raises ``RemoteError``."""
    found = []
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals):
            raise RemoteError(f"'{one}' is not a field: write NAME=VALUE, or NAME=@FILE for a file's content")
        if value.startswith("@"):
            value = without_line_end(_file(value[1:]))
        found.append((name, value))
    return found


@contextmanager
def _client(
    target: ApiTarget, name: str | None = None, *, what: str = "hook", where: str = "kong-event-hooks hooks list"
) -> Iterator[RestClient]:
    """Open a client for calls about one thing: where it is not there, say so by its name. None: about no thing."""
    with RestClient(target) as client:
        try:
            yield client
        except NotFound as error:
            if name is None:
                raise
            raise RemoteError(f"there is no {what} '{name}'; '{where}' shows those there are") from error


def _shown(message: Message, shown: Callable[[Any], str]) -> str:
    told = msgspec.json.decode(message.data)
    if message.event != "missed":
        return shown(told)
    if shown is _json_line:
        return _json_line({"missed": told["count"]})
    count = "some" if told["count"] is None else f"{told['count']:,}"
    return f"-- {count} events are not shown: they came faster than they were read"


def _event_lines(told: dict[str, Any]) -> str:
    data = _json_line(told["data"])
    cut = data if len(data) <= DATA_SHOWN else f"{data[:DATA_SHOWN]}..."
    lines = [f"{when(told['time'])}  {told['source']}/{told['event']}  {cut}"]
    lines += [f"    -> {_hook_name(one)}  {one['delivery']}" for one in told["fired"]]
    lines += [f"    -- {_hook_name(one)}  {one['reason']}" for one in told["held_back"]]
    return printable("\n".join(lines))


def _hook_name(one: dict[str, Any]) -> str:
    hook = one["event_hook"]
    return str(hook["name"] or hook["id"])


def _entity(hook: dict[str, Any], *, as_json: bool) -> str:
    if as_json:
        return pretty(hook)
    rows = {name: value for name, value in hook.items() if name != "config" and value is not None}
    rows |= {f"config.{name}": value for name, value in hook["config"].items() if value is not None}
    width = max(len(name) for name in rows)
    return "\n".join(f"{name.ljust(width)}  {_value(name, value)}" for name, value in rows.items())


def _value(name: str, value: Any) -> str:
    if name in {"created_at", "updated_at"}:
        return when(value)
    return printable(value if isinstance(value, str) else _json_line(value))


def _source_lines(found: dict[str, Any]) -> Iterator[str]:
    for source, events in found.items():
        if not events:
            yield f"{source}  any event"
        # The fields once for all that have the same, one after another: crud has more than a hundred events.
        for (fields, unique), alike in groupby(events.items(), _fields_of):
            yield from (f"{source}/{event}  {about['description']}" for event, about in alike)
            yield f"    fields: {', '.join(fields)}"
            if unique:
                yield f"    unique: {', '.join(unique)}"


def _fields_of(event: tuple[str, dict[str, Any]]) -> tuple[list[str], list[str]]:
    return event[1]["fields"], event[1].get("unique", [])


def _file(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "is not UTF-8 text"
        raise RemoteError(f"{path}: cannot be read: {why}") from error


def _json_file(path: Path) -> Any:
    try:
        value = msgspec.json.decode(_file(str(path)))
    except msgspec.DecodeError as error:
        raise RemoteError(f"{path}: is not JSON: {error}") from error
    return value


def _json_line(value: Any) -> str:
    return msgspec.json.encode(value).decode()

"""What a dry run found, as text for a terminal; the caller makes it printable."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.cli.printing import json_line, name_or_id, when

BODY_SHOWN: Final = 4_000
"""Characters of a request's body."""

_WIDTH: Final = 12


def preview_text(preview: Mapping[str, Any]) -> str:
    return "\n".join(_lines(preview))


def filter_text(verdict: Mapping[str, Any]) -> str:
    """Return a filter's verdict and the value of each part, a line each."""
    says = {True: "true", False: "false", None: f"no value: {verdict['error']}"}[verdict["verdict"]]
    parts = [("  " * part["depth"] + part["text"], _value(part)) for part in verdict["parts"]]
    width = min(max((len(text) for text, _ in parts), default=0), 70)
    return "\n".join(
        [f"{'filter'.ljust(_WIDTH)}{says}", *(f"    {text.ljust(width)}  {value}" for text, value in parts)]
    )


def request_text(request: Mapping[str, Any], indent: int = _WIDTH) -> str:
    """Return a request; all lines but the first are indented."""
    lines = [f"{request['method']} {request['url']}"]
    lines += [f"{name}: {value}" for name, value in request["headers"].items()]
    body = _json(request["body"])
    if body:
        more = "..." if len(body) > BODY_SHOWN or request["size"] > len(request["body"].encode()) else ""
        lines += ["", *f"{body[:BODY_SHOWN]}{more}".split("\n")]
    return f"\n{' ' * indent}".join(lines)


def _lines(preview: Mapping[str, Any]) -> Iterator[str]:
    event = preview["event"]
    yield _row("hook", f"{name_or_id(preview['event_hook'])}  {preview['handler']}")
    yield _row("event", f"{event['source']}/{event['event']}")
    width = max(map(len, event["data"]), default=0)
    for name, value in event["data"].items():
        yield _row("", f"{name.ljust(width)}  {json_line(value)}")
    yield _row("verdict", _verdict(preview))
    if preview["filter"] is not None:
        yield filter_text(preview["filter"])
    if preview["suppression"] is not None:
        yield _row("suppression", _suppression(preview["suppression"]))
    if preview["request"] is not None:
        yield _row("request", request_text(preview["request"]))
    for number, line in enumerate(preview["lines"]):
        yield _row("" if number else "lines", f"[{line['level']}] {line['text']}")
    if preview["result"] is not None:
        yield _row("result", preview["result"])
    if preview["error"] is not None:
        yield _row("error", preview["error"])
    for note in preview["notes"]:
        yield _row("note", note)
    for number, limit in enumerate(preview["limits"]):
        yield _row("" if number else "limits", _limit(limit))


def _limit(limit: Mapping[str, Any]) -> str:
    name, used, most = limit["name"], limit["used"], limit["limit"]
    if name.endswith("_seconds"):
        return f"{name}: {used * 1000:.3g} of {most * 1000:,.0f} ms"
    return f"{name}: {used:,.0f} of {most:,.0f}"


def _row(name: str, text: str) -> str:
    return f"{name.ljust(_WIDTH)}{text}"


def _verdict(preview: Mapping[str, Any]) -> str:
    if preview["fires"]:
        return "fires"
    why = preview["mismatch"] or preview["held_back"]
    return f"does not fire: {why}"


def _suppression(found: Mapping[str, Any]) -> str:
    rules = ["on_change"] if found["on_change"] else []
    rules += [] if found["snooze"] is None else [f"snooze {found['snooze']} s"]
    text = f"{' and '.join(rules)}: {found['verdict']}"
    if found["fired_at"] is not None:
        text += f"; fired last at {when(found['fired_at'])}, {found['held']} held back since"
    return text if found["silent_until"] is None else f"{text}, silent until {when(found['silent_until'])}"


def _value(part: Mapping[str, Any]) -> str:
    return str(part["value"]) if part["error"] is None else f"error: {part['error']}"


def _json(body: str) -> str:
    """Return a JSON object over several lines, any other text as it is."""
    if not body.startswith("{"):
        return body
    try:
        return msgspec.json.format(body, indent=2)
    except msgspec.DecodeError:
        return body

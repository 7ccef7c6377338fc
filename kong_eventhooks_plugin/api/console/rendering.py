"""Templates to pages: everything is escaped, a name that is missing is an error, and no page may do what it need not.

What an endpoint or an event brought is text, never markup, a link's address or a part of a script: the templates have
no ``safe`` filter, and links are made of our own paths. ``Content-Security-Policy`` allows our own style, script and
connections alone, so that a fault in that would still run nothing.

Limits: of a body or an event's data ``SHOWN`` characters are shown.
"""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from aiohttp import web
from jinja2 import DictLoader, Environment, StrictUndefined

from kong_eventhooks_plugin.api.durations import span
from kong_eventhooks_plugin.api.rest.answers import encode

SHOWN: Final = 20_000
CUT: Final = "… (cut)"

HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # With no-referrer a browser would send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

STATIC: Final[Mapping[str, str]] = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

_HERE: Final = resources.files("kong_eventhooks_plugin.api.console")


def page(name: str, values: Mapping[str, Any], status: int = 200) -> web.Response:
    text = environment().get_template(name).render(values)
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)


async def compile_templates() -> None:
    """Compile every template beside the loop: each takes some milliseconds."""
    await asyncio.to_thread(lambda: [environment().get_template(name) for name in _names()])


def load() -> None:
    """Read all files of the console: later there may be no descriptor for one."""
    environment()
    for name in STATIC:
        static_url(name)


@cache
def environment() -> Environment:
    made = Environment(
        loader=DictLoader({name: (_HERE / "templates" / name).read_text("utf-8") for name in _names()}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters = (ago, clock, iso, number, pretty, segment, short, size, span, stamp, text)
    made.filters |= {each.__name__: each for each in filters}
    made.globals |= {"static": static_url, "query": query}
    return made


@cache
def static_file(name: str) -> bytes:
    return (_HERE / "static" / name).read_bytes()


@cache
def static_url(name: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(static_file(name)).digest())[:12].decode()
    return f"/console/static/{name}?v={digest}"


def _names() -> list[str]:
    return [entry.name for entry in (_HERE / "templates").iterdir() if entry.name.endswith(".html")]


def query(path: str, **values: Any) -> str:
    """Return a path of ours with a query; values that are unset are left out."""
    given = {name: value for name, value in values.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def segment(value: str) -> str:
    return quote(value, safe="")


def ago(at: float, now: float) -> str:
    seconds = now - at
    if seconds < -1:
        return f"in {span(-seconds)}"
    return "now" if seconds < 1 else f"{span(seconds)} ago"


def stamp(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "unknown"


def iso(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""


def clock(at: float, now: float) -> str:
    """Return a time without its day where that is less than half a day from now."""
    return stamp(at) if abs(now - at) > 43_200 else stamp(at)[11:]


def number(value: float) -> str:
    return f"{value:,.0f}"


def size(count: int) -> str:
    for length, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count} B"


def short(value: str, length: int = 8) -> str:
    """Return an id's last characters: its first are its time, and alike in a list."""
    return value if len(value) <= length else value[-length:]


def pretty(value: Any, most: int = SHOWN) -> str:
    """Return a value as JSON on lines, cut to ``most`` characters."""
    raw = encode(value)
    # What is cut anyway is not made beautiful before.
    return _cut((msgspec.json.format(raw, indent=2) if len(raw) <= 4 * most else raw).decode("utf-8", "replace"), most)


def text(body: bytes) -> str:
    """Return a body as text, JSON on lines, cut to ``SHOWN``."""
    raw = bytes(body)
    if raw[:1] in {b"{", b"["}:
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            raw = msgspec.json.format(raw, indent=2)
    return _cut(raw.decode("utf-8", "replace"), SHOWN)


def _cut(shown: str, most: int) -> str:
    return shown if len(shown) <= most else shown[:most] + CUT

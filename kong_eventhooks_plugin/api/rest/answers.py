"""JSON answers as Kong writes them."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from kong_eventhooks_plugin.api.service.views import BodyBytes

CONTENT_TYPE: Final = "application/json; charset=utf-8"
_ALWAYS: Final = {"content-type": CONTENT_TYPE, "cache-control": "no-store", "x-content-type-options": "nosniff"}


def _text(value: Any) -> str:
    if isinstance(value, BodyBytes):
        return value.decode(errors="replace")
    raise NotImplementedError(type(value))


encode: Final = msgspec.json.Encoder(enc_hook=_text).encode
builtins: Final = partial(msgspec.to_builtins, enc_hook=_text)
"""The same as JSON's types."""


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=encode(value), status=status, headers={**_ALWAYS, **(headers or {})})


def page_links(request: web.Request, next_offset: str | None, *kept: str) -> tuple[str | None, str | UnsetType]:
    """Return a page's ``next`` and ``offset``, as in Kong; of the query the parameters ``kept`` stay."""
    if next_offset is None:
        return None, UNSET
    query = {name: request.query[name] for name in kept if name in request.query}
    following = urlencode({"offset": next_offset, **query})
    return f"{request.rel_url.raw_path.rstrip('/')}?{following}", next_offset

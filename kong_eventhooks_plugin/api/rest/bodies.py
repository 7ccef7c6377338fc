"""A request's body as an object: JSON, a form, or a multipart form as curl's ``-F`` and HTTPie's ``--form`` send it.

As in Kong's Admin API a body without a content type is refused unless it is empty, a form's values are text until the
schema gives them a type (``form_values``), and a part's file name is ignored: ``-F config.functions=@file`` is the
file's text.

A body is read whole before any of it is parsed. Limits: ``MAX_BODY`` bytes (413), no compressed body (415); 400 for
more than ``MAX_SEPARATORS`` values of JSON, ``MAX_STRAY`` percent signs that begin no code, or what ``form_names`` and
``multipart`` take. A form of more than ``AT_ONCE`` bytes is read in a thread, one at a time: a megabyte takes up to a
quarter of a second.
"""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import web

from kong_eventhooks_plugin import bounded_json
from kong_eventhooks_plugin.api.rest import multipart
from kong_eventhooks_plugin.api.rest.form_names import MAX_ARGUMENTS, nested
from kong_eventhooks_plugin.api.rest.form_values import Field, inferred
from kong_eventhooks_plugin.errors import BadArgument
from kong_eventhooks_plugin.hooks.validation.json_values import MAX_SEPARATORS

MAX_BODY: Final = 1 << 20
MAX_STRAY: Final = 1_000

AT_ONCE: Final = 16 << 10
PIECE: Final = 16 << 10

BODY_ERRORS: Final = (400, 413, 415)

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"

_STRAY_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_forms: Final = ThreadPoolExecutor(1, "forms")


async def read_object(request: web.Request, field: Field | None = None) -> dict[str, Any]:
    """Return the body, ``{}`` where it is empty. ``field`` gives a form's values their types.

    Raises ``BadArgument``, ``ValidationError``, ``ConnectionError``, and aiohttp's ``HTTPUnsupportedMediaType`` and
    ``HTTPRequestEntityTooLarge``.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise web.HTTPUnsupportedMediaType(text="a compressed body is not accepted")
    content_type = request.headers.get("content-type", "")
    kind = media_type(content_type)
    try:
        body = await _whole(request)
    except RuntimeError as error:  # aiohttp's, where the connection has been cut
        raise ConnectionResetError from error
    if kind == JSON:
        return from_json(body)
    if kind in (FORM, MULTIPART):
        if len(body) <= AT_ONCE:
            return read_form(body, content_type, field)
        return await asyncio.get_running_loop().run_in_executor(_forms, read_form, body, content_type, field)
    if body or kind:
        raise web.HTTPUnsupportedMediaType(text=f"send {JSON}, {FORM} or {MULTIPART}")
    return {}


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


async def _whole(request: web.Request) -> bytes:
    content = request.content
    if content.is_eof() and content.total_bytes <= MAX_BODY:
        return content.read_nowait()  # it came with its head, as nearly always; aiohttp's reading takes three turns
    return await request.read()


def read_form(body: bytes, content_type: str, field: Field | None) -> dict[str, Any]:
    """Return a form as an object. Raises ``BadArgument`` and ``ValidationError``."""
    is_multipart = content_type.lower().lstrip().startswith(MULTIPART)
    value = nested(multipart.fields(body, content_type) if is_multipart else _fields(body))
    typed: dict[str, Any] = value if field is None else inferred(value, field)
    return typed


def from_json(body: bytes) -> dict[str, Any]:
    """May raise ``BadArgument``."""
    try:
        value = bounded_json.decode(body, MAX_SEPARATORS)
    except bounded_json.TooManyValues as error:
        raise BadArgument(f"the body has {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadArgument("Cannot parse JSON body") from error
    if not isinstance(value, dict):
        raise BadArgument("expected a JSON object as the body")
    return value


def _fields(body: bytes) -> list[tuple[str, str]]:
    if any(count >= MAX_STRAY for count, _ in enumerate(_STRAY_PERCENT.finditer(body))):
        raise BadArgument("Too many percent signs that begin no code")
    # An empty one, as between && or in an empty body, is none.
    written = [field for field in body.split(b"&", MAX_ARGUMENTS + 1) if field]
    if body.count(b"&") >= MAX_ARGUMENTS:
        raise BadArgument("Too many arguments")
    try:
        return [(_text(name), _text(value)) for name, _, value in (field.partition(b"=") for field in written)]
    except UnicodeDecodeError as error:
        raise BadArgument("the form is not UTF-8") from error


def _text(encoded: bytes) -> str:
    """Return a name or value; in pieces, since a long one would keep the loop from its turn even in a thread."""
    encoded = encoded.replace(b"+", b" ")
    plain, start = bytearray(), 0
    while start < len(encoded):
        end = start + PIECE
        escape = encoded.rfind(b"%", end - 2, end)
        if escape >= 0:
            end = escape  # it begins the next piece
        plain += unquote_to_bytes(encoded[start:end])
        start = end
    return plain.decode()

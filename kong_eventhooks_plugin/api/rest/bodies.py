"""A request's body as an object: JSON, a form, or a multipart form as curl's ``-F`` and HTTPie's ``--form`` send it.

As in Kong's Admin API a body without a content type is refused unless it is empty, a form's values are text until the
schema gives them a type (``form_values``), and a part's file name is ignored: ``-F config.functions=@file`` is the
file's text.

Limits: ``MAX_BODY`` bytes (413), 1,000 fields or parts (400), no compressed body (415).
"""

from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from kong_eventhooks_plugin.api.rest.form_names import MAX_ARGUMENTS, nested
from kong_eventhooks_plugin.api.rest.form_values import Field, inferred
from kong_eventhooks_plugin.errors import BadArgument

MAX_BODY: Final = 1 << 20

BODY_ERRORS: Final = (400, 413, 415)

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"


async def read_object(request: web.Request, field: Field | None = None) -> dict[str, Any]:
    """Return the body, ``{}`` where it is empty. ``field`` gives a form's values their types.

    Raises ``BadArgument``, ``ValidationError``, and aiohttp's ``HTTPUnsupportedMediaType`` and
    ``HTTPRequestEntityTooLarge``.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise web.HTTPUnsupportedMediaType(text="a compressed body is not accepted")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON:
        return _from_json(await request.read())
    if kind == MULTIPART:
        return _typed(nested(await _parts(request)), field)
    body = await request.read()
    if kind == FORM:
        return _typed(nested(_fields(body)), field)
    if body or kind:
        raise web.HTTPUnsupportedMediaType(text=f"send {JSON}, {FORM} or {MULTIPART}")
    return {}


def _from_json(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadArgument("Cannot parse JSON body") from error
    if not isinstance(value, dict):
        raise BadArgument("expected a JSON object as the body")
    return value


def _typed(value: dict[str, Any], field: Field | None) -> dict[str, Any]:
    typed: dict[str, Any] = value if field is None else inferred(value, field)
    return typed


def _fields(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_ARGUMENTS)
    except UnicodeDecodeError as error:
        raise BadArgument("the form is not UTF-8") from error
    except ValueError as error:
        raise BadArgument("Too many arguments") from error


async def _parts(request: web.Request) -> list[tuple[str, str]]:
    free = MAX_BODY
    found: list[tuple[str, str]] = []
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if isinstance(part, MultipartReader):
                raise BadArgument("a multipart form inside another is not accepted")
            if len(found) >= MAX_ARGUMENTS:
                raise BadArgument("Too many arguments")
            data = await _content(part, free)
            free -= len(data)
            if part.name is not None:
                found.append((part.name, data.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise BadArgument("a part of the form is not UTF-8") from error
    except (HttpProcessingError, ValueError, AssertionError, RuntimeError) as error:
        # What aiohttp's reader raises for an invalid form; it has no class of its own.
        raise BadArgument("Cannot parse multipart body") from error
    return found


async def _content(part: BodyPartReader, free: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > free:
            raise web.HTTPRequestEntityTooLarge(max_size=MAX_BODY, actual_size=MAX_BODY + len(data) - free)
    return bytes(data)

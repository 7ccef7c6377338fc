"""How a ``webhook-custom`` hook's payload becomes a request's body or query. Pure.

=====================================  ===================================================================
method GET                             pairs, behind the URL's own query
``application/json``, ``.../...+json``  JSON
``application/x-www-form-urlencoded``  pairs
``multipart/form-data``, none          pairs, one part each
any other content type                 refused: how to encode is not defined
=====================================  ===================================================================

Pairs of a nested payload are named as PHP, Rails and most form libraries read them: ``a[b]`` for a field, ``a[]`` for
the elements of a list, ``a[0][b]`` for those that are objects or lists themselves. Null is an empty value; ``true``,
``false`` and numbers are as in JSON.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from kong_eventhooks_plugin.errors import ValidationError

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

_BOUNDARY = re.compile(r'boundary="?([0-9A-Za-z\'()+_,./:=? -]{0,69}[0-9A-Za-z\'()+_,./:=?-])"?', re.IGNORECASE)
_UNSAFE_IN_NAME = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class Encoded(msgspec.Struct, frozen=True):
    """A request's body, its content type (None: none), and what is added to the URL's query."""

    body: bytes = b""
    content_type: str | None = None
    query: str = ""


def media_type(content_type: str | None) -> str:
    """Return a content type without its parameters, in lower case; ``""`` where there is none."""
    return (content_type or "").partition(";")[0].strip().lower()


def is_json(media: str) -> bool:
    return media == JSON or media.endswith("+json")


def encode_payload(payload: Mapping[str, Any], content_type: str | None, method: str) -> Encoded:
    """Return how a rendered payload is sent; raises ``ValidationError`` for another content type."""
    error = payload_error(content_type, method)
    if error is not None:
        raise ValidationError({"config": {"headers": {"content-type": error}}})
    media = media_type(content_type)
    if method == "GET":
        return Encoded(query=urlencode(list(pairs(payload)), quote_via=quote), content_type=content_type)
    if is_json(media):
        return Encoded(body=msgspec.json.encode(payload), content_type=content_type)
    if media == FORM:
        return Encoded(body=urlencode(list(pairs(payload))).encode(), content_type=content_type)
    return _multipart(payload, content_type)


def payload_error(content_type: str | None, method: str) -> str | None:
    """Return why a payload cannot be encoded by its content type, None where it can be."""
    media = media_type(content_type)
    if method == "GET" or is_json(media) or media in (FORM, MULTIPART, ""):
        return None
    return f"a payload is sent as {JSON}, {FORM} or {MULTIPART}; with {media} set body instead"


def json_body_error(body: str, content_type: str | None) -> str | None:
    """Return why a body is not what its content type says, None where that is not JSON."""
    if not is_json(media_type(content_type)):
        return None
    try:
        msgspec.json.decode(body, type=msgspec.Raw)  # read, but nothing made of it
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        return f"is not JSON, as its content type says: {error}"
    return None


def pairs(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in payload.items():
        yield from _pairs(name, value)


def _pairs(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for field, inner in value.items():
            yield from _pairs(f"{name}[{field}]", inner)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            nested = isinstance(inner, Mapping | list | tuple)
            yield from _pairs(f"{name}[{number if nested else ''}]", inner)
    else:
        yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _multipart(payload: Mapping[str, Any], content_type: str | None) -> Encoded:
    given = _BOUNDARY.search(content_type or "")
    boundary = given[1] if given else secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\ncontent-disposition: form-data; name="{name.translate(_UNSAFE_IN_NAME)}"\r\n\r\n{value}\r\n'
        for name, value in pairs(payload)
    ]
    if any(f"--{boundary}" in value for _, value in pairs(payload)):
        raise ValidationError({"config": {"headers": {"content-type": "a value holds the boundary; leave it out"}}})
    body = "".join(parts) + f"--{boundary}--\r\n"
    return Encoded(body=body.encode(), content_type=content_type if given else f"{MULTIPART}; boundary={boundary}")

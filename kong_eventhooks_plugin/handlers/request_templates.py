"""Which strings of a ``webhook-custom`` hook are templates, and the request with their results. Pure.

==================  ===========================  ====================================================
field               is a template                ``{{ }}`` escapes for
==================  ===========================  ====================================================
``payload``         unless ``payload_format``    nothing: JSON, forms and queries are encoded later
                    is false; every string in
                    it, however deep
``body``            unless ``body_format``       its content type: JSON strings, HTML and XML, forms;
                    is false                     nothing for any other
``headers``         with ``headers_format``      nothing; the result must be a header's value
``url``             with ``url_format``; behind  a URL: a value cannot add a segment or a parameter
                    scheme and host only
==================  ===========================  ====================================================

A string without a tag is not rendered at all.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from kong_eventhooks_plugin.handlers.payload_encoding import FORM, is_json, media_type
from kong_eventhooks_plugin.sandbox.tasks import Dialect, EscapeContext, Template, is_plain

_MARKUP = ("text/html", "application/xhtml+xml", "text/xml", "application/xml")


class TemplatedRequest(msgspec.Struct, frozen=True):
    """The strings of a request, templates or rendered."""

    url: str
    headers: Mapping[str, Any]
    body: str | None
    payload: Mapping[str, Any] | None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "TemplatedRequest":
        return cls(
            url=config.get("url") or "",
            headers=config.get("headers") or {},
            body=config.get("body"),
            payload=config.get("payload"),
        )


def dialect_of(config: Mapping[str, Any]) -> Dialect:
    return "jinja2" if config.get("template") == "jinja2" else "resty"


def content_type(headers: Mapping[str, Any]) -> str | None:
    return next((str(value) for name, value in headers.items() if str(name).lower() == "content-type"), None)


def templates(config: Mapping[str, Any]) -> list[Template]:
    """Return every string of a definition that must be rendered, each with its path."""
    found: list[Template] = []
    dialect = dialect_of(config)

    def collect(path: str, text: str, context: EscapeContext) -> str:
        if not is_plain(text, dialect):
            found.append(Template(path, text, context))
        return text

    _each(config, collect)
    return found


def rendered(config: Mapping[str, Any], texts: Iterable[str]) -> TemplatedRequest:
    """Return the request with ``texts`` in the places of its ``templates``, in their order.

    Not by their paths: in a payload ``{"a.b": ..., "a": {"b": ...}}`` two have the same.
    """
    dialect, results = dialect_of(config), iter(texts)
    return _each(config, lambda _, text, __: text if is_plain(text, dialect) else next(results))


def _each(config: Mapping[str, Any], change: Callable[[str, str, EscapeContext], str]) -> TemplatedRequest:
    """Return the request with ``change`` applied to every string that may be a template."""
    request = TemplatedRequest.of(config)
    url, headers, body, payload = request.url, request.headers, request.body, request.payload
    if config.get("url_format"):
        url = change("config.url", url, "url")
    if config.get("headers_format"):
        headers = {name: change(f"config.headers.{name}", str(value), "plain") for name, value in headers.items()}
    if body is not None and config.get("body_format") is not False:
        body = change("config.body", body, _body_context(content_type(request.headers)))
    if payload is not None and config.get("payload_format") is not False:
        payload = _in_strings(payload, "config.payload", change)
    return TemplatedRequest(url, headers, body, payload)


def _in_strings(value: Any, path: str, change: Callable[[str, str, EscapeContext], str]) -> Any:
    if isinstance(value, str):
        return change(path, value, "plain")
    if isinstance(value, Mapping):
        return {name: _in_strings(inner, f"{path}.{name}", change) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_in_strings(inner, f"{path}[{number}]", change) for number, inner in enumerate(value)]
    return value


def _body_context(header: str | None) -> EscapeContext:
    media = media_type(header)
    if is_json(media):
        return "json"
    if media == FORM:
        return "form"
    return "html" if media in _MARKUP or media.endswith("+xml") else "plain"


def nest_errors(errors: Mapping[str, str]) -> dict[str, Any]:
    """Return errors by path (``config.payload.blocks[0].text``) in the shape of the definition."""
    fields: dict[str, Any] = {}
    for path, text in errors.items():
        # What lies below config's field is one step: a name in it may hold a full stop.
        *parents, last = path.split(".", 2)
        here = fields
        for step in parents:
            here = here.setdefault(step, {})
        here[last] = text
    return fields

"""Rules that Kong's schema language cannot express. Kong accepts a hook that breaks one; the sidecar refuses it.

- A name is unique in a list.
- An event is one of its source's own (Kong is given the events of all sources together).
- ``secret`` and ``secret_file`` exclude each other also where ``secret`` is a reference.
- A field of another handler is unset also where it would be a reference.
- A literal URL has a host and a port that can be called, also in notations that no pattern covers: an international
  name, an IPv4 address inside an IPv6 one.
- A literal secret has a key, also after ``whsec_``; ``previous_secret`` has another beside it.
- A secret file is below a directory that secrets may come from; ``secret_files`` looks where it really is.
- A URL contains spaces inside its templates only, and templates only behind scheme, host and port; for a handler that
  does not render its URL it contains none.
- A payload has a content type by which it can be encoded; a literal body is JSON where its content type is.
- A payload that is a text is a JSON object of at most ``MAX_PAYLOAD`` characters, without repeated keys.
- Values can be stored and sent as JSON (``hooks.validation.json_values``).
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.bounded_json import has_more_values
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.address_rules import AddressRules, is_literal
from kong_eventhooks_plugin.handlers.payload_encoding import json_body_error, payload_error
from kong_eventhooks_plugin.handlers.request_templates import content_type, dialect_of
from kong_eventhooks_plugin.handlers.signatures import key_of
from kong_eventhooks_plugin.handlers.target_url import authority, parse_target
from kong_eventhooks_plugin.hooks.patterns import NEVER_CALLED, SHORT_IPV4, STRICT_URL, TEMPLATE_IN_HOST, URL_ERR
from kong_eventhooks_plugin.hooks.references import as_secret
from kong_eventhooks_plugin.hooks.schema import HANDLERS_OF, Known, handler_config
from kong_eventhooks_plugin.hooks.validation import json_values
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.hooks.validation.field_checks import pattern
from kong_eventhooks_plugin.model.masking import is_reference
from kong_eventhooks_plugin.sandbox.tasks import is_plain

Errors = dict[str, Any]

_TAG = re.compile(r"\{\{.*?\}\}|\{\*.*?\*\}|\{%.*?%\}|\{#.*?#\}")
"""A template's tag, in either dialect."""

MAX_PAYLOAD = 1 << 20

_DEFAULTS = {name: field.get("default") for entry in handler_config()["fields"] for name, field in entry.items()}
_ANY_ADDRESS = AddressRules()
_NUMBER = re.compile("[0-9]+|0[xX][0-9a-fA-F]*")


def examined(
    hook: dict[str, Any], known: Known, secret_directories: Collection[str]
) -> tuple[dict[str, Any], Errors | None]:
    """Return a hook that Kong would accept with its payload parsed, and its errors, in Kong's shape."""
    errors = errors_beside(hook, {}, known, secret_directories)
    payload = hook["config"]["payload"]
    if isinstance(payload, str):
        payload, error = _parsed(payload)
        if error is not None:
            errors["config"] = {**errors.get("config", {}), "payload": error}
        hook = {**hook, "config": {**hook["config"], "payload": payload}}
    return hook, errors or None


def errors_beside(
    hook: Mapping[str, Any], errors: Mapping[str, Any], known: Known, secret_directories: Collection[str]
) -> Errors:
    """Return the errors of a hook that Kong refuses for ``errors``: of those fields that Kong accepts."""
    found: Errors = {}
    if {"handler", "config", "@entity"}.isdisjoint(errors):
        config = _config_errors(hook) | _secret_file_error(hook["config"]["secret_file"], secret_directories)
        found |= {"config": config} if config else {}
    if {"source", "event"}.isdisjoint(errors):
        error = _event_error(hook["source"], hook["event"], known)
        found |= {} if error is None else {"event": error}
    return found


def _parsed(text: str) -> tuple[Any, str | None]:
    """Return the object of a payload's text, and the text's error."""
    if len(text) > MAX_PAYLOAD:
        return None, texts.LEN_MAX.format(MAX_PAYLOAD)
    try:
        if has_more_values(text.encode(errors="replace"), json_values.MAX_SEPARATORS):
            return None, f"contains more than {json_values.MAX_VALUES:,} values"
        value = json_values.parse_json(text)
    except json.JSONDecodeError as error:
        return None, f"a payload that is a text has to be JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:
        message = "is nested too deep" if isinstance(error, RecursionError) else str(error)
        return None, f"a payload that is a text has to be JSON: {message}"
    if not isinstance(value, dict):
        return None, "a payload that is a text has to be a JSON object"
    invalid = json_values.json_error(value)
    return value, None if invalid is None else ": ".join(part for part in invalid if part)


def _config_errors(hook: Mapping[str, Any]) -> Errors:
    config = _secret_errors(hook["config"]) | _body_errors(hook) | _foreign_errors(hook)
    url_error = _url_error(hook)
    return config if url_error is None else config | {"url": url_error}


def _foreign_errors(hook: Mapping[str, Any]) -> Errors:
    return {
        name: texts.UNKNOWN
        for name, value in hook["config"].items()
        if hook["handler"] not in HANDLERS_OF[name] and value not in (None, _DEFAULTS[name])
    }


def _secret_errors(config: Mapping[str, Any]) -> Errors:
    if config["secret"] is not None and config["secret_file"] is not None:
        return {"@entity": [texts.MUTUALLY_EXCLUSIVE.format("'secret', 'secret_file'")]}
    if config["previous_secret"] is not None and config["secret"] is None and config["secret_file"] is None:
        return {"previous_secret": "needs a secret or secret_file beside it, which signs too"}
    errors = {}
    for name in ("secret", "previous_secret"):
        if config[name] is not None and not is_reference(config[name]):
            try:
                key_of(as_secret(config[name]))
            except ValueError as error:
                errors[name] = str(error)
    return errors


def _secret_file_error(path: str | None, directories: Collection[str]) -> Errors:
    if path is None or files.is_below(path, directories):
        return {}
    allowed = ", ".join(directories) or "none"
    return {"secret_file": f"is in no directory of the sidecar's setting secret_file_directories ({allowed})"}


def _body_errors(hook: Mapping[str, Any]) -> Errors:
    """Return what the content type refuses, where it is known now."""
    config, dialect = hook["config"], dialect_of(hook["config"])
    header = content_type(config["headers"] or {})
    is_template = header is not None and config["headers_format"] and not is_plain(header, dialect)
    if hook["handler"] != "webhook-custom" or is_reference(header) or is_template:
        return {}
    if config["body"] is not None:
        literal = not config["body_format"] or is_plain(config["body"], dialect)
        error = json_body_error(config["body"], header) if literal else None
        return {} if error is None else {"body": error}
    error = None if config["payload"] is None else payload_error(header, config["method"])
    return {} if error is None else {"headers": {"content-type": error}}


def _event_error(source: str, event: str | None, known: Known) -> str | None:
    events, patterns = known.sources.get(source, ()), known.patterns.get(source, ())
    if event is None or event in events or not (events or patterns):
        return None
    if any(re.fullmatch(expression, event) for _, expression in patterns):
        return None
    # A source with patterns lists hundreds of names that follow them.
    return texts.ONE_OF.format(", ".join([shown for shown, _ in patterns] if patterns else events))


def _url_error(hook: Mapping[str, Any]) -> str | None:
    url = hook["config"]["url"]
    if url is None or is_reference(url):
        return None
    if hook["handler"] == "webhook-custom" and hook["config"]["url_format"]:
        if "{" in authority(url):
            return TEMPLATE_IN_HOST
        url = _TAG.sub("x", url)
    return _target_error(authority(url)) if pattern(STRICT_URL)(url) else URL_ERR


def _target_error(url: str) -> str | None:
    try:
        host = parse_target(url).url.raw_host.decode("ascii")
    except ValidationError as error:
        return str(error.fields["config"]["url"])
    if is_literal(host):
        # Only link-local addresses have a zone.
        return NEVER_CALLED if "%" in host or _ANY_ADDRESS.refusal(host) else None
    # As browsers and Kong's resolver read it: a name whose last part is a number is an IPv4 address.
    return SHORT_IPV4 if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) else None

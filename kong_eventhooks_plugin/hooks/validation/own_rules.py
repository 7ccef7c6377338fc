"""Rules that Kong's schema language cannot express. Kong accepts a hook that breaks one; the sidecar refuses it.

- A name is unique in a list.
- An event is one of its source's own (Kong is given the events of all sources together).
- ``secret`` and ``secret_file`` exclude each other also where ``secret`` is a reference.
- A URL contains spaces inside its templates only, and templates only behind scheme, host and port; for a handler that
  does not render its URL it contains none.
- A payload that is a text is a JSON object of at most ``MAX_PAYLOAD`` characters, without repeated keys.
- Values can be stored and sent as JSON (``hooks.validation.json_values``).
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from kong_eventhooks_plugin.hooks.schema import STRICT_URL, URL_ERR, Known
from kong_eventhooks_plugin.hooks.validation import json_values
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.hooks.validation.field_checks import pattern
from kong_eventhooks_plugin.model.masking import is_reference

Errors = dict[str, Any]

_TAG = re.compile(r"\{\{.*?\}\}|\{\*.*?\*\}|\{%.*?%\}|\{#.*?#\}")
"""A template's tag, in either dialect."""

_TEMPLATE_IN_HOST = "a template may be in path and query, never in scheme, host or port"

MAX_PAYLOAD = 1 << 20


def examined(hook: dict[str, Any], known: Known) -> tuple[dict[str, Any], Errors | None]:
    """Return a hook that Kong would accept with its payload parsed, and its errors, in Kong's shape."""
    payload = hook["config"]["payload"]
    if isinstance(payload, str):
        payload, error = _parsed(payload)
        if error is not None:
            return hook, {"config": {"payload": error}}
        hook = {**hook, "config": {**hook["config"], "payload": payload}}
    return hook, _error(hook, known)


def errors_beside(hook: Mapping[str, Any], errors: Mapping[str, Any], known: Known) -> Errors:
    """Return the error of the event of a hook that Kong refuses for other fields."""
    if not {"source", "event"}.isdisjoint(errors):
        return {}
    error = _event_error(hook["source"], hook["event"], known)
    return {} if error is None else {"event": error}


def _parsed(text: str) -> tuple[Any, str | None]:
    """Return the object of a payload's text, and the text's error."""
    if len(text) > MAX_PAYLOAD:
        return None, texts.LEN_MAX.format(MAX_PAYLOAD)
    try:
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


def _error(hook: Mapping[str, Any], known: Known) -> Errors | None:
    config: Errors = {}
    if hook["config"]["secret"] is not None and hook["config"]["secret_file"] is not None:
        config["@entity"] = [texts.MUTUALLY_EXCLUSIVE.format("'secret', 'secret_file'")]
    if (url_error := _url_error(hook)) is not None:
        config["url"] = url_error
    errors: Errors = {"config": config} if config else {}
    if (event_error := _event_error(hook["source"], hook["event"], known)) is not None:
        errors["event"] = event_error
    return errors or None


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
    if hook["handler"] != "webhook-custom" or not hook["config"]["url_format"]:
        return None if pattern(STRICT_URL).search(url) else URL_ERR
    if "{" in re.split("[/?#]", url.partition("//")[2], maxsplit=1)[0]:
        return _TEMPLATE_IN_HOST
    return None if pattern(STRICT_URL).search(_TAG.sub("x", url)) else URL_ERR

"""Rules that Kong's schema language cannot express. Kong accepts a hook that breaks one; the sidecar refuses it.

- A name is unique in a list.
- An event is one of its source's own (Kong is given the events of all sources together).
- ``secret`` and ``secret_file`` exclude each other also where ``secret`` is a reference.
- A field of another handler is unset also where it would be a reference.
- A literal URL has a host and a port that can be called, also in notations that no pattern covers: an international
  name, an IPv4 address inside an IPv6 one.
- A literal secret has a key, also after ``whsec_``; ``previous_secret`` has another beside it.
- A secret, a URL or a header's value that looks like a reference, Kong's or decK's, is one.
- A certificate's key has a certificate beside it, and authorities have something to verify.
- A preset that needs a key has one, any other preset has none.
- A secret file is below a directory that secrets may come from; ``secret_files`` looks where it really is.
- A URL contains spaces inside its templates only, and templates only behind scheme, host and port; for a handler that
  does not render its URL it contains none.
- A payload has a content type by which it can be encoded; a literal body is JSON where its content type is.
- A payload that is a text is a JSON object of at most ``MAX_PAYLOAD`` characters, without repeated keys.
- A signature header of its own has a name, and a secret beside it.
- What is ordered has a concurrency of 1.
- Values can be stored and sent as JSON (``hooks.validation.json_values``).
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Final

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.bounded_json import has_more_values
from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.address_rules import AddressRules
from kong_eventhooks_plugin.handlers.payload_encoding import json_body_error, payload_error
from kong_eventhooks_plugin.handlers.request_templates import content_type, dialect_of
from kong_eventhooks_plugin.handlers.signatures import key_of
from kong_eventhooks_plugin.handlers.target_url import authority, parse_target
from kong_eventhooks_plugin.hooks.patterns import NEVER_CALLED, SHORT_IPV4, STRICT_URL, TEMPLATE_IN_HOST, URL_ERR
from kong_eventhooks_plugin.hooks.references import as_secret, near_reference_error
from kong_eventhooks_plugin.hooks.schema import HANDLERS_OF, KEYED_PRESETS, TLS_FILES, Known, handler_config
from kong_eventhooks_plugin.hooks.validation import json_values
from kong_eventhooks_plugin.hooks.validation import kong_texts as texts
from kong_eventhooks_plugin.hooks.validation.field_checks import pattern
from kong_eventhooks_plugin.model.masking import is_reference
from kong_eventhooks_plugin.sandbox.tasks import is_plain
from kong_eventhooks_plugin.suggestions import did_you_mean

Errors = dict[str, Any]

_TAG = re.compile(r"\{\{.*?\}\}|\{\*.*?\*\}|\{%.*?%\}|\{#.*?#\}")
"""A template's tag, in either dialect."""

MAX_PAYLOAD = 1 << 20

UNSIGNED: Final = "needs a secret or secret_file beside it"
ORDERED_IS_ONE: Final = "with ordered there is one delivery at a time: leave it out"
PRINTABLE: Final = "expected letters, digits and signs of ASCII, without spaces and line ends"
_PRINTABLE: Final = re.compile("[!-~]*")

GUESSED: Final = "?"
"""In place of a field's name: see ``examined``."""

_DEFAULTS = {name: field.get("default") for entry in handler_config()["fields"] for name, field in entry.items()}
_ANY_ADDRESS = AddressRules()
_NUMBER = re.compile("[0-9]+|0[xX][0-9a-fA-F]*")


def examined(
    hook: Mapping[str, Any], suspect: AbstractSet[str], known: Known, secret_directories: Collection[str]
) -> tuple[dict[str, Any], Errors]:
    """Return a hook with its payload parsed, and its errors, in Kong's shape.

    ``suspect`` names the fields that have an error already (``source``, ``config.url``): a rule that reads one is left
    out. ``GUESSED`` among them: the handler is only what was probably meant.
    """
    hook = dict(hook)
    errors: Errors = {}
    if suspect.isdisjoint({"source", "event"}):
        error = _event_error(hook["source"], hook["event"], known)
        errors = {} if error is None else {"event": error}
    if "config" in suspect:
        return hook, errors
    config: Errors = {}
    for fields, rule in _CONFIG_RULES:
        if suspect.isdisjoint(fields):
            config = rule(hook) | config
    for name in ("secret_file", *TLS_FILES):
        if f"config.{name}" not in suspect:
            config = _file_error(name, hook["config"][name], secret_directories) | config
    payload = hook["config"]["payload"]
    if isinstance(payload, str) and "config.payload" not in suspect:
        payload, error = _parsed(payload)
        config = config if error is None else {"payload": error} | config
        hook["config"] = {**hook["config"], "payload": payload}
    return hook, errors | ({"config": config} if config else {})


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
    return value, None if invalid is None else str(invalid)


def foreign(name: str) -> str:
    """Return the error of a field that the hook's handler does not have."""
    handlers = HANDLERS_OF[name]
    return f"{texts.UNKNOWN}; only {' and '.join(handlers)} {'has' if len(handlers) == 1 else 'have'} it"


def _foreign_errors(hook: Mapping[str, Any]) -> Errors:
    return {
        name: foreign(name)
        for name, value in hook["config"].items()
        if name in HANDLERS_OF and hook["handler"] not in HANDLERS_OF[name] and value not in (None, _DEFAULTS.get(name))
    }


def _two_secrets_error(hook: Mapping[str, Any]) -> Errors:
    return _TWO_SECRETS if all(hook["config"][name] is not None for name in _CURRENT) else {}


def _lone_secret_error(hook: Mapping[str, Any]) -> Errors:
    if hook["config"]["previous_secret"] is None or any(hook["config"][name] is not None for name in _CURRENT):
        return {}
    return {"previous_secret": "needs a secret or secret_file beside it, which signs too"}


def _reference_error(name: str, hook: Mapping[str, Any]) -> Errors:
    text = hook["config"][name]
    error = None if text is None else near_reference_error(text)
    return {} if error is None else {name: error}


def _header_reference_errors(hook: Mapping[str, Any]) -> Errors:
    # A header whose value is no text has an error of its own, and does not keep the rules from the others.
    texts_of = {name: text for name, text in (hook["config"]["headers"] or {}).items() if isinstance(text, str)}
    errors = {name: error for name, text in texts_of.items() if (error := near_reference_error(text)) is not None}
    return {"headers": errors} if errors else {}


def _preset_key_error(hook: Mapping[str, Any]) -> Errors:
    preset, key = hook["config"]["preset"], hook["config"]["preset_key"]
    if preset in KEYED_PRESETS and key is None:
        return {"preset_key": f"required field missing: the preset {preset} needs one"}
    if preset not in KEYED_PRESETS and key is not None:
        return {"preset_key": f"only the presets {' and '.join(KEYED_PRESETS)} have it"}
    if key is not None and not is_reference(key) and not _PRINTABLE.fullmatch(as_secret(key)):
        return {"preset_key": PRINTABLE}
    return {}


def _key_error(name: str, hook: Mapping[str, Any]) -> Errors:
    secret = hook["config"][name]
    if secret is not None and not is_reference(secret):
        try:
            key_of(as_secret(secret))
        except ValueError as error:
            return {name: str(error)}
    return {}


def _file_error(name: str, path: str | None, directories: Collection[str]) -> Errors:
    if path is None or files.is_below(path, directories):
        return {}
    allowed = ", ".join(directories) or "none"
    return {name: f"is in no directory of the sidecar's setting secret_file_directories ({allowed})"}


def _body_error(hook: Mapping[str, Any]) -> Errors:
    config, header = hook["config"], _known_content_type(hook)
    if config["body"] is None or header is None:
        return {}
    literal = not config["body_format"] or is_plain(config["body"], dialect_of(config))
    error = json_body_error(config["body"], header) if literal else None
    return {} if error is None else {"body": error}


def _payload_type_error(hook: Mapping[str, Any]) -> Errors:
    config, header = hook["config"], _known_content_type(hook)
    if config["payload"] is None or config["body"] is not None or header is None:
        return {}
    error = payload_error(header, config["method"])
    return {} if error is None else {"headers": {"content-type": error}}


def _known_content_type(hook: Mapping[str, Any]) -> str | None:
    """Return the content type of a webhook-custom hook, empty where it has none; None where it is not known now."""
    config = hook["config"]
    header = content_type(config["headers"] or {}) or ""
    is_template = config["headers_format"] and not is_plain(header, dialect_of(config))
    return None if hook["handler"] != "webhook-custom" or is_reference(header) or is_template else header


def _lone_key_error(hook: Mapping[str, Any]) -> Errors:
    config = hook["config"]
    lone = config["client_key_file"] is not None and config["client_cert_file"] is None
    return {"client_key_file": "needs client_cert_file beside it"} if lone else {}


def _authorities_error(hook: Mapping[str, Any]) -> Errors:
    config = hook["config"]
    unused = config["ca_file"] is not None and config["ssl_verify"] is False
    return {"ca_file": "has no effect where ssl_verify is false"} if unused else {}


def _signature_error(hook: Mapping[str, Any]) -> Errors:
    signature = hook["config"]["signature"]
    if signature is None or signature.get("header") is None:
        needed = signature is not None and signature.get("form") is not None
        return {"signature": {"header": texts.REQUIRED}} if needed else {}
    return {} if any(hook["config"][name] is not None for name in _CURRENT) else {"signature": UNSIGNED}


def _concurrency_error(hook: Mapping[str, Any]) -> Errors:
    config = hook["config"]
    return {"concurrency": ORDERED_IS_ONE} if config["ordered"] and config["concurrency"] not in (None, 1) else {}


def _event_error(source: str, event: str | None, known: Known) -> str | None:
    events, patterns = known.sources.get(source, ()), known.patterns.get(source, ())
    if event is None or event in events or not (events or patterns):
        return None
    if any(re.fullmatch(expression, event) for _, expression in patterns):
        return None
    # A source with patterns lists hundreds of names that follow them.
    shown = [name for name, _ in patterns] if patterns else events
    return texts.ONE_OF.format(", ".join(shown)) + did_you_mean(event, events)


def _url_error(hook: Mapping[str, Any]) -> Errors:
    url = hook["config"]["url"]
    if url is None or is_reference(url):
        return {}
    if hook["handler"] == "webhook-custom" and hook["config"]["url_format"]:
        if "{" in authority(url):
            return {"url": TEMPLATE_IN_HOST}
        url = _TAG.sub("x", url)
    error = _target_error(authority(url)) if pattern(STRICT_URL)(url) else URL_ERR
    return {} if error is None else {"url": error}


def _target_error(url: str) -> str | None:
    try:
        target = parse_target(url)
    except ValidationError as error:
        return str(error.fields["config"]["url"])
    if target.literal:
        # Only link-local addresses have a zone.
        return NEVER_CALLED if "%" in target.name or _ANY_ADDRESS.refusal(target.name) else None
    # As browsers and Kong's resolver read it: a name whose last part is a number is an IPv4 address.
    return SHORT_IPV4 if _NUMBER.fullmatch(target.name.rstrip(".").rpartition(".")[2]) else None


_CURRENT = ("secret", "secret_file")
_TWO_SECRETS: Errors = {"@entity": [texts.MUTUALLY_EXCLUSIVE.format("'secret', 'secret_file'")]}
_REFERENCEABLE = ("url", "secret", "previous_secret", "preset_key")
_TYPE = ("handler", "config.headers", "config.headers_format", "config.template")

_CONFIG_RULES: tuple[tuple[tuple[str, ...], Callable[[Mapping[str, Any]], Errors]], ...] = (
    (("handler", GUESSED), _foreign_errors),
    (("config.secret", "config.secret_file"), _two_secrets_error),
    (("config.secret", "config.secret_file", "config.previous_secret"), _lone_secret_error),
    *(((f"config.{name}",), partial(_reference_error, name)) for name in _REFERENCEABLE),
    (("handler", "config.preset", "config.preset_key"), _preset_key_error),
    (("config.headers",), _header_reference_errors),
    (("config.secret",), partial(_key_error, "secret")),
    (("config.previous_secret",), partial(_key_error, "previous_secret")),
    ((*_TYPE, "config.body", "config.body_format"), _body_error),
    ((*_TYPE, "config.payload", "config.body", "config.method"), _payload_type_error),
    (("handler", "config.url", "config.url_format"), _url_error),
    (("config.client_cert_file", "config.client_key_file"), _lone_key_error),
    (("config.ca_file", "config.ssl_verify"), _authorities_error),
    (("config.ordered", "config.concurrency"), _concurrency_error),
    (("config.signature", "config.secret", "config.secret_file"), _signature_error),
)
"""The fields that a rule reads, and the rule: it returns errors of ``config``. Of two of a field the first counts."""

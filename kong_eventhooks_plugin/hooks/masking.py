"""A hook without its secrets: literal ones masked, references as they were written."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.masking import MASK, is_reference

_SECRETS = ("secret", "previous_secret", "preset_key")
_CUSTOM = ("payload", "body")


def masked(hook: Hook) -> Hook:
    """Return the hook with every literal secret and header value as ``***``, its URL without what may be one.

    A header is masked whatever its name: any of them may be a credential. So is what chat and alerting services use as
    a key: a ``webhook-custom`` hook's path (Slack), payload (PagerDuty) and body.
    """
    config = dict(hook.config)
    for name in _SECRETS:
        if name in config:
            config[name] = _masked(config[name])
    if isinstance(config.get("headers"), Mapping):
        config["headers"] = {name: _masked(value) for name, value in config["headers"].items()}
    if "url" in config:
        config["url"] = _shown_url(config["url"])
    if hook.handler == "webhook-custom":
        config |= {name: _masked_texts(config[name]) for name in _CUSTOM if name in config}
        if "url" in config:
            config["url"] = _host_alone(config["url"])
    return msgspec.structs.replace(hook, config=config)


def _masked(value: Any) -> Any:
    return value if is_reference(value) else MASK


def _shown_url(url: Any) -> Any:
    """Return a URL without user, password, query and fragment; all masked where it cannot be parsed."""
    if is_reference(url):
        return url
    try:
        parts = urlsplit(url)
    except (ValueError, TypeError, AttributeError):
        return MASK
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def _masked_texts(value: Any) -> Any:
    """Return a value with every text in it masked; validation limits its depth."""
    if isinstance(value, str):
        return MASK
    if isinstance(value, Mapping):
        return {name: _masked_texts(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_masked_texts(each) for each in value]
    return value


def _host_alone(url: Any) -> Any:
    """Return a URL from ``_shown_url`` without its path."""
    if is_reference(url) or url == MASK:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{MASK}" if parts.path.strip("/") else parts.path))

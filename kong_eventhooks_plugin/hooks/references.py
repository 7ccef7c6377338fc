"""Vault references, ``{vault://env/my-secret}``: their syntax, and the values of Kong's env vault.

How Kong reads them: ``parse_reference`` of kong/pdk/vault.lua, kong/vaults/env/init.lua.
Only the env vault can be read here, and only where this process has Kong's environment: Kong resolves a reference to
any other vault, and one through a vault entity of another name.
"""

import json
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from kong_eventhooks_plugin.model.masking import is_reference


class VaultReference(NamedTuple):
    """The parts of ``{vault://VAULT/RESOURCE/KEY?prefix=PREFIX#VERSION}``; ``key`` picks a field of a JSON secret."""

    vault: str
    resource: str
    key: str | None
    prefix: str | None
    version: int | None


def parse(text: str) -> VaultReference | None:
    """Return the parts of a reference, None where it is malformed for Kong too."""
    try:
        url = urlsplit(text[1:-1])
        version = int(url.fragment) if url.fragment else None
        prefix = parse_qs(url.query).get("prefix", [None])[0]
    except ValueError:
        return None
    path = url.path.removeprefix("/")
    parts = [part for part in path.split("/") if part]
    if not url.netloc or not parts:
        return None
    whole = len(parts) == 1 or path.endswith("/")
    resource = "/".join(parts if whole else parts[:-1])
    return VaultReference(url.netloc, unquote(resource), None if whole else unquote(parts[-1]), prefix, version)


_NEAR_REFERENCE = re.compile(r"\s*\{\s*vault\s*:", re.IGNORECASE)
_UNRENDERED = re.compile(r"\$\{\{\s*env\b")

NO_REFERENCE = (
    "looks like a vault reference and is none; write {vault://VAULT/KEY}, for example {vault://env/my-secret}"
)
UNRENDERED = "decK replaces this by a variable's value, in files alone; send the value, or a vault reference"


def near_reference_error(text: str) -> str | None:
    """Return what is wrong with a text that looks like a reference, Kong's or decK's, and would be taken literally."""
    if is_reference(text):
        return NO_REFERENCE if parse(text) is None else None
    if _NEAR_REFERENCE.match(text):
        return NO_REFERENCE
    return UNRENDERED if _UNRENDERED.search(text) else None


def as_secret(text: str) -> str:
    """Return a secret, wherever it comes from, without what editors add: a byte-order mark, one line end at its end."""
    return text.removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")


def from_environment(text: str, environ: Mapping[str, str]) -> str | None:
    """Return the value of a reference to the env vault, None where it has none here. An empty value is none.

    ``KONG_VAULT_ENV_PREFIX`` is Kong's setting vault_env_prefix.
    """
    reference = parse(text)
    if reference is None or reference.vault != "env":
        return None
    prefix = environ.get("KONG_VAULT_ENV_PREFIX", "") if reference.prefix is None else reference.prefix
    name = f"{prefix}{reference.resource}".replace("-", "_").upper()
    value = environ.get(f"{name}_PREVIOUS" if reference.version == 2 else name)
    if value and reference.key is not None:
        value = _json_key(value, reference.key)
    return value or None


def _json_key(secret: str, key: str) -> str | None:
    try:
        fields = json.loads(secret)
    except (ValueError, RecursionError):
        return None
    value = fields.get(key) if isinstance(fields, dict) else None
    return value if isinstance(value, str) else None

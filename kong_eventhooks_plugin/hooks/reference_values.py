"""Where a reference gets its value: from Kong, which resolved it, this process's environment, a secret file.

Fails closed: a hook with a reference without a value is not delivered to, never sent unsigned. Values are kept in
memory only and never logged. Limits: 10,000 values from Kong, past which the oldest is dropped; those of
``secret_files``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from kong_eventhooks_plugin.errors import UnresolvedReference
from kong_eventhooks_plugin.hooks.references import as_secret, from_environment
from kong_eventhooks_plugin.hooks.schema import handler_config
from kong_eventhooks_plugin.hooks.secret_files import SecretFiles
from kong_eventhooks_plugin.model.masking import is_reference

MAX_VALUES = 10_000

_FIELDS = {name: field for entry in handler_config()["fields"] for name, field in entry.items()}
_TEXTS = tuple(name for name, field in _FIELDS.items() if field.get("referenceable"))
_SECRETS = ("secret", "previous_secret")
_MAPS = tuple(name for name, field in _FIELDS.items() if field.get("values", {}).get("referenceable"))


class Secrets:
    def __init__(self, environ: Mapping[str, str], files: SecretFiles) -> None:
        self._environ = environ
        self._files = files
        self._from_kong: dict[str, str] = {}

    def learn(self, values: Mapping[str, str]) -> None:
        """Remember what Kong resolved, ``""`` where it no longer could."""
        for reference, value in values.items():
            self._from_kong.pop(reference, None)
            self._from_kong[reference] = value
        while len(self._from_kong) > MAX_VALUES:
            del self._from_kong[next(iter(self._from_kong))]

    def resolve(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a hook's config with values in place of references, a secret file's content as ``secret``.

        Raises ``UnresolvedReference`` with all that is missing.
        """
        literal = {name: as_secret(config[name]) for name in _SECRETS if isinstance(config.get(name), str)}
        resolved, missing = {**config, **literal}, dict[str, str]()
        for field, holder, name, reference in _references(resolved):
            value = self._value(reference)
            if value is None:
                missing[field] = reference
            else:
                holder[name] = value
        path = resolved.pop("secret_file", None)
        if path is not None:
            resolved["secret"] = self._files.value(path)
            if resolved["secret"] is None:
                missing["secret_file"] = f"{path} ({self._files.error(path)})"
        if missing:
            raise UnresolvedReference(missing)
        return resolved

    def _value(self, reference: str) -> str | None:
        value = self._from_kong.get(reference) or from_environment(reference, self._environ) or ""
        return as_secret(value) or None  # nobody signs with ""


def _references(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str, str]]:
    """Yield each reference's field, the mapping that contains it (maps are copied first), its key there, and itself."""
    for name in _TEXTS:
        if is_reference(config.get(name)):
            yield name, config, name, config[name]
    for name in _MAPS:
        if config.get(name):
            config[name] = dict(config[name])
            for key, value in list(config[name].items()):
                if is_reference(value):
                    yield f"{name}.{key}", config[name], key, value

"""Where a reference gets its value: from Kong, which resolved it, this process's environment, a file.

Fails closed: a hook with a reference without a value is not delivered to, never sent unsigned. Values are kept in
memory only and never logged. Limits: 10,000 values from Kong, past which the oldest is dropped; those of
``secret_files``.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kong_eventhooks_plugin.errors import UnresolvedReference
from kong_eventhooks_plugin.handlers.client_tls import TlsMaterial
from kong_eventhooks_plugin.hooks.references import as_secret, from_environment
from kong_eventhooks_plugin.hooks.schema import TLS_FILES, handler_config
from kong_eventhooks_plugin.hooks.secret_files import SecretFiles
from kong_eventhooks_plugin.model.masking import is_reference

MAX_VALUES = 10_000

_FIELDS = {name: field for entry in handler_config()["fields"] for name, field in entry.items()}
_TEXTS = tuple(name for name, field in _FIELDS.items() if field.get("referenceable"))
_SECRETS = ("secret", "previous_secret", "preset_key")
_MAPS = tuple(name for name, field in _FIELDS.items() if field.get("values", {}).get("referenceable"))


class TlsPaths(NamedTuple):
    """The files of ``TlsMaterial`` that apply to a hook without its own."""

    cert: str | None = None
    key: str | None = None
    ca: str | None = None


NO_TLS = TlsPaths()


class Secrets:
    """``tls`` applies to every hook that calls an endpoint and has no certificate, or no authorities, of its own."""

    def __init__(self, environ: Mapping[str, str], files: SecretFiles, tls: TlsPaths = NO_TLS) -> None:
        self._environ = environ
        self._files = files
        self._tls = tls
        self._from_kong: dict[str, str] = {}
        self._learned = 0
        self._resolved: dict[str, tuple[Mapping[str, Any], tuple[int, int], Mapping[str, Any]]] = {}

    def learn(self, values: Mapping[str, str]) -> None:
        """Remember what Kong resolved, ``""`` where it no longer could."""
        for reference, value in values.items():
            self._from_kong.pop(reference, None)
            self._from_kong[reference] = value
        while len(self._from_kong) > MAX_VALUES:
            del self._from_kong[next(iter(self._from_kong))]
        self._learned += 1

    def resolved(self, hook_id: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the same as ``resolve``, kept until a value changes or ``forget``; the environment does not change."""
        values, kept = (self._learned, self._files.changes), self._resolved.get(hook_id)
        if kept is None or kept[0] is not config or kept[1] != values:
            kept = self._resolved[hook_id] = config, values, self.resolve(config)
        return kept[2]

    def forget(self) -> None:
        """Drop what is kept of hooks' configs, whose definitions may have changed."""
        self._resolved.clear()

    def resolve(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a hook's config with values in place of references, files' content as ``secret`` and ``tls``.

        Raises ``UnresolvedReference`` with all that is missing.
        """
        literal = {name: as_secret(config[name]) for name in _SECRETS if isinstance(config.get(name), str)}
        resolved, missing = {**config, **literal}, dict[str, str]()
        for field, holder, name, reference in _references(resolved):
            value = self._value(reference)
            if value is None:
                missing[field] = f"{reference} (neither Kong nor the sidecar's environment has it)"
            else:
                holder[name] = value
        path = resolved.pop("secret_file", None)
        if path is not None:
            resolved["secret"] = self._files.value(path)
            if resolved["secret"] is None:
                missing["secret_file"] = f"{path} ({self._files.error(path)})"
        paths = self.tls_paths(resolved)
        if paths is not None:
            for name in TLS_FILES:
                resolved.pop(name, None)
            resolved["tls"] = self._material(paths, missing)
        if missing:
            raise UnresolvedReference(missing)
        return resolved

    def files(self, config: Mapping[str, Any]) -> list[str]:
        """Return the paths of the files that a hook's config needs."""
        return [path for path in (config.get("secret_file"), *(self.tls_paths(config) or ())) if path is not None]

    def tls_paths(self, config: Mapping[str, Any]) -> TlsPaths | None:
        """Return the files of a hook's TLS, None where it has none."""
        cert, ca = config.get("client_cert_file"), config.get("ca_file")
        if (cert is None and ca is None and self._tls == NO_TLS) or "url" not in config:
            return None
        own = TlsPaths(cert, config.get("client_key_file")) if cert is not None else self._tls
        if ca is None and config.get("ssl_verify") is not False:
            ca = self._tls.ca
        return TlsPaths(own.cert, own.key, ca)

    def _material(self, paths: TlsPaths, missing: dict[str, str]) -> TlsMaterial:
        texts: list[str | None] = []
        for name, path in zip(TLS_FILES, paths, strict=True):
            text = None if path is None else self._files.value(path)
            if path is not None and text is None:
                missing[name] = f"{path} ({self._files.error(path)})"
            texts.append(text)
        return TlsMaterial(*texts)

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

"""TLS of the API's addresses, from files: what is wrong with them is found before anything is served.

A private key that others may read is refused, as PostgreSQL does: it belongs to the sidecar's user, with mode 0600 or
less, or to root, with 0640 or less. TLS 1.2 or later, with Python's ciphers, and of the groups for the exchange of keys
P-256, which every client has: a client that chooses ffdhe8192 costs the event loop 0.2 s, long before any token.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, NoReturn

from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.files import opened


class TlsFiles(NamedTuple):
    """Paths; each has the name of its setting. ``api_tls_client_ca`` None: callers need no certificate."""

    api_tls_cert: str
    api_tls_key: str
    api_tls_client_ca: str | None = None


def tls_files(cert: str | None, key: str | None, client_ca: str | None) -> TlsFiles | None:
    """Return what is set, None where nothing is. Raises ``SettingsError`` where a part is missing."""
    if cert is not None and key is not None:
        return TlsFiles(cert, key, client_ca)
    if cert is None and key is None and client_ca is None:
        return None
    missing = "api_tls_cert" if cert is None else "api_tls_key"
    raise SettingsError(f"{missing}: is not set; TLS needs a certificate and its key (api_tls_cert, api_tls_key)")


def server_context(files: TlsFiles, protocol: Literal["http/1.1", "h2"]) -> ssl.SSLContext:
    """Return a context for the protocol. Raises ``SettingsError``."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([protocol])
    context.set_ecdh_curve("prime256v1")
    context.options |= ssl.OP_NO_RENEGOTIATION
    with _opened("api_tls_cert", files.api_tls_cert) as cert, _opened("api_tls_key", files.api_tls_key) as key:
        _check_private(files.api_tls_key, os.fstat(key))
        try:
            context.load_cert_chain(_path(cert), _path(key), password=lambda: _encrypted(files.api_tls_key))
        except ssl.SSLError as error:
            text = "is not the key of the certificate" if error.reason == "KEY_VALUES_MISMATCH" else ""
            where = f"api_tls_key: {files.api_tls_key}: {text}" if text else _neither(files)
            raise SettingsError(where) from error
    if files.api_tls_client_ca is not None:
        with _opened("api_tls_client_ca", files.api_tls_client_ca) as authorities:
            try:
                context.load_verify_locations(_path(authorities))
            except ssl.SSLError as error:
                text = "has no certificate in PEM"
                raise SettingsError(f"api_tls_client_ca: {files.api_tls_client_ca}: {text}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def _opened(setting: str, path: str) -> Iterator[int]:
    """Open a file; the descriptor is what is checked and read, whatever becomes of the path."""
    try:
        with opened(path) as descriptor:
            yield descriptor
    except OSError as error:
        raise SettingsError(f"{setting}: {path}: cannot be read ({error.strerror})") from error


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _check_private(path: str, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise SettingsError(f"api_tls_key: {path}: belongs to another user; chown it to the sidecar's user or to root")
    allowed = 0o640 if found.st_uid == 0 else 0o600
    if found.st_mode & 0o777 & ~allowed:
        raise SettingsError(
            f"api_tls_key: {path}: others may use it (mode {found.st_mode & 0o777:04o}); chmod {allowed:04o} {path}"
        )


def _encrypted(path: str) -> NoReturn:
    raise SettingsError(f"api_tls_key: {path}: has a passphrase; decrypt it, and protect the file by its mode")


def _neither(files: TlsFiles) -> str:
    """Say which of the two files OpenSSL cannot read: its error does not."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(files.api_tls_cert)
    except (ssl.SSLError, OSError):
        return f"api_tls_cert: {files.api_tls_cert}: has no certificate in PEM"
    return f"api_tls_key: {files.api_tls_key}: has no private key in PEM"

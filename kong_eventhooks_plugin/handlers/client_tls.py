"""A hook's own TLS: the certificate and key that it shows to its endpoint, the authorities that it trusts.

Python loads a certificate's key from a file alone, so the text goes through a file in memory, which has no name.

Limits: a context is made in a thread, and ``CONTEXTS`` of them are kept, of a megabyte where they trust the system's
authorities; past them the one that was not used for longest is made anew when it is needed.
"""

import asyncio
import os
import ssl
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import msgspec

from kong_eventhooks_plugin.errors import HttpError
from kong_eventhooks_plugin.outgoing_tls import client_context

CONTEXTS = 32


class TlsMaterial(msgspec.Struct, frozen=True):
    """Texts in PEM. ``key`` None: it is in ``cert``. ``ca`` None: the system's authorities. Never log it."""

    cert: str | None = None
    key: str | None = None
    ca: str | None = None

    def __repr__(self) -> str:
        return "TlsMaterial(...)"


def tls_context(material: TlsMaterial, *, verify: bool) -> ssl.SSLContext:
    """Return the context of a connection. Blocks. Raises ``HttpError`` where a text cannot be used."""
    try:
        context = client_context(material.ca, verify=verify)
    except (ssl.SSLError, ValueError, TypeError):
        raise HttpError("config", "ca_file: has no certificate in PEM") from None
    if material.cert is not None:
        _load(context, material.cert, material.cert if material.key is None else material.key)
    return context


def _load(context: ssl.SSLContext, cert: str, key: str) -> None:
    with _file(cert) as cert_path, _file(key) as key_path:
        try:
            context.load_cert_chain(cert_path, key_path, password=_encrypted)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                text = "client_key_file: is not the key of the certificate"
            else:
                text = f"client_cert_file: certificate or key cannot be used ({error.reason or 'not in PEM'})"
            raise HttpError("config", text) from None


def _encrypted() -> NoReturn:
    raise HttpError("config", "client_key_file: has a passphrase; decrypt it, and protect the file by its mode")


@contextmanager
def _file(text: str) -> Iterator[str]:
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "w", encoding="ascii", errors="replace", closefd=False) as file:
            file.write(text)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


class TlsContexts:
    """The contexts of one client."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[TlsMaterial, bool], asyncio.Future[ssl.SSLContext]] = OrderedDict()

    async def get(self, material: TlsMaterial, *, verify: bool) -> ssl.SSLContext:
        """Raise ``HttpError`` where it cannot be made."""
        key = (material, verify)
        making = self._made.get(key)
        if making is None or (making.done() and (making.cancelled() or making.exception() is not None)):
            making = self._made[key] = asyncio.ensure_future(asyncio.to_thread(tls_context, material, verify=verify))
            if len(self._made) > CONTEXTS:
                self._made.popitem(last=False)
        self._made.move_to_end(key)
        return await asyncio.shield(making)

"""Contexts of outgoing TLS, with bounds: a handshake runs on the event loop, and Kong waits meanwhile.

A server that we call chooses no finite-field Diffie-Hellman of TLS 1.2, whose modulus is its own: one of 10,000 bits
takes a second; nor one of TLS 1.3, of which ffdhe8192 takes 0.2 s. Nor does it begin a handshake anew on an open
connection.

Limit: in a Python before 3.15 with OpenSSL linked into it, those of TLS 1.3 stay (``tls_groups``).
"""

import ssl
from functools import cache
from typing import Any, Final

from aiohttp import connector

from kong_eventhooks_plugin.tls_groups import keep_elliptic

_FINITE_FIELD: Final = "kx-dhe"


@cache
def bound_handshakes() -> None:
    """Bound aiohttp's contexts, which all clients share: authorities of their own would cost each one a megabyte."""
    for context in (connector._SSL_CONTEXT_VERIFIED, connector._SSL_CONTEXT_UNVERIFIED):  # noqa: SLF001
        _bound(context)


def client_context(authorities: str | None, *, verify: bool) -> ssl.SSLContext:
    """Return a context of its own, bounded as aiohttp's are; ``authorities`` (PEM) replace the system's.

    Blocks, and costs a megabyte with the system's. Raises ``ssl.SSLError`` for what is no PEM.
    """
    context = ssl.create_default_context(cadata=authorities)
    context.set_alpn_protocols(("http/1.1",))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _bound(context)
    return context


def _bound(context: Any) -> None:
    chosen = (suite for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3")  # those stay in any case
    context.set_ciphers(":".join(suite["name"] for suite in chosen if suite["kea"] != _FINITE_FIELD))
    context.options |= ssl.OP_NO_RENEGOTIATION
    keep_elliptic(context)

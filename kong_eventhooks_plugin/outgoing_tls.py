"""Bounds on TLS of outgoing connections: a handshake runs on the event loop, and Kong waits meanwhile.

A server that we call chooses no finite-field Diffie-Hellman of TLS 1.2, whose modulus is its own: one of 10,000 bits
takes a second. Nor does it begin a handshake anew on an open connection.

Limit: in TLS 1.3 it can choose the group ffdhe8192, which takes 0.2 s. Python refuses groups from 3.15 on.
"""

import ssl
from functools import cache
from typing import Any, Final

from aiohttp import connector

_FINITE_FIELD: Final = "kx-dhe"
_GROUPS: Final = "X25519:P-256:P-384:P-521"


@cache
def bound_handshakes() -> None:
    """Bound aiohttp's contexts, which all clients share: authorities of their own would cost each one a megabyte."""
    for context in (connector._SSL_CONTEXT_VERIFIED, connector._SSL_CONTEXT_UNVERIFIED):  # noqa: SLF001
        _bound(context)


def _bound(context: Any) -> None:
    chosen = (suite for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3")  # those stay in any case
    context.set_ciphers(":".join(suite["name"] for suite in chosen if suite["kea"] != _FINITE_FIELD))
    context.options |= ssl.OP_NO_RENEGOTIATION
    if hasattr(context, "set_groups"):
        context.set_groups(_GROUPS)

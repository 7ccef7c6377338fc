"""The groups in which a TLS context exchanges keys: what it offers, read from its first message, and fewer of them.

Python has no function for it before 3.15 but ``set_ecdh_curve``, which leaves one. Until then OpenSSL is asked through
``ctypes``, where CPython's ``_ssl`` is a file of its own. A context's ``SSL_CTX`` is its first field from 3.11 to 3.14
(Modules/_ssl.c, ``PySSLContext``), and what was set shows in the next first message.
"""

import contextlib
import ssl
import sys
from collections.abc import Sequence
from typing import Any, Final

# TLS Supported Groups of IANA, by OpenSSL's names (SSL_CTX_set1_groups_list(3)).
ELLIPTIC: Final = {
    0x001D: "X25519", 0x0017: "P-256", 0x001E: "X448", 0x0018: "P-384", 0x0019: "P-521",
    0x11EB: "SecP256r1MLKEM768", 0x11EC: "X25519MLKEM768", 0x11ED: "SecP384r1MLKEM1024",
}  # fmt: skip
_HYBRID: Final = ("MLKEM768", "MLKEM1024")
_ALONE: Final = "X25519"
_SUPPORTED_GROUPS: Final = 10  # RFC 8446, 4.2
_SET_GROUPS_LIST: Final = 92  # openssl/ssl.h, SSL_CTRL_SET_GROUPS_LIST
_FIXED: Final = 5 + 4 + 2 + 32  # a record's header, a message's header, version and random


def offered_groups(context: ssl.SSLContext) -> list[int]:
    """Return the groups that a client with this context offers, its first choice first."""
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return _read_groups(outgoing.read())


def _listed(names: Sequence[str]) -> str:
    """Return OpenSSL's list. From 3.5 on a key goes along for each name with a star, and else for the first alone."""
    if ssl.OPENSSL_VERSION_INFO < (3, 5):
        return ":".join(names)
    hybrid = names[0].endswith(_HYBRID)
    return ":".join(f"*{name}" if hybrid and name in (names[0], _ALONE) else name for name in names)


def _read_groups(hello: bytes) -> list[int]:
    at = _FIXED
    for length_bytes in (1, 2, 1):  # session id, cipher suites, compression methods
        at += length_bytes + int.from_bytes(hello[at : at + length_bytes])
    at += 2  # the extensions' length
    while at < len(hello):
        kind, size = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        at += 4
        if kind == _SUPPORTED_GROUPS:
            return [int.from_bytes(hello[group : group + 2]) for group in range(at + 2, at + size, 2)]
        at += size
    return []


def keep_elliptic(context: ssl.SSLContext) -> bool:
    """Leave of a client's groups those over elliptic curves, in their order; False where that cannot be done here."""
    offered = offered_groups(context)
    names = [ELLIPTIC[group] for group in offered if group in ELLIPTIC]
    if len(names) == len(offered):
        return True
    return bool(names) and set_groups(context, names) and len(offered_groups(context)) == len(names)


def set_groups(context: Any, names: Sequence[str]) -> bool:
    """Set a context's groups, a server's too; False where OpenSSL refuses or cannot be reached."""
    listed = _listed(names)
    if hasattr(context, "set_groups"):
        context.set_groups(listed)
        return True
    if sys.implementation.name != "cpython" or sys.version_info >= (3, 15):
        return False
    import _ssl  # CPython's
    import ctypes

    try:
        library: Any = ctypes.CDLL(_ssl.__file__)
        control, read_options, clear_errors = (
            library.SSL_CTX_ctrl, library.SSL_CTX_get_options, library.ERR_clear_error
        )  # fmt: skip
    except (AttributeError, OSError):  # linked into the interpreter
        return False
    control.restype, control.argtypes = ctypes.c_long, (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
    read_options.restype, read_options.argtypes = ctypes.c_uint64, (ctypes.c_void_p,)
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    if read_options(pointer) & 0xFFFFFFFF != int(context.options) & 0xFFFFFFFF:
        return False  # not what we take it for
    done = control(pointer, _SET_GROUPS_LIST, 0, listed.encode()) == 1
    clear_errors()  # or Python would report a refusal with its next call
    return bool(done)

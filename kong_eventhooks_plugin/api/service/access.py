"""Who may call the API: pure rules for REST and gRPC alike.

- Beyond loopback nothing listens without a token (``require_token_beyond_loopback``).
- A token is compared in constant time; where one is set, changes and what was delivered need it, and a caller
  without it sees hooks with their secrets masked.
- A web page that a person visits can send requests to localhost. So a call must name this machine or an allowed name
  (a page that makes its own name point here, DNS rebinding, cannot), and a state-changing call from a browser must come
  from a page of the same address. A browser sends ``Origin`` and ``Sec-Fetch-Site`` for that; curl sends neither.

Limits: ``AT_ONCE`` calls at the same time in each server, ``CALL_SECONDS`` for each. The verdicts on the last
``HEADERS_KEPT`` ``Host`` headers are kept.
"""

import hmac
import ipaddress
from collections.abc import Collection
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from kong_eventhooks_plugin.errors import AccessRefused, SettingsError, TokenNeeded

TOKEN_SETTING: Final = "api_token_file"  # noqa: S105 - a setting's name
HOSTS_SETTING: Final = "api_hosts"
AT_ONCE: Final = 64
CALL_SECONDS: Final = 60.0
HOW_TO_SEND: Final = "send it as 'Authorization: Bearer <token>' or 'Kong-Admin-Token: <token>'"
MIN_TOKEN_BYTES: Final = 16
MAX_TOKEN_BYTES: Final = 4_096
HEADERS_KEPT: Final = 64

_OWN_NAMES: Final = frozenset({"localhost"})
_OWN_PAGES: Final = frozenset({"same-origin", "none"})


Kind = Literal["open", "read", "change"]
"""``open`` is answered without a token, with secrets masked. ``read`` (what was delivered) and ``change`` need it
where one is set; a change also must not come from another site's page."""


class Caller(NamedTuple):
    """The token of a call, and where a browser says it comes from."""

    token: str | None = None
    host: str | None = None
    origin: str | None = None
    fetch_site: str | None = None


class Access:
    """``token`` None: every caller is trusted.

    ``hosts`` are names under which the API may be called, beside ``localhost`` and any IP address.
    """

    def __init__(self, token: str | None = None, hosts: Collection[str] = ()) -> None:
        self._token = None if token is None else token.encode()
        self._hosts = _OWN_NAMES | {host.casefold().rstrip(".") for host in hosts}
        self._is_ours = lru_cache(HEADERS_KEPT)(self._names_us)  # callers send the same one each time

    def trusted(self, caller: Caller) -> bool:
        """Return whether the caller may see and do everything: the token is right, or none is set."""
        if self._token is None:
            return True
        # A wrong token takes as long as none at all.
        sent = (caller.token or "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(sent, self._token)

    def admit(self, kind: Kind, caller: Caller) -> bool:
        """Return whether the caller is trusted; raises ``AccessRefused`` where it may not make the call."""
        if kind == "change":
            self.check_page(caller)
        trusted = self.trusted(caller)
        if not trusted and (caller.token or kind != "open"):  # a wrong one is no request for what is masked
            wrong = "the admin token is wrong" if caller.token else "this call needs the admin token"
            raise TokenNeeded(f"{wrong}; {HOW_TO_SEND}")
        return trusted

    def check_host(self, header: str | None) -> None:
        """Raise ``AccessRefused`` where the name that was called, a ``Host`` header's, is not one of ours."""
        if not self._is_ours(header):
            raise AccessRefused(
                f"the API was called as '{printable(header)}', which is not a name of it; call it by its address, "
                f"as localhost, or add the name to the setting {HOSTS_SETTING}"
            )

    def _names_us(self, header: str | None) -> bool:
        name = host_of(header)
        return name is not None and (name in self._hosts or _address(name) is not None)

    def check_page(self, caller: Caller) -> None:
        """Raise ``AccessRefused`` where a browser says that a page of another address makes this call."""
        if caller.fetch_site is not None and caller.fetch_site not in _OWN_PAGES:
            raise AccessRefused("a page of another site may not change anything here (Sec-Fetch-Site)")
        if caller.origin is not None and not same_address(caller.origin, caller.host):
            raise AccessRefused(
                f"a page of '{printable(caller.origin)}' may not change anything here (Origin); only pages of the "
                "API's own address may"
            )


def require_token_beyond_loopback(listen: str, token: str | None, setting: str = "listen") -> None:
    """Raise ``SettingsError`` where ``listen`` (``host:port``) is reachable from elsewhere and there is no token.

    ``setting`` names what holds the address.
    """
    host = listen.rpartition(":")[0].strip("[]")
    if token is None and not _is_loopback(host):
        raise SettingsError(
            f"{setting}: {listen} can be reached from other machines, and the API has no admin token; set "
            f"{TOKEN_SETTING}, or listen on 127.0.0.1"
        )


def check_token(token: str) -> None:
    """Raise ``SettingsError`` for a token that is easy to guess, or that no header can hold."""
    if not MIN_TOKEN_BYTES <= len(token.encode()) <= MAX_TOKEN_BYTES:
        raise SettingsError(f"{TOKEN_SETTING}: the token must have {MIN_TOKEN_BYTES} to {MAX_TOKEN_BYTES} bytes")
    if not token.isascii() or any(each <= " " or each == "\x7f" for each in token):
        raise SettingsError(f"{TOKEN_SETTING}: the token may hold only ASCII letters, digits and punctuation")


def host_of(header: str | None) -> str | None:
    """Return the host of a ``Host`` header without its port, normalized; None where it has none."""
    if not header or header != header.strip():
        return None
    try:
        parts = urlsplit(f"//{header}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        return None
    return host.casefold().rstrip(".") if host else None


def same_address(origin: str, host: str | None) -> bool:
    """Return whether a page's origin has the host and port that was called."""
    try:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or parts.path or parts.query or parts.username is not None:
            return False
        default = 443 if parts.scheme == "https" else 80
        called = urlsplit(f"//{host or ''}")
        return (host_of(parts.netloc), parts.port or default) == (host_of(host), called.port or default)
    except ValueError:
        return False


def sent_token(authorization: str | None, admin_token: str | None) -> str | None:
    """Return the token of two headers: ``Authorization: Bearer`` goes before ``Kong-Admin-Token``."""
    scheme, _, credentials = (authorization or "").partition(" ")
    return (credentials.strip() if scheme.lower() == "bearer" else admin_token) or None


def printable(header: str | None) -> str:
    """Return a header's value for a message: at most 100 characters, none of them a control character."""
    return "".join(each if each.isprintable() else "?" for each in (header or "")[:100])


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    # An empty host may mean every address, and a name may resolve to anything tomorrow.
    return host == "localhost" if address is None else address.is_loopback

"""The proxy through which endpoints are called, and which of them are called without it. Pure.

An exception is a host (``hooks.example.com``), a domain (``.example.com``: its hosts, and itself) or a network
(``10.0.0.0/8``), which concerns hosts that are addresses: the names of others are the proxy's to resolve.

Limits: ``MAX_EXCEPTIONS`` of them; more raise ``SettingsError``.
"""

import base64
import ipaddress
import re
import socket
from collections.abc import Sequence

from yarl import URL

from kong_eventhooks_plugin.errors import SettingsError

MAX_EXCEPTIONS = 1_000

_NAME = re.compile(r"\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_SHORT_IPV4 = re.compile(r"[0-9a-fA-FxX.]*[0-9a-fA-FxX]")


class ForwardProxy:
    """``credentials`` are ``user:password``."""

    def __init__(self, url: str, credentials: str | None = None, exceptions: Sequence[str] = ()) -> None:
        try:
            self.url = URL(url)
        except ValueError as error:
            raise SettingsError(f"endpoint_proxy: {error}") from None
        self.authorization = (
            None if credentials is None else b"Basic " + base64.b64encode(credentials.encode("utf-8", "replace"))
        )
        if len(exceptions) > MAX_EXCEPTIONS:
            raise SettingsError(
                f"endpoint_proxy_exceptions: {len(exceptions)} of them, at most {MAX_EXCEPTIONS:,} are taken"
            )
        self._hosts: set[str] = set()
        self._domains: tuple[str, ...] = ()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for text in exceptions:
            self._add(text)

    def _add(self, text: str) -> None:
        try:
            self._networks.append(ipaddress.ip_network(text.strip("[]")))
        except ValueError:
            if not _NAME.fullmatch(text):
                raise SettingsError(
                    f"endpoint_proxy_exceptions: {text!r} is no host, no domain (.example.com) and no network"
                ) from None
            name = text.lower()
            self._hosts.add(name.removeprefix("."))
            if name.startswith("."):
                self._domains += (name,)

    def applies(self, host: str) -> bool:
        """Return whether a URL's host is called through the proxy."""
        address = literal_address(host)
        if address is not None:
            return not any(address.version == network.version and address in network for network in self._networks)
        name = host.lower().rstrip(".")
        return name not in self._hosts and not name.endswith(self._domains)


def literal_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a URL's host is, in short notations too (``127.1``); None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if _SHORT_IPV4.fullmatch(host) else None
    except OSError:
        return None

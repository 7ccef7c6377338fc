"""Which addresses a hook may dial: checked at the dial, after name resolution, so that no changing name evades it.

The first of these rules that applies decides:

1. **never**: cloud metadata, link-local, unspecified, multicast and broadcast addresses are refused whatever the
   settings.
2. **lists**: of all networks in ``deny`` and ``allow`` that hold the address, the most specific one (the longest
   prefix) decides; with equal length ``deny`` does.
3. **private**: where ``private`` is False, loopback, private and other non-public ranges are refused.
4. otherwise it is allowed. An ``allow`` list alone closes nothing: add ``0.0.0.0/0`` and ``::/0`` to ``deny`` for that.

An IPv6 address that carries an IPv4 one (mapped, compatible, translated, 6to4, Teredo, ISATAP, NAT64) is also refused
where the IPv4 address is, whatever a list says of the IPv6 one: a gateway on the way may translate it. A NAT64 gateway
may have any prefix of its own (RFC 6052, 2.2), so an address that ends in the IPv4 address of a metadata service is
refused behind every prefix.

Limits: a list has at most ``MAX_NETWORKS`` entries; more raise ``SettingsError``.
"""

import ipaddress
from collections.abc import Iterator, Sequence

from kong_eventhooks_plugin.errors import SettingsError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_NETWORKS = 1_000

NEVER: dict[Network, str] = {
    ipaddress.ip_network(network): reason
    for network, reason in (
        ("169.254.0.0/16", "link-local, where cloud metadata lives"),
        ("fe80::/10", "link-local"),
        ("100.100.100.200/32", "cloud metadata (Alibaba)"),
        ("168.63.129.16/32", "cloud metadata (Azure)"),
        ("192.0.0.192/32", "cloud metadata (Oracle)"),
        ("fd00:ec2::/32", "cloud metadata (AWS)"),
        ("fd20:ce::254/128", "cloud metadata (Google)"),
        ("fd00:42::42/128", "cloud metadata (Scaleway)"),
        ("fd00:a9fe:a9fe::1/128", "cloud metadata (Akamai)"),
        ("fd00:c1::a9fe:a9fe/128", "cloud metadata (Oracle)"),
        ("fd00:100::100:200/128", "cloud metadata (Alibaba)"),
        ("0.0.0.0/8", "unspecified"),
        ("::/128", "unspecified"),
        ("224.0.0.0/4", "multicast"),
        ("ff00::/8", "multicast"),
        ("240.0.0.0/4", "reserved or broadcast"),
    )
}

_PRIVATE: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "198.18.0.0/15",
        "::1/128",
        "fc00::/7",
        "fec0::/10",
    )
)

_METADATA_4 = frozenset(
    int(ipaddress.IPv4Address(address))
    for address in (
        "169.254.169.254",
        "169.254.170.2",  # AWS: a container's credentials
        "169.254.170.23",  # AWS: a pod's
        "169.254.0.23",  # Tencent
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
    )
)

_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")
_LOOPBACK_6 = ipaddress.IPv6Address("::1")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_IN_LOW_32 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible (RFC 4291)
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
    )
)
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""Bits 64 to 95 of an address that a tunnel translates to the IPv4 address behind them (RFC 5214)."""
_LOW_32 = (1 << 32) - 1


class AddressRules:
    """``allow`` and ``deny`` are CIDR networks; raises ``SettingsError`` where one is none or there are too many."""

    def __init__(self, *, allow: Sequence[str] = (), deny: Sequence[str] = (), private: bool = True) -> None:
        denied = [(network, False) for network in _networks(deny, "deny_cidrs")]
        allowed = [(network, True) for network in _networks(allow, "allow_cidrs")]
        # Longest prefix first; the sort is stable, so that of two alike the denied one comes first.
        self._lists = sorted(denied + allowed, key=lambda entry: -entry[0].prefixlen)
        self._private = private

    def refusal(self, address: str) -> str | None:
        """Return why ``address`` (an IP address as text, its zone allowed) may not be dialled; None: it may."""
        try:
            dialled = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return "not an IP address"
        if reason := self._decide(dialled):
            return reason
        for inner in embedded_addresses(dialled):
            if reason := self._decide(inner):
                return f"{reason} ({inner} inside it)"
        return None

    def _decide(self, address: Address) -> str | None:
        """Return the reason of the first rule that applies, "" where it allows, None where none applies."""
        reason = _never(address)
        if reason is None:
            reason = self._listed(address)
        return self._private_refusal(address) if reason is None else reason

    def _listed(self, address: Address) -> str | None:
        """Return the same for the lists."""
        for network, allowed in self._lists:
            if address.version == network.version and address in network:
                return "" if allowed else f"in the denied network {network}"
        return None

    def _private_refusal(self, address: Address) -> str | None:
        if self._private:
            return None
        return "a private address" if any(_inside(address, network) for network in _PRIVATE) else None


def embedded_addresses(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield every IPv4 address that an IPv6 address can be translated to."""
    if isinstance(address, ipaddress.IPv4Address) or address == _LOOPBACK_6:
        return
    number = int(address)
    low = number & _LOW_32
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    in_low_32 = any(address in network for network in _IN_LOW_32) or number >> 32 & _LOW_32 in _ISATAP
    if in_low_32 or low in _METADATA_4:
        yield ipaddress.IPv4Address(low)
    if address in _NAT64_LOCAL:
        yield from _translated(number)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


def _translated(number: int) -> Iterator[ipaddress.IPv4Address]:
    """Yield what an address of a local NAT64 prefix embeds, for each length that the prefix can have (RFC 6052, 2.2).

    An address in 0.0.0.0/8 is the other lengths' padding: no gateway translates to it.
    """
    joined = number >> 64 << 56 | number & (1 << 56) - 1  # bits 64 to 71 are left out
    readings = (number, *(joined >> 88 - length for length in (48, 56, 64)))
    for reading in readings:
        address = ipaddress.IPv4Address(reading & _LOW_32)
        if not _inside(address, _THIS_NETWORK):
            yield address


def is_literal(host: str) -> bool:
    """Return whether a URL's host is an address itself, which no name resolution can change."""
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True


def _never(address: Address) -> str | None:
    return next((reason for network, reason in NEVER.items() if _inside(address, network)), None)


def _inside(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network


def _networks(texts: Sequence[str], name: str) -> list[Network]:
    if len(texts) > MAX_NETWORKS:
        raise SettingsError(f"{name}: {len(texts)} networks, at most {MAX_NETWORKS} are taken")
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise SettingsError(f"{name}: {text!r} is not a network like 10.0.0.0/8 ({error})") from None
    return networks

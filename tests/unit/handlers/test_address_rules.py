import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.handlers.address_rules import AddressRules, embedded_addresses, is_literal

METADATA = [
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "169.254.170.23", "169.254.0.23",
    "fd00:ec2::254", "fd20:ce::254", "fd00:42::42", "fd00:a9fe:a9fe::1", "fd00:c1::a9fe:a9fe", "fd00:100::100:200",
]  # fmt: skip
NEVER = [
    *METADATA, "169.254.0.1", "fe80::1", "fe80::1%eth0", "febf::1", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1",  # noqa: S104 - an address to refuse, not to bind
    "239.255.255.250", "ff02::1", "255.255.255.255", "240.0.0.1",
]  # fmt: skip
PRIVATE = [
    "fd12::5efe:8.8.8.8",
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "198.18.0.1",
    "::1", "fc00::1", "fd12::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "172.32.0.1", "9.9.9.9", "100.128.0.1", "2606:4700::1111", "2001:4860:4860::8888"]


def wrapped(address: str) -> list[str]:
    """Every IPv6 address that stands for an IPv4 one on its way."""
    number = int(ipaddress.IPv4Address(address))
    high, low = number >> 16, number & 0xFFFF
    client = number ^ 0xFFFFFFFF
    return [
        f"::ffff:{address}",
        f"::ffff:{high:x}:{low:x}",
        f"::{address}",
        f"2002:{high:x}:{low:x}::1",
        f"64:ff9b::{address}",
        f"::ffff:0:{address}",
        f"2001:db8::5efe:{address}",
        f"2001:db8::200:5efe:{address}",
        f"2001:0:4136:e378:8000:63bf:{client >> 16:x}:{client & 0xFFFF:x}",
    ]


def behind_a_local_nat64(address: str) -> list[str]:
    """The same for a prefix in 64:ff9b:1::/48 of each length that it can have."""
    number = int(ipaddress.IPv4Address(address))
    high, low = number >> 16, number & 0xFFFF
    return [
        f"64:ff9b:1:{high:x}:{low >> 8:x}:{(low & 0xFF) << 8:x}::",
        f"64:ff9b:1:{high >> 8:x}:{number >> 16 & 0xFF:x}:{low:x}::",
        f"64:ff9b:1:0:{number >> 24:x}:{number >> 8 & 0xFFFF:x}:{(number & 0xFF) << 8:x}:0",
        f"64:ff9b:1::{address}",
    ]


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_refused_whatever_is_allowed(address: str) -> None:
    assert AddressRules().refusal(address)
    assert AddressRules(allow=["0.0.0.0/0", "::/0", f"{address.partition('%')[0]}"]).refusal(address)


@pytest.mark.parametrize("address", [address for address in NEVER if ":" not in address])
def test_so_are_ipv6_addresses_that_carry_them(address: str) -> None:
    # What is in 0.0.0.0/8 is padding there.
    through = [] if address.startswith("0.") else behind_a_local_nat64(address)
    for disguise in wrapped(address) + through:
        assert AddressRules(allow=["::/0"]).refusal(disguise), disguise


@pytest.mark.parametrize("address", [address for address in METADATA if ":" not in address])
def test_behind_any_prefix_of_a_nat64_gateway_metadata_is_refused(address: str) -> None:
    assert AddressRules(allow=["::/0"]).refusal(f"2001:db8:64::{address}")
    assert AddressRules(allow=["::/0"]).refusal("2001:db8:64::169.254.1.1") is None


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "93.184.216.34"])
def test_public_ones_are_reached_through_any_gateway(address: str) -> None:
    for disguise in wrapped(address) + behind_a_local_nat64(address):
        assert AddressRules(private=False).refusal(disguise) is None, disguise


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_allowed_and_can_be_refused(address: str) -> None:
    assert AddressRules().refusal(address) is None
    assert AddressRules(private=False).refusal(address)
    assert AddressRules(private=False, allow=[address]).refusal(address) is None
    if ":" not in address:
        for disguise in wrapped(address) + behind_a_local_nat64(address):
            assert AddressRules(private=False).refusal(disguise), disguise
            assert AddressRules(deny=["127.0.0.0/8", address]).refusal(disguise), disguise


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert AddressRules(private=False).refusal(address) is None
    assert AddressRules(deny=["0.0.0.0/0", "::/0"]).refusal(address)


def test_the_most_specific_network_decides_and_deny_where_both_are_alike() -> None:
    rules = AddressRules(deny=["10.0.0.0/8", "10.1.2.3"], allow=["10.1.0.0/16", "10.1.2.3", "10.2.0.0/16"])
    assert rules.refusal("10.9.0.1") == "in the denied network 10.0.0.0/8"
    assert rules.refusal("10.2.0.1") is None
    assert rules.refusal("10.1.9.9") is None
    assert rules.refusal("10.1.2.3") == "in the denied network 10.1.2.3/32"
    assert rules.refusal("192.168.0.1") is None, "an allow list closes nothing"


def test_an_ipv4_network_says_nothing_of_ipv6() -> None:
    assert AddressRules(deny=["0.0.0.0/0"]).refusal("2606:4700::1111") is None


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "10.0.0.0/33", "somewhere", ""])
def test_a_wrong_network_is_named(wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"^deny_cidrs: "):
        AddressRules(deny=[wrong])
    with pytest.raises(SettingsError, match="at most"):
        AddressRules(allow=["10.0.0.0/8"] * 1_001)


@given(st.ip_addresses())
def test_every_address_gets_a_verdict(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    verdict = AddressRules(private=False).refusal(str(address))
    assert verdict is None or verdict
    if verdict is None:
        assert not address.is_loopback
        assert not address.is_link_local
        assert not address.is_multicast
        assert all(AddressRules(private=False).refusal(str(inner)) is None for inner in embedded_addresses(address))


@given(st.text())
def test_what_is_no_address_is_refused(text: str) -> None:
    rules = AddressRules()
    if not is_literal(text):
        assert rules.refusal(text) == "not an IP address"


def test_literals() -> None:
    assert all(map(is_literal, ["127.0.0.1", "[::1]", "::1", "fe80::1%eth0"]))
    assert not any(map(is_literal, ["localhost", "2130706433", "0x7f.1", "example.com", ""]))

from hashlib import sha256
from ssl import PEM_cert_to_DER_cert
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sources.certificates.reading import CHAIN, PEM_BYTES, read_certificates
from tests.support.certificates import key_pem, pem

END = 1_900_000_000.0


def test_the_facts_of_a_certificate() -> None:
    text = pem("a.example", END, serial=0xABC)
    found = read_certificates("certificates", [{"id": "c1", "cert": text, "key": key_pem(), "snis": ["a.example", 3]}])
    (certificate,) = found.certificates
    assert msgspec.structs.asdict(certificate) == {
        "certificate_id": "c1", "kind": "certificates", "field": "cert", "position": 0, "snis": ("a.example",),
        "subject": "CN=a.example", "issuer": "CN=a.example", "serial": "abc",
        "fingerprint": sha256(PEM_cert_to_DER_cert(text)).hexdigest(), "not_after": END,
    }  # fmt: skip
    assert (found.unreadable, found.references) == ([], 0)


def test_a_chain_and_an_alternative() -> None:
    chain = pem("leaf", END) + "\n" + pem("intermediate", END + 10)
    found = read_certificates("certificates", [{"id": "c1", "cert": chain, "cert_alt": pem("alt", END)}])
    assert [(each.subject, each.field, each.position) for each in found.certificates] == [
        ("CN=leaf", "cert", 0), ("CN=intermediate", "cert", 1), ("CN=alt", "cert_alt", 0)
    ]  # fmt: skip


def test_no_key_comes_out() -> None:
    found = read_certificates("certificates", [{"id": "c1", "cert": pem("a", END), "key": key_pem()}])
    assert b"PRIVATE" not in msgspec.json.encode(found)


def test_a_reference_to_a_vault_is_left_alone() -> None:
    found = read_certificates("certificates", [{"id": "c1", "cert": "{vault://env/cert}", "cert_alt": None}])
    assert (found.certificates, found.unreadable, found.references) == ([], [], 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        key_pem(),
        7,
        pem("a", END) + " " * PEM_BYTES,
        pem("a", END) * (CHAIN + 1),
        "\udcff",
    ],
    ids=["empty", "text", "no certificate", "a key", "a number", "too long", "too many", "no UTF-8"],
)
def test_what_is_no_certificate_is_named_and_the_others_go_on(text: Any) -> None:
    found = read_certificates(
        "ca_certificates", [{"id": "bad", "cert": text}, {"id": "good", "cert": pem("a", END)}, {}]
    )
    assert [each.certificate_id for each in found.certificates] == ["good"]
    assert found.unreadable == ["bad.cert", "(no id)"]


@given(st.binary(max_size=200), st.integers(0, 400))
def test_a_damaged_certificate_raises_nothing(noise: bytes, at: int) -> None:
    text = pem("a", END)
    damaged = text[:at] + noise.decode("latin-1") + text[at + len(noise) :]
    read_certificates("certificates", [{"id": "c", "cert": damaged}])

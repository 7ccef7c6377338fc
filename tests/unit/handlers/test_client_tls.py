"""What a hook shows its endpoint, and whom it trusts."""

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kong_eventhooks_plugin.errors import HttpError
from kong_eventhooks_plugin.handlers import client_tls
from kong_eventhooks_plugin.handlers.client_tls import TlsContexts, TlsMaterial, tls_context
from kong_eventhooks_plugin.http_errors import http_error
from tests.support.authority import Authority


def text(path: str | Path) -> str:
    return Path(path).read_text()


@pytest.fixture
def material(tmp_path: Path) -> TlsMaterial:
    authority = Authority(tmp_path)
    pair = authority.signed("gateway")
    return TlsMaterial(text(pair.cert), text(pair.key), text(authority.file))


def refusal(material: TlsMaterial) -> str:
    with pytest.raises(HttpError) as refused:
        tls_context(material, verify=True)
    assert refused.value.kind == "config"
    return str(refused.value)


def test_a_context_is_bounded_like_every_other(material: TlsMaterial) -> None:
    for verify in (True, False):
        context = tls_context(material, verify=verify)
        assert (context.verify_mode is ssl.CERT_REQUIRED) is verify
        assert context.options & ssl.OP_NO_RENEGOTIATION
        # Elliptic curves alone in TLS 1.2; the others have their groups by TLS 1.3.
        assert {suite["kea"] for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"} == {"kx-ecdhe"}


def test_a_key_may_be_in_the_file_of_its_certificate(material: TlsMaterial) -> None:
    tls_context(TlsMaterial(f"{material.cert}{material.key}"), verify=True)


def test_what_cannot_be_used_says_which_file_it_is(tmp_path: Path, material: TlsMaterial) -> None:
    other = text(Authority(tmp_path, "other").signed("x").key)
    key = load_pem_private_key(str(material.key).encode(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pa55")
    ).decode()
    assert refusal(TlsMaterial(material.cert, other)) == "client_key_file: is not the key of the certificate"
    assert refusal(TlsMaterial(material.cert, locked)).startswith("client_key_file: has a passphrase")
    assert refusal(TlsMaterial("nonsense")).startswith("client_cert_file: certificate or key cannot be used")
    assert refusal(TlsMaterial(ca="nonsense")) == "ca_file: has no certificate in PEM"
    assert refusal(TlsMaterial(ca="\u00fc")) == "ca_file: has no certificate in PEM"


def test_it_is_never_shown(material: TlsMaterial) -> None:
    assert "PRIVATE" not in f"{material}{material!r}"


async def test_contexts_are_made_once_and_no_more_are_kept_than_the_limit(
    material: TlsMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_tls, "CONTEXTS", 1)
    contexts = TlsContexts()
    first, same = await asyncio.gather(*(contexts.get(material, verify=True) for _ in range(2)))
    assert first is same
    await contexts.get(material, verify=False)
    assert await contexts.get(material, verify=True) is not first


async def test_one_that_could_not_be_made_is_tried_again() -> None:
    contexts = TlsContexts()
    for _ in range(2):
        with pytest.raises(HttpError):
            await contexts.get(TlsMaterial("nonsense"), verify=True)


def test_an_endpoint_that_asks_for_a_certificate_in_vain_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    server.load_cert_chain(*authority.signed("server"))
    server.verify_mode = ssl.CERT_REQUIRED
    context = tls_context(TlsMaterial(ca=text(authority.file)), verify=False)
    sent, answered = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(answered, sent, server_hostname="127.0.0.1")
    asking = server.wrap_bio(sent, answered, server_side=True)
    for side in (client, asking):
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    client.do_handshake()
    with pytest.raises(ssl.SSLError):
        asking.do_handshake()
    with pytest.raises(ssl.SSLError) as alert:
        client.read()
    error = aiohttp.ClientOSError(alert.value.errno, str(alert.value))
    error.__cause__ = alert.value
    found = http_error(error, "the endpoint")
    assert (found.kind, str(found)) == ("tls", "TLS failed: the endpoint asks for a client certificate")


def test_an_endpoint_without_tls_says_so() -> None:
    client = ssl.create_default_context().wrap_bio(
        came := ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="a.example"
    )
    came.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as failed:
        client.do_handshake()
    assert str(http_error(failed.value, "the endpoint")) == (
        "TLS failed: the endpoint does not speak TLS; is its URL http://?"
    )

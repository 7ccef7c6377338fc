import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from kong_eventhooks_plugin.handlers.signatures import (
    _FORMS,
    key_of,
    kong_signature,
    signed_headers,
    standard_signature,
)
from kong_eventhooks_plugin.hooks.schema import SIGNATURE_FORMS


@given(st.binary(min_size=1, max_size=64), st.text(st.characters(codec="utf-8", exclude_characters="."), min_size=1))
def test_the_official_verifier_accepts_the_standard_signature(key: bytes, text: str) -> None:
    now = int(datetime.now(UTC).timestamp())
    body = b'{"text":"' + text.encode().hex().encode() + b'"}'
    secret = "whsec_" + base64.b64encode(key).decode()
    signature = standard_signature([key_of(secret)], "e_h", now, body)
    headers = {"webhook-id": "e_h", "webhook-timestamp": str(now), "webhook-signature": signature}
    assert Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers)


def test_during_a_rotation_both_secrets_verify() -> None:
    now = int(datetime.now(UTC).timestamp())
    new, old = "whsec_bmV3LXNlY3JldA==", "a plain secret"
    signature = standard_signature([key_of(new), key_of(old)], "e_h", now, b"{}")
    headers = {"webhook-id": "e_h", "webhook-timestamp": str(now), "webhook-signature": signature}
    assert Webhook(new).verify("{}", headers) == {}
    assert Webhook(base64.b64encode(old.encode()).decode()).verify("{}", headers) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(base64.b64encode(b"another").decode()).verify("{}", headers)


def test_a_secret_is_its_text_or_the_decoded_whsec() -> None:
    assert key_of("plain ü") == "plain ü".encode()
    assert key_of("whsec_AQID") == b"\x01\x02\x03"
    assert key_of("whsec_AQI") == b"\x01\x02", "without padding"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!", "whsec_a"])
def test_what_is_no_secret_is_refused_without_being_quoted(secret: str) -> None:
    with pytest.raises(ValueError, match=r"base64|empty") as refused:
        key_of(secret)
    assert "!!!" not in str(refused.value)


@pytest.mark.parametrize("digest", ["sha256", "sha1"])
def test_kongs_signature_is_over_the_body_with_the_secret_as_written(digest: str) -> None:
    secret = "whsec_AQID"
    expected = hmac.new(secret.encode(), b"body", getattr(hashlib, digest)).hexdigest()
    assert kong_signature(secret, b"body", digest) == f"{digest}={expected}"


def own_header(form: str | None, **secrets: str) -> str:
    signature = {"header": "X-Hub-Signature-256"} | ({} if form is None else {"form": form})
    headers = signed_headers({"signature": signature, **secrets}, b"Hello, World!", "e_h", 1_700_000_000, "sha1")
    return headers[b"x-hub-signature-256"].decode()


def test_a_header_of_one_s_own_is_what_others_verify() -> None:
    """The first value is that of GitHub's documentation, the last is made as Stripe's describes."""
    secret = "It's a Secret to Everybody"
    github = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert own_header(None, secret=secret) == own_header("sha256=hex", secret=secret) == f"sha256={github}"
    assert own_header("hex", secret=secret) == github
    assert base64.b64decode(own_header("base64", secret=secret)).hex() == github
    stripe = hmac.new(secret.encode(), b"1700000000.Hello, World!", hashlib.sha256).hexdigest()
    old = hmac.new(b"old", b"1700000000.Hello, World!", hashlib.sha256).hexdigest()
    assert own_header("t,v1", secret=secret) == f"t=1700000000,v1={stripe}"
    assert own_header("t,v1", secret=secret, previous_secret="old") == f"t=1700000000,v1={stripe},v1={old}"
    assert own_header("hex", secret=secret, previous_secret="old") == github


def test_every_form_of_the_schema_is_made() -> None:
    assert tuple(_FORMS) == SIGNATURE_FORMS


def test_nothing_is_signed_without_a_secret() -> None:
    assert signed_headers({"signature": {"header": "x-sign"}}, b"", "e_h", 1, "sha256").keys() == {
        b"webhook-id",
        b"webhook-timestamp",
    }

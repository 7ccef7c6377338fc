"""References to the env vault; the expected values are those of `kong vault get` of Kong 3.9.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.hooks import references
from kong_eventhooks_plugin.model.masking import is_reference

ENVIRON = {
    "MY_SECRET": "s3",
    "MY_SECRET_PREVIOUS": "old",
    "CERT": '{"key":"k1","n":5,"a-b":"ab"}',
    "SSL_CERT": "p1",
    "EMPTY": "",
    "LIST": '["key"]',
    "DEEP": "[" * 100_000,
}


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("{vault://env/my-secret}", "s3"),
        ("{vault://env/MY_SECRET}", "s3"),
        ("{vault://env/my-secret/}", "s3"),
        ("{vault://env//my-secret}", "s3"),
        ("{vault://env/my%2Dsecret}", "s3"),
        ("{vault://env/my_secret?}", "s3"),
        ("{vault://env/my-secret#1}", "s3"),
        ("{vault://env/my-secret#2}", "old"),
        ("{vault://env/my-secret#x}", None),
        ("{vault://env/my-secret/key}", None),
        ("{vault://env/cert/key}", "k1"),
        ("{vault://env/cert/a-b}", "ab"),
        ("{vault://env/cert/n}", None),
        ("{vault://env/cert/none}", None),
        ("{vault://env/list/key}", None),
        ("{vault://env/deep/key}", None),
        ("{vault://env/cert?prefix=ssl_}", "p1"),
        ("{vault://env/cert?prefix=SSL-}", "p1"),
        ("{vault://env/empty}", None),
        ("{vault://env/none}", None),
        ("{vault://env}", None),
        ("{vault://env/}", None),
        ("{vault:///x}", None),
        ("{vault://ENV/my-secret}", None),
        ("{vault://other/my-secret}", None),
        ("{vault://[/x}", None),
    ],
)
def test_values(reference: str, value: str | None) -> None:
    assert references.from_environment(reference, ENVIRON) == value


def test_kongs_prefix_for_all_of_them() -> None:
    environ = {"KONG_VAULT_ENV_PREFIX": "app-", "APP_MY_SECRET": "a", "MY_SECRET": "b", "X_MY_SECRET": "c"}
    assert references.from_environment("{vault://env/my-secret}", environ) == "a"
    assert references.from_environment("{vault://env/my-secret?prefix=x_}", environ) == "c"


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ("{vault://env/x}", True),
        ("{vault://}", True),
        (" {vault://env/x}", False),
        ("{vault://env/x", False),
        (5, False),
        (None, False),
    ],
)
def test_what_kong_takes_for_a_reference(value: object, is_one: bool) -> None:
    assert is_reference(value) is is_one


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_is_none(text: str) -> None:
    references.from_environment("{vault://" + text + "}", {"X": "y"})

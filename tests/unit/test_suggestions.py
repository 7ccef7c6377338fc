"""Which name was probably meant."""

import pytest

from kong_eventhooks_plugin import suggestions


@pytest.mark.parametrize(
    ("name", "names", "meant"),
    [
        ("webhok", ("webhook", "webhook-custom", "log"), "webhook"),
        ("Webhook", ("webhook", "webhook-custom"), "webhook"),
        ("post", ("GET", "POST"), "POST"),
        ("rate-limitng", ("rate-limiting", "response-ratelimiting"), "rate-limiting"),
        ("lambada", ("lambda",), "lambda"),
        ("kafka", ("webhook", "log", "lambda"), None),
        ("", ("a",), None),
        ("a" * 1_000_000, ("a" * 60,), None),
    ],
    ids=range(8),
)
def test_closest(name: str, names: tuple[str, ...], meant: str | None) -> None:
    assert suggestions.closest(name, names) == meant
    assert suggestions.did_you_mean(name, names) == ("" if meant is None else f"; did you mean {meant}?")

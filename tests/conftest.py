"""Options and hypothesis profiles of the whole suite."""

import os

import hypothesis
import pytest

# CI machines are shared: an example that took long says nothing about the code.
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kong-bin",
        metavar="PATH",
        default=os.environ.get("KONG_BIN"),
        help="a native kong executable (3.9 or newer); tests/integration runs against it",
    )

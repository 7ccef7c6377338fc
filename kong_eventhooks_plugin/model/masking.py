"""What stands for a secret, and what is none: a reference to a vault, which Kong replaces by the secret."""

from collections.abc import Iterable
from typing import Any, Final

MASK: Final = "***"

REFERENCE_START: Final = "{vault://"


def without(secrets: Iterable[bytes], text: bytes) -> bytes:
    """Return a text with every secret in it masked."""
    for secret in secrets:
        text = text.replace(secret, MASK.encode())
    return text


def is_reference(value: Any) -> bool:
    """Return whether Kong takes the value for a reference (``is_reference`` of kong/pdk/vault.lua)."""
    return isinstance(value, str) and value.startswith(REFERENCE_START) and value.endswith("}")

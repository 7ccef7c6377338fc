"""What stands for a secret, and what is none: a reference to a vault, which Kong replaces by the secret."""

from typing import Any, Final

MASK: Final = "***"

REFERENCE_START: Final = "{vault://"


def is_reference(value: Any) -> bool:
    """Return whether Kong takes the value for a reference (``is_reference`` of kong/pdk/vault.lua)."""
    return isinstance(value, str) and value.startswith(REFERENCE_START) and value.endswith("}")

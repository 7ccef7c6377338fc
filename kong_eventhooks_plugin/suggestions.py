"""Which of a fixed set of names was probably meant: a text, nothing takes effect under a name that was guessed.

Limit: a name of more than 64 characters is near none, so that no comparison takes long.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

MAX_LENGTH: Final = 64
NEAR: Final = 0.65
"""For a name that is certainly wrong (``difflib``'s ratio)."""

VERY_NEAR: Final = 0.8
"""For one that may be somebody's own."""


def closest(name: str, names: Iterable[str], cutoff: float = NEAR) -> str | None:
    """Return the name that is nearest, in any case of letters; None where none is near."""
    if len(name) > MAX_LENGTH:
        return None
    known = {each.lower(): each for each in names}
    found = get_close_matches(name.lower(), known, 1, cutoff)
    return known[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return what follows an error's text: ``; did you mean webhook?``, empty where no name is near."""
    meant = closest(name, names)
    return "" if meant is None else f"; did you mean {meant}?"

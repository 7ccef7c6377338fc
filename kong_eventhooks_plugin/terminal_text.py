r"""Text for people's terminals: what would move the cursor, hide text or begin a line becomes an escape (``\x1b``)."""

import re

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but the tab, line ends of Unicode, and marks that change the direction of text."""


def on_one_line(text: str) -> str:
    """Return the text without what is named above; tabs stay."""
    return text if text.isprintable() else _UNPRINTABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]

"""Parses ``Retry-After`` (RFC 9110, 10.2.3). Pure; the caller caps it."""

from email.utils import parsedate_to_datetime

MAX_LENGTH = 64


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Return the seconds from ``now`` (Unix seconds), never below 0; None where it is absent or unreadable."""
    if value is None or len(value) > MAX_LENGTH:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None

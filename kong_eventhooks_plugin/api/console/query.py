"""Times of a form: what the input `datetime-local` gives, in UTC, beside what the API takes."""

from datetime import UTC, datetime

from kong_eventhooks_plugin.api.rest import queries


def moment(query: queries.Query, name: str) -> float | None:
    """May raise ``ValidationError``."""
    text = query.get(name) or None
    if (
        text is not None
        and len(text) <= queries.MAX_TEXT
        and "T" in text
        and not text.endswith("Z")
        and "+" not in text
    ):
        text += "Z"
    return queries.as_moment(text, name)


def shown_moment(seconds: float | None) -> str:
    try:
        return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return ""

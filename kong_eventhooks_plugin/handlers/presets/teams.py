"""Microsoft Teams: an Adaptive Card for a webhook of Workflows, which incoming webhooks accept as well.

A message is at most 28 KB. The card has the version 1.2, which Teams' webhooks show. Teams renders a part of Markdown
in texts: what would be a link or an emphasis is escaped. An answer of 200 may hold an error in its text.
(https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using,
https://adaptivecards.io/explorer/, https://github.com/MicrosoftDocs/msteams-docs/issues/1810)
"""

import re
from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.handlers.presets.message import Message, Rendered, facts, title

MAX_BYTES: Final = 28_000
FINAL: Final = frozenset({400, 404})

_MARKDOWN: Final = re.compile(r"([\\*_\[\]()`~#<>|!-])")
_FAILED: Final = (b"Webhook message delivery failed", b"Microsoft Teams endpoint returned HTTP error")


def render(message: Message) -> Rendered:
    shown = [{"title": name, "value": _escaped(value)} for name, value in facts(message.event.data)]
    body = _card(message, shown)
    while len(body) > MAX_BYTES and shown:
        shown.pop()
        body = _card(message, [*shown, {"title": "...", "value": "more than Teams accepts"}])
    return Rendered(body)


def failed(answer: bytes) -> bool:
    return any(text in answer for text in _FAILED)


def _card(message: Message, shown: list[dict[str, str]]) -> bytes:
    heading = {"type": "TextBlock", "text": _escaped(title(message)), "weight": "Bolder", "wrap": True}
    content: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": [heading, *([{"type": "FactSet", "facts": shown}] if shown else [])],
    }
    kind = "application/vnd.microsoft.card.adaptive"
    card = {"contentType": kind, "contentUrl": None, "content": content}
    return msgspec.json.encode({"type": "message", "attachments": [card]})


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)

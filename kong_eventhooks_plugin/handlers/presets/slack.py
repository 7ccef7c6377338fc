"""Slack's incoming webhooks (and receivers that are like them: Mattermost, Rocket.Chat).

A message is ``{"text": ...}``; ``&``, ``<`` and ``>`` are escaped, so that no event's data makes a link or calls a
channel. Slack advises texts of up to 4,000 characters and cuts at 40,000. An error has a status: 400 and 404 do not
become right by sending again, 410 is an archived channel.
(https://api.slack.com/messaging/webhooks, https://api.slack.com/reference/surfaces/formatting,
https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks)
"""

from itertools import accumulate, islice
from typing import Final

import msgspec

from kong_eventhooks_plugin.handlers.presets.message import CUT, Message, Rendered, facts, title

MAX_TEXT: Final = 4_000
FINAL: Final = frozenset({400, 403, 404})

_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render(message: Message) -> Rendered:
    lines = [f"*{title(message)}*", *(f"{name}: {value}" for name, value in facts(message.event.data))]
    return Rendered(msgspec.json.encode({"text": _escaped("\n".join(lines)), "unfurl_links": False}))


def _escaped(text: str) -> str:
    """Return at most ``MAX_TEXT`` characters, the escapes counted, and no half of one."""
    escaped = [_ESCAPES.get(each, each) for each in text[: MAX_TEXT + 1]]
    if sum(map(len, escaped)) <= MAX_TEXT:
        return "".join(escaped)
    ends = accumulate(map(len, escaped))
    return "".join(islice(escaped, sum(end <= MAX_TEXT - len(CUT) for end in ends))) + CUT

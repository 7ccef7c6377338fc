"""Slack's incoming webhooks (and receivers that are like them: Mattermost, Rocket.Chat).

A message is ``{"text": ...}``; ``&``, ``<`` and ``>`` are escaped, so that no event's data makes a link or calls a
channel. Slack advises texts of up to 4,000 characters and cuts at 40,000. An error has a status: 400 and 404 do not
become right by sending again, 410 is an archived channel.
(https://api.slack.com/messaging/webhooks, https://api.slack.com/reference/surfaces/formatting,
https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks)
"""

from typing import Final

import msgspec

from kong_eventhooks_plugin.handlers.presets.message import Message, Rendered, cut, facts, title

MAX_TEXT: Final = 4_000
FINAL: Final = frozenset({400, 403, 404})

_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render(message: Message) -> Rendered:
    lines = [f"*{title(message)}*", *(f"{name}: {value}" for name, value in facts(message.event.data))]
    # Cut before it is escaped: half an escape is none. A text that is all escapes is five times as long.
    text = "".join(_ESCAPES.get(each, each) for each in cut("\n".join(lines), MAX_TEXT))
    return Rendered(msgspec.json.encode({"text": text, "unfurl_links": False}))

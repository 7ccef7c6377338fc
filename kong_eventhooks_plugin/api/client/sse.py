"""Server-sent events from bytes, however they were cut (WHATWG HTML, "Parsing an event stream"). No I/O.

Limit: a message of more than ``MAX_MESSAGE`` bytes raises ``RemoteError``.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from kong_eventhooks_plugin.errors import RemoteError

MAX_MESSAGE: Final = 16 << 20

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


class Message(msgspec.Struct, frozen=True):
    """One message; ``event`` is ``message`` where the stream names none, ``last_id`` the last id so far."""

    event: str
    data: str
    last_id: str | None


class Parser:
    def __init__(self) -> None:
        self._rest = b""
        self._started = False
        self._size = 0
        self._event = ""
        self._data: list[str] = []
        self.last_id: str | None = None

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages that end in this chunk."""
        self._rest += chunk
        start = 0
        for end in _LINE_END.finditer(self._rest):
            if end.group() == b"\r" and end.end() == len(self._rest):
                # The next chunk may begin with its line feed.
                break
            yield from self._line(self._rest[start : end.start()])
            start = end.end()
        self._rest = self._rest[start:]
        self._count(len(self._rest), keep=False)

    def _line(self, raw: bytes) -> Iterator[Message]:
        if not self._started:
            self._started = True
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        line = raw.decode("utf-8", "replace")
        if not line:
            if self._data:
                yield Message(self._event or "message", "\n".join(self._data), self.last_id)
            self._event, self._data, self._size = "", [], 0
            return
        name, _, value = line.partition(":")
        self._field(name, value.removeprefix(" "))

    def _field(self, name: str, value: str) -> None:
        if name == "data":
            self._count(len(value), keep=True)
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self.last_id = value

    def _count(self, size: int, *, keep: bool) -> None:
        if self._size + size > MAX_MESSAGE:
            raise RemoteError("the stream sent a message that is too large")
        self._size += size if keep else 0

"""Finds the status in an answer's first bytes, whatever follows them. Pure.

aiohttp gives an answer only once all of its headers are read. Where they cannot be, the status is known all the same,
and it decides whether a request has arrived.

Limits: ``INFORMATIONAL`` informational answers (1xx) are passed over, and no byte is read twice; between two calls no
more is kept than the start of a status line.
"""

import re

from kong_eventhooks_plugin.http_protocol import INFORMATIONAL

_STATUS = re.compile(rb"HTTP/\d\.\d (\d{3})(?=[ \r\n])")
_LONGEST = len(b"HTTP/1.1 200 ")
_BLANK_LINES = re.compile(rb"(?:\r?\n)*")
_HEAD_END = re.compile(rb"\n\r?\n")
_CUT_HEAD_END = len(b"\n\r")
_SWITCHING_PROTOCOLS = 101


class StatusLine:
    """``feed`` it what comes until ``ended``; ``status`` is that of the final answer, None where there is none."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.ended = False
        self._passed = 0
        self._in_head = False
        self._rest = b""

    def feed(self, data: bytes) -> None:
        data, at = self._rest + data, 0
        while True:
            if self._in_head:
                end = _HEAD_END.search(data, at)
                if end is None:
                    self._rest = data[max(at, len(data) - _CUT_HEAD_END) :]
                    return
                self._in_head, at = False, end.end()
            at = _BLANK_LINES.match(data, at).end()  # type: ignore[union-attr]  # it matches everywhere
            found = _STATUS.match(data, at)
            if found is None:
                self._rest = data[at:]
                self.ended = len(self._rest) >= _LONGEST
                return
            status, at = int(found[1]), found.end()
            if not 100 <= status < 200 or status == _SWITCHING_PROTOCOLS:
                self.status = status
                self.ended = True
                return
            self._passed += 1
            self._in_head = True
            if self._passed > INFORMATIONAL:
                self.ended = True
                return

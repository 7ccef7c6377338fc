"""Finds the status in an answer's first bytes, whatever follows them. Pure.

aiohttp gives an answer only once all of its headers are read. Where they cannot be, the status is known all the same,
and it decides whether a request has arrived.

Limits: interim answers (1xx) are passed over; of one head at most ``MAX_HEAD`` bytes are kept while its end is missing.
"""

import re

MAX_HEAD = 65_536

_STATUS = re.compile(rb"(?:\r?\n)*HTTP/\d\.\d (\d{3})(?=[ \r\n])")
_HEAD_END = re.compile(rb"\n\r?\n")
_SWITCHING_PROTOCOLS = 101


class StatusLine:
    """``feed`` it what comes until ``ended``; ``status`` is that of the final answer, None where there is none."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.ended = False
        self._head = b""

    def feed(self, data: bytes) -> None:
        self._head += data
        while not self.ended and (found := _STATUS.match(self._head)) is not None:
            status = int(found[1])
            if not 100 <= status < 200 or status == _SWITCHING_PROTOCOLS:
                self.status = status
                self._end()
                return
            end = _HEAD_END.search(self._head, found.end())
            if end is None:
                break
            self._head = self._head[end.end() :]
        if len(self._head) > MAX_HEAD:
            self._end()

    def _end(self) -> None:
        self.ended = True
        self._head = b""

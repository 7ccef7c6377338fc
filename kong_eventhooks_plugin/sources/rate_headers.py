"""Which limit broke, read from the headers of Kong's two rate-limiting plugins.

Facts of Kong 3.9's plugins, from their sources and from recorded answers:

- rate-limiting decides before the service is asked. It writes ``X-RateLimit-Limit-<Window>`` and
  ``X-RateLimit-Remaining-<Window>`` for each of its windows, 0 where it is used up, whether it refuses or not:
  the last request that it lets through says 0 as well. ``Retry-After`` is there only where it refuses, and is
  the same text as ``RateLimit-Reset``.
- response-ratelimiting decides after the service has answered. It writes the two headers for each named limit
  and window, ``X-RateLimit-Remaining-<name>-<window>``, and, since 3.8, ``X-RateLimit-Remaining-<name>`` with
  what was left of the name's scarcest window before this answer, which can be below 0.

So the two are told apart by whether the service was asked. An answer's headers can also hold the service's own,
look-alikes included, but only where it was asked, and rate-limiting's event needs that it was not.

Limits: a number over 2**53 is no limit of Kong's and is not read.
"""

import re
from collections.abc import Mapping
from math import ceil
from typing import Any, Final, NamedTuple

from kong_eventhooks_plugin.sources.kong_log import KongLog

WINDOWS: Final = ("year", "month", "day", "hour", "minute", "second")
"""The periods of both plugins, longest first."""

_RANK: Final = {window: rank for rank, window in enumerate(WINDOWS)}
_HEADERS: Final = tuple((w, f"x-ratelimit-remaining-{w}", f"x-ratelimit-limit-{w}") for w in WINDOWS)
_REMAINING: Final = "x-ratelimit-remaining-"
_LIMIT: Final = "x-ratelimit-limit-"

_LARGEST: Final = 2**53
_SMALL: Final[Mapping[str | None, int]] = {str(number): number for number in range(1001)}
"""Most limits and times are among these, and a look-up takes a tenth of the regular expression's time."""
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:e\+?[0-9]{1,2})?")
"""As Lua's tostring writes a limit: ``3``, ``2.5``, ``1e+15``."""


class Broken(NamedTuple):
    """The limit that broke. ``name`` is response-ratelimiting's; ``retry_after`` is in seconds."""

    limit: int | float
    window: str
    name: str | None = None
    retry_after: int | None = None

    @property
    def rate(self) -> int:
        """Return the usage that broke the limit: the first request over it.

        Kong lets a request through while something is left, so a limit of 2.5 lets 3 through.
        """
        return ceil(self.limit) + 1


def by_rate_limiting(log: KongLog) -> Broken | None:
    """Return the longest used-up window where the headers prove that rate-limiting refused the request."""
    if log.asked_service:
        return None
    headers = log.response.headers
    retry_after = _text(headers.get("retry-after"))
    if retry_after is None or _text(headers.get("ratelimit-reset", retry_after)) != retry_after:
        return None
    for window, remaining, limit in _HEADERS:
        if remaining in headers and _text(headers[remaining]) == "0":
            number = _positive(headers.get(limit))
            if number is not None:
                seconds = _number(retry_after)
                return Broken(
                    number, window, retry_after=int(seconds) if seconds is not None and seconds >= 0 else None
                )
    return None


def by_response_rate_limiting(log: KongLog) -> Broken | None:
    """Return the named limit with the longest used-up window where the headers say that one ended the answer.

    Of several names with the same window the first in the alphabet: Kong does not say which it was.
    """
    if not log.asked_service:
        return None
    headers = log.response.headers
    used_up = [broken for key in headers if key.startswith(_REMAINING) and (broken := _named(headers, key))]
    return min(used_up, key=lambda broken: (_RANK[broken.window], broken.name), default=None)


def shows_limits(log: KongLog) -> bool:
    """Tell whether rate-limiting's headers are on this answer; unless they prove a refusal, it let the request pass."""
    headers = log.response.headers
    return any(limit in headers for _, _, limit in _HEADERS)


def _named(headers: Mapping[str, Any], key: str) -> Broken | None:
    """Read one ``x-ratelimit-remaining-<name>-<window>`` header; a name may hold dashes itself."""
    name, dash, window = key[len(_REMAINING) :].rpartition("-")
    if not dash or window not in _RANK or _text(headers[key]) != "0":
        return None
    before = _number(headers.get(_REMAINING + name))
    if before is not None and before > 0:
        return None  # this answer used up the rest of it: the next one will break it
    limit = _positive(headers.get(f"{_LIMIT}{name}-{window}"))
    return None if limit is None else Broken(limit, window, name)


def _text(value: object) -> str | None:
    """Return a header's value, the first where it is repeated; None where it is neither text nor number."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        value = value[0]
        return value if isinstance(value, str) else None
    return str(value) if isinstance(value, int | float) else None


def _number(value: object) -> int | float | None:
    """Read a number as Kong writes it; a whole one is an int."""
    text = _text(value)
    if text in _SMALL:
        return _SMALL[text]
    if text is None or not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    if abs(number) > _LARGEST:
        return None
    return int(number) if number.is_integer() else number


def _positive(value: object) -> int | float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None

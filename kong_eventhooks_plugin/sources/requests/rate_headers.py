"""Which limit is exceeded, read from the headers of Kong's rate-limiting plugins.

Facts of Kong 3.9's plugins, from their sources and from recorded answers:

- rate-limiting decides before the service is asked. It writes ``X-RateLimit-Limit-<Window>`` and
  ``X-RateLimit-Remaining-<Window>`` for each of its windows, 0 where it is used up, whether it refuses or not:
  the last request that it lets through says 0 as well. ``Retry-After`` is there only where it refuses, and is
  the same text as ``RateLimit-Reset``.
- response-ratelimiting decides after the service has answered. It writes the two headers for each named limit
  and window, ``X-RateLimit-Remaining-<name>-<window>``, and, since 3.8, ``X-RateLimit-Remaining-<name>`` with
  what was left of the name's scarcest window before this answer, which can be below 0.

So whether the service was asked distinguishes the two. rate-limiting sets its headers before the service is asked, and
nginx adds a service's own of the same name to them, as response-transformer can: a repeated header is a list in Kong's
log, and each of its values counts. response-ratelimiting sets its headers last, over a service's own.

Enterprise's rate-limiting-advanced and service-protection decide before too, with the same headers. From their public
documentation (developer.konghq.com/plugins/rate-limiting-advanced, "Headers sent to the client", and both plugins'
configuration references; the one of service-protection names RateLimit-Reset and Retry-After and lists no others):

- A window without a name is its seconds: ``X-RateLimit-Limit-30``.
- ``Retry-After`` can be later than ``RateLimit-Reset``, by ``retry_after_jitter_max``.

A function with ``expected`` finds one of these limits only: what the plugins on the request are configured with.

Limits: a number over 2**53 is no limit of Kong's and is not read; of a repeated header ``VALUES`` are.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kong_eventhooks_plugin.sources.requests.plugin_limits import SECONDS, Limit, seconds_of

if TYPE_CHECKING:
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog

WINDOWS: Final = tuple(SECONDS)
"""The open-source plugins' periods, longest first."""

_RANK: Final = {window: rank for rank, window in enumerate(WINDOWS)}
_REMAINING: Final = "x-ratelimit-remaining-"
_LIMIT: Final = "x-ratelimit-limit-"
_OF_WINDOWS: Final = tuple((window, _LIMIT + window, _REMAINING + window) for window in WINDOWS)

VALUES: Final = 16

_LARGEST: Final = 2**53
_SMALL: Final[Mapping[str, int]] = {str(number): number for number in range(1001)}
"""Most limits and times are among these, and a look-up takes a tenth of the regular expression's time."""
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:e\+?[0-9]{1,2})?")
"""As Lua's tostring writes a limit: ``3``, ``2.5``, ``1e+15``."""


class ExceededLimit(NamedTuple):
    """The limit that was exceeded, as far as it is known.

    ``name`` is response-ratelimiting's, or an AI provider; ``retry_after`` is in seconds.
    """

    limit: int | float | None
    window: str | None
    name: str | None = None
    retry_after: int | None = None

    @property
    def rate(self) -> int | None:
        """Return the usage that exceeded the limit: the first request over it.

        Kong lets a request through while something is left, so a limit of 2.5 lets 3 through.
        """
        limit = self.limit
        return limit if limit is None else limit + 1 if type(limit) is int else int(-(-limit // 1)) + 1


_exceeded = lru_cache(maxsize=256, typed=True)(ExceededLimit)
"""Most often it is a limit that was exceeded before: finding it takes half of making it."""


class RemainingLimit(NamedTuple):
    limit: int | float
    remaining: int | float
    window: str


def by_rate_limiting(log: "KongLog", expected: Collection[Limit] = ()) -> ExceededLimit | None:
    """Return the longest used-up window where the headers prove that rate-limiting refused the request."""
    headers = log.response.headers
    retry, reset = headers.get("retry-after"), headers.get("ratelimit-reset")
    if retry is None or log.asked_service:
        return None
    if type(retry) is not str or retry != reset:  # else, most often, it counts as it is
        resets = texts(reset)
        retry = [each for each in texts(retry) if each in resets or not resets]
        if not retry:
            return None
    for window, limit_key, remaining_key in _OF_WINDOWS:  # the longest first
        if remaining_key in headers:
            for limit, remaining in _pairs(headers.get(limit_key), headers[remaining_key]):
                if remaining == 0 and (not expected or _is_expected(limit, window, None, expected)):
                    return _exceeded(limit, window, None, seconds(retry))
    return None


def by_enterprise(log: "KongLog", expected: Collection[Limit] = ()) -> ExceededLimit | None:
    """Return the longest used-up window where the headers say that one of Enterprise's two plugins refused.

    Only of use where one of them may have run: otherwise they say less.
    """
    headers = log.response.headers
    if "retry-after" not in headers or log.asked_service:
        return None
    used_up = [each for each in windows_left(log, expected) if each.remaining == 0]
    if not used_up:
        return None
    longest = max(used_up, key=lambda each: seconds_of(each.window) or 0)
    return ExceededLimit(longest.limit, longest.window, retry_after=seconds(headers["retry-after"]))


def windows_left(log: "KongLog", expected: Collection[Limit] = ()) -> list[RemainingLimit]:
    """Return each window's headers, in their order; nothing of response-ratelimiting's named limits."""
    headers = log.response.headers
    return [
        RemainingLimit(limit, remaining, window)
        for key in headers
        if key.startswith(_REMAINING) and seconds_of(window := key[len(_REMAINING) :]) is not None
        for limit, remaining in _pairs(headers.get(_LIMIT + window), headers[key])
        if remaining >= 0 and _is_expected(limit, window, None, expected)
    ]


def by_response_rate_limiting(log: "KongLog", expected: Collection[Limit] = ()) -> ExceededLimit | None:
    """Return the named limit with the longest used-up window where the headers say that one ended the answer.

    Of several names with the same window the first in the alphabet: Kong does not say which it was.
    """
    if not log.asked_service:
        return None
    headers = log.response.headers
    used_up = [
        exceeded for key in headers if key.startswith(_REMAINING) and (exceeded := _named(headers, key, expected))
    ]
    return min(used_up, key=lambda each: (_RANK[each.window or ""], each.name), default=None)


def shows_limits(log: "KongLog") -> bool:
    """Return whether rate-limiting's headers are there; unless they prove a refusal, it let the request pass."""
    headers = log.response.headers
    return any(_LIMIT + window in headers for window in WINDOWS)


def _named(headers: Mapping[str, Any], key: str, expected: Collection[Limit]) -> ExceededLimit | None:
    """Read one ``x-ratelimit-remaining-<name>-<window>`` header; a name may hold dashes itself."""
    name, dash, window = key[len(_REMAINING) :].rpartition("-")
    if not dash or window not in _RANK:
        return None
    before = numbers(headers.get(_REMAINING + name))
    if before and min(before) > 0:
        return None  # this answer used up the rest: the next one will exceed it
    for limit, remaining in _pairs(headers.get(f"{_LIMIT}{name}-{window}"), headers[key]):
        if remaining == 0 and _is_expected(limit, window, name, expected):
            return ExceededLimit(limit, window, name)
    return None


def _pairs(shown_limits: object, shown_remaining: object) -> list[tuple[int | float, int | float]]:
    """Return each limit with what remains of it; of repeated headers the values at the same position, if all are."""
    if type(shown_limits) is str and type(shown_remaining) is str:  # most often
        limit, left = _number(shown_limits), _number(shown_remaining)
        return [] if limit is None or limit <= 0 or left is None else [(limit, left)]
    limits, remaining = ([_number(each) for each in texts(shown)] for shown in (shown_limits, shown_remaining))
    both: Iterable[tuple[int | float | None, int | float | None]] = zip(limits, remaining, strict=False)
    if len(limits) != len(remaining):
        both = ((one, other) for one in limits for other in remaining)
    return [(limit, left) for limit, left in both if limit is not None and limit > 0 and left is not None]


def _is_expected(limit: float, window: str, name: str | None, expected: Collection[Limit]) -> bool:
    if not expected:
        return True
    length = seconds_of(window)
    return any(
        (each.limit, seconds_of(each.window), each.name and each.name.lower()) == (limit, length, name)
        for each in expected
    )


def seconds(value: object) -> int | None:
    """Read the seconds until a retry."""
    if type(value) is str and (small := _SMALL.get(value)) is not None:
        return small
    return next((int(each) for each in numbers(value) if each >= 0), None)


def numbers(value: object) -> list[int | float]:
    """Read a header's numbers as Kong writes them; a whole one is an int, what is no number is left out."""
    return [number for each in texts(value) if (number := _number(each)) is not None]


def texts(value: object) -> list[str]:
    """Return a header's values; several where it is repeated."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [each for each in value[:VALUES] if isinstance(each, str)]
    return [str(value)] if isinstance(value, int | float) else []


def _number(shown: str) -> int | float | None:
    small = _SMALL.get(shown)
    if small is not None:
        return small
    if not _NUMBER.fullmatch(shown):
        return None
    found = float(shown)
    if abs(found) > _LARGEST:
        return None
    return int(found) if found.is_integer() else found

"""Which limit is exceeded, read from the headers of Kong's rate-limiting plugins.

Facts of Kong 3.9's plugins, from their sources and from recorded answers:

- rate-limiting decides before the service is asked. It writes ``X-RateLimit-Limit-<Window>`` and
  ``X-RateLimit-Remaining-<Window>`` for each of its windows, 0 where it is used up, whether it refuses or not:
  the last request that it lets through says 0 as well. ``Retry-After`` is there only where it refuses, and is
  the same text as ``RateLimit-Reset``.
- response-ratelimiting decides after the service has answered. It writes the two headers for each named limit
  and window, ``X-RateLimit-Remaining-<name>-<window>``, and, since 3.8, ``X-RateLimit-Remaining-<name>`` with
  what was left of the name's scarcest window before this answer, which can be below 0.

So whether the service was asked distinguishes the two. An answer's headers can also hold the service's own,
look-alikes included, but only where it was asked, and rate-limiting's event needs that it was not.

Enterprise's rate-limiting-advanced and service-protection decide before too, with the same headers. From their public
documentation (developer.konghq.com/plugins/rate-limiting-advanced, "Headers sent to the client", and both plugins'
configuration references; the one of service-protection names RateLimit-Reset and Retry-After and lists no others):

- A window without a name is its seconds: ``X-RateLimit-Limit-30``.
- ``Retry-After`` can be later than ``RateLimit-Reset``, by ``retry_after_jitter_max``.

Limits: a number over 2**53 is no limit of Kong's and is not read.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kong_eventhooks_plugin.sources.requests.plugin_limits import SECONDS, seconds_of

if TYPE_CHECKING:
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog

WINDOWS: Final = tuple(SECONDS)
"""The open-source plugins' periods, longest first."""

_RANK: Final = {window: rank for rank, window in enumerate(WINDOWS)}
_HEADERS: Final = tuple((w, f"x-ratelimit-remaining-{w}", f"x-ratelimit-limit-{w}") for w in WINDOWS)
_REMAINING: Final = "x-ratelimit-remaining-"
_LIMIT: Final = "x-ratelimit-limit-"

_LARGEST: Final = 2**53
_SMALL: Final[Mapping[str | None, int]] = {str(number): number for number in range(1001)}
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
        return None if self.limit is None else int(-(-self.limit // 1)) + 1


class RemainingLimit(NamedTuple):
    limit: int | float
    remaining: int | float
    window: str


def by_rate_limiting(log: "KongLog") -> ExceededLimit | None:
    """Return the longest used-up window where the headers prove that rate-limiting refused the request."""
    if log.asked_service:
        return None
    headers = log.response.headers
    retry_after = text(headers.get("retry-after"))
    if retry_after is None or text(headers.get("ratelimit-reset", retry_after)) != retry_after:
        return None
    for window, remaining, limit in _HEADERS:
        if remaining in headers and text(headers[remaining]) == "0":
            number = positive(headers.get(limit))
            if number is not None:
                return ExceededLimit(number, window, retry_after=seconds(retry_after))
    return None


def by_enterprise(log: "KongLog") -> ExceededLimit | None:
    """Return the longest used-up window where the headers say that one of Enterprise's two plugins refused.

    Only of use where one of them may have run: otherwise they say less.
    """
    headers = log.response.headers
    if log.asked_service or "retry-after" not in headers:
        return None
    used_up = [left for left in windows_left(log) if left.remaining == 0]
    if not used_up:
        return None
    longest = max(used_up, key=lambda left: seconds_of(left.window) or 0)
    return ExceededLimit(longest.limit, longest.window, retry_after=seconds(headers["retry-after"]))


def windows_left(log: "KongLog") -> list[RemainingLimit]:
    """Return each window's headers, in their order; nothing of response-ratelimiting's named limits."""
    headers = log.response.headers
    found = []
    for key in headers:
        if key.startswith(_REMAINING) and seconds_of(window := key[len(_REMAINING) :]) is not None:
            limit, remaining = positive(headers.get(_LIMIT + window)), number(headers[key])
            if limit is not None and remaining is not None and remaining >= 0:
                found.append(RemainingLimit(limit, remaining, window))
    return found


def by_response_rate_limiting(log: "KongLog") -> ExceededLimit | None:
    """Return the named limit with the longest used-up window where the headers say that one ended the answer.

    Of several names with the same window the first in the alphabet: Kong does not say which it was.
    """
    if not log.asked_service:
        return None
    headers = log.response.headers
    used_up = [each for key in headers if key.startswith(_REMAINING) and (each := _named(headers, key))]
    return min(used_up, key=lambda each: (_RANK[each.window or ""], each.name), default=None)


def shows_limits(log: "KongLog") -> bool:
    """Return whether rate-limiting's headers are there; unless they prove a refusal, it let the request pass."""
    headers = log.response.headers
    return any(limit in headers for _, _, limit in _HEADERS)


def _named(headers: Mapping[str, Any], key: str) -> ExceededLimit | None:
    """Read one ``x-ratelimit-remaining-<name>-<window>`` header; a name may hold dashes itself."""
    name, dash, window = key[len(_REMAINING) :].rpartition("-")
    if not dash or window not in _RANK or text(headers[key]) != "0":
        return None
    before = number(headers.get(_REMAINING + name))
    if before is not None and before > 0:
        return None  # this answer used up the rest: the next one will exceed it
    limit = positive(headers.get(f"{_LIMIT}{name}-{window}"))
    return None if limit is None else ExceededLimit(limit, window, name)


def seconds(value: object) -> int | None:
    """Read the seconds until a retry."""
    found = number(value)
    return int(found) if found is not None and found >= 0 else None


def number(value: object) -> int | float | None:
    """Read a header's number as Kong writes it; a whole one is an int."""
    shown = text(value)
    if shown in _SMALL:
        return _SMALL[shown]
    if shown is None or not _NUMBER.fullmatch(shown):
        return None
    found = float(shown)
    if abs(found) > _LARGEST:
        return None
    return int(found) if found.is_integer() else found


def positive(value: object) -> int | float | None:
    """Read a header's number over 0."""
    found = number(value)
    return found if found is not None and found > 0 else None


def text(value: object) -> str | None:
    """Return a header's value, the first where it is repeated; None where it is neither text nor number."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        value = value[0]
        return value if isinstance(value, str) else None
    return str(value) if isinstance(value, int | float) else None

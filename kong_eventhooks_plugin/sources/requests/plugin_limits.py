"""The limits in a rate-limiting plugin's configuration.

The open-source plugins' forms are those of Kong's schemas; those of Enterprise's plugins those of its configuration
references (developer.konghq.com/plugins/rate-limiting-advanced, service-protection, ai-rate-limiting-advanced):
``limit`` and ``window_size`` (seconds) are lists whose nth entries belong together. ai-rate-limiting-advanced has them
in each of ``llm_providers``, where 3.8 had single numbers, and in 3.14 in ``policies``.

Limits: ``LIMITS`` of an instance are read; with more of them none is, since only a single one is of use.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

LIMITS: Final = 32

SECONDS: Final[Mapping[str, int]] = {
    "year": 31_536_000, "month": 2_592_000, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1,
}  # fmt: skip
"""The periods that have names, the longest first, as long as Kong counts them."""

_LARGEST: Final = 2**53
_DIGITS: Final = re.compile("[1-9][0-9]{0,8}")
_NAMES: Final[Mapping[int, str]] = {seconds: name for name, seconds in SECONDS.items()}


class Limit(NamedTuple):
    """``window`` is a period's name, or its seconds as a text.

    ``name`` is response-ratelimiting's for a limit, ai-rate-limiting-advanced's for a provider.
    """

    limit: int | float
    window: str
    name: str | None = None


def seconds_of(window: str) -> int | None:
    """Return a window's length, None where it is none: ``minute`` and ``60`` are the same."""
    return SECONDS.get(window) or (int(window) if _DIGITS.fullmatch(window) else None)


def window_of(seconds: int) -> str:
    """Return a window's name, or its seconds where it has none."""
    return _NAMES.get(seconds) or str(seconds)


def of_periods(config: Mapping[str, Any]) -> tuple[Limit, ...]:
    """Read rate-limiting's: ``{"minute": 3, "hour": null}``."""
    return _bounded(Limit(number, window) for window in SECONDS if (number := _number(config.get(window))))


def of_names(config: Mapping[str, Any]) -> tuple[Limit, ...]:
    """Read response-ratelimiting's: ``{"limits": {"sms": {"minute": 3}}}``."""
    limits = config.get("limits")
    named = limits.items() if isinstance(limits, dict) else ()
    return _bounded(
        limit._replace(name=name)
        for name, periods in named
        if isinstance(name, str) and isinstance(periods, dict)
        for limit in of_periods(periods)
    )


def of_windows(config: Mapping[str, Any]) -> tuple[Limit, ...]:
    """Read those of rate-limiting-advanced and service-protection: ``{"limit": [3], "window_size": [60]}``."""
    return _bounded(_pairs(config.get("limit"), config.get("window_size"), None))


def of_providers(config: Mapping[str, Any]) -> tuple[Limit, ...]:
    """Read ai-rate-limiting-advanced's, by provider."""
    return _bounded(_of_providers(config))


def _of_providers(config: Mapping[str, Any]) -> Iterator[Limit]:
    for provider in _records(config.get("llm_providers")):
        name = provider.get("name")
        yield from _pairs(provider.get("limit"), provider.get("window_size"), name if isinstance(name, str) else None)
    for policy in _records(config.get("policies")):
        for limit in _records(policy.get("limits")):
            yield from _pairs(limit.get("limit"), limit.get("window_size"), None)


def _pairs(limits: object, windows: object, name: str | None) -> Iterator[Limit]:
    for limit, window in zip(_list(limits), _list(windows), strict=False):
        number, seconds = _number(limit), _number(window)
        if number is not None and isinstance(seconds, int):
            yield Limit(number, window_of(seconds), name)


def _records(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _number(value: object) -> int | float | None:
    """Return a number over 0 and up to 2**53; a whole one is an int."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LARGEST:
        return None
    return int(value) if float(value).is_integer() else value


def _bounded(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    found = tuple(islice(limits, LIMITS + 1))
    return found if len(found) <= LIMITS else ()

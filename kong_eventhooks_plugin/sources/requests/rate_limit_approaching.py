"""The source ``rate-limit-approaching``: Kong let a request pass, and little of a limit remains. Ours alone.

It reads what rate-limiting and rate-limiting-advanced write on each answer. nginx adds a service's own headers of these
names to Kong's. Where the node's plugins are known, only limits count with which such a plugin on the request is
configured, and with rate-limiting alone only what agrees with its ``RateLimit-Remaining``, the least of its windows;
where they are unknown, a service's headers are taken for Kong's. An event for each window that has reached the
threshold, for each request: a hook wants ``snooze``.

Limits: an answer has events for ``WINDOWS`` windows, the fullest; a service could send any number of such headers.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, SourceEntry
from kong_eventhooks_plugin.sources.requests import fields
from kong_eventhooks_plugin.sources.requests.attribution import WINDOW_PLUGINS
from kong_eventhooks_plugin.sources.requests.plugin_answers import RATE_LIMITING
from kong_eventhooks_plugin.sources.requests.rate_headers import RemainingLimit, numbers, windows_left
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource

if TYPE_CHECKING:
    from kong_eventhooks_plugin.model.event import Event
    from kong_eventhooks_plugin.model.observation import LogObservation
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog

WINDOWS: Final = 6

_STATUSES: Final = frozenset(range(200, 500))

ENTRY = SourceEntry(
    "rate-limit-approaching",
    "A client has used most of a limit of rate-limiting.",
    "0.1.0",
    (
        EventEntry(
            "rate-limit-approaching",
            "Kong let a request pass, and the usage of a window has reached the threshold.",
            (
                fields.CONSUMER,
                fields.IP,
                fields.SERVICE,
                EventField("used", "The usage, this request included.", 4),
                EventField("limit", "The window's limit.", 5),
                EventField("remaining", "How much of the limit remains.", 1),
                EventField(
                    "window", "`second`, `minute`, `hour`, `day`, `month`, `year`, or its seconds (`30`).", "hour"
                ),
                EventField("percent", "The usage in percent of the limit, rounded down to a whole number.", 80),
                fields.ROUTE,
                fields.REQUEST,
                fields.NODE,
            ),
            (*fields.CLIENT_AND_SERVICE, "limit", "window"),
        ),
    ),
    notes=(
        (
            "Every request from the threshold on (`rate_limit_approaching_percent`, 80 by default) is an event, one "
            "for each window that has reached it: give the hook a `snooze`, and `on_change` beside it, so that "
            "it fires once in that time for each client and window."
        ),
        (
            "It reads the headers `x-ratelimit-limit-<window>` and `x-ratelimit-remaining-<window>` of "
            "rate-limiting and rate-limiting-advanced, so hidden headers hide it. With the setting `admin_url` only "
            "limits count that such a plugin on the request is configured with; without it, headers of the service's "
            "own are taken for Kong's. The named limits of response-ratelimiting are not reported."
        ),
        "While a hook names it, Kong is asked for the log of every request that ends with 200 to 499.",
    ),
)


class RateLimitApproaching(RequestSource):
    entry = ENTRY

    def statuses(self) -> frozenset[int]:
        return _STATUSES

    def events(self, log: "KongLog", seen: "LogObservation") -> "list[Event]":
        """Return an event for each window that has reached the threshold; none where Kong can have refused."""
        near = [left for left in self._windows(log) if _used(left) * 100 >= self._percent * left.limit]
        if not near or self._attribution.is_refusal(log, seen.status):
            return []
        return [self._event(log, left, seen) for left in _fullest(near)]

    def _windows(self, log: "KongLog") -> Collection[RemainingLimit]:
        """Return one limit a window: of a repeated header the one that ``RateLimit-Remaining`` names, or the first."""
        known = self._attribution.active_plugins(log)
        least = numbers(log.response.headers.get("ratelimit-remaining"))
        if known is None:
            return _by_window(windows_left(log), least)
        writers = [each for each in known if each.plugin in WINDOW_PLUGINS and each.shows_before]
        if not writers:
            return ()
        all_known = all(each.limits for each in writers)
        found = windows_left(log, [limit for each in writers for limit in each.limits] if all_known else ())
        if {each.plugin for each in writers} == {RATE_LIMITING}:
            found = [left for left in found if left.remaining >= min(least, default=0)]
        return _by_window(found, least)

    def _event(self, log: "KongLog", left: RemainingLimit, seen: "LogObservation") -> "Event":
        used = _used(left)
        own = {
            "used": used,
            "limit": left.limit,
            "remaining": left.remaining,
            "window": left.window,
            "percent": int(used * 100 / left.limit),
        }
        return self.event(log, seen, own, left.window)


def _by_window(found: Collection[RemainingLimit], least: Collection[float]) -> Collection[RemainingLimit]:
    windows: dict[str, RemainingLimit] = {}
    for left in found:
        if left.window not in windows or (left.remaining in least and windows[left.window].remaining not in least):
            windows[left.window] = left
    return windows.values()


def _used(left: RemainingLimit) -> int | float:
    return max(left.limit - left.remaining, 0)


def _fullest(near: Collection[RemainingLimit]) -> list[RemainingLimit]:
    return sorted(near, key=lambda left: left.remaining / left.limit)[:WINDOWS]

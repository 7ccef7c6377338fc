"""Which plugin's rate limit an answer of Kong's exceeded, if any: decided here once for all the sources.

==================================================================  ==============  ====================
evidence                                                            the event's     attributed
                                                                    source
==================================================================  ==============  ====================
rate-limit headers that prove a refusal (``rate_headers``,          theirs, below   headers
``ai_rate_headers``), on a status that means one
no such headers; of the plugins on the request exactly one can      that plugin     plugins
have answered so, and it is a rate limit's
no such headers; a setting names the route or service and status    below           inferred
anything else                                                       not this event
==================================================================  ==============  ====================

A status means an exceeded limit where it is 429, a setting names it there, or a plugin on the request is configured
with it.

The headers of rate-limiting, rate-limiting-advanced and service-protection are the same: the source is the one that
runs on the request, of several the one that has such a limit, and rate-limiting where nothing decides. What a setting
names belongs to the only rate-limiting plugin on the request that can have answered so; where that is unknown, an
answer before the service was asked is rate-limiting's, one after it response-ratelimiting's.

*Exactly one can have answered* leaves aside what would have written its headers (unless a plugin on the request edits
them), and is never so with a status that Kong answers with by itself (``KONGS_OWN``). What is known of plugins is some
seconds old at times: that is the risk of ``plugins``, and why headers go first.

Headers prove nothing where a plugin on the request can have forged them: one that edits them (response-transformer, a
header_filter of pre-function or post-function) or that can answer with anything. Then only a limit counts with which a
rate-limiting plugin on the request is configured. Of headers that nobody there can have forged the configured limits go
first, too.
"""

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from kong_eventhooks_plugin.kong.admin_api.active_plugins import ActivePlugins
from kong_eventhooks_plugin.sources.requests.ai_rate_headers import RETRY_AFTER, by_ai_rate_limiting
from kong_eventhooks_plugin.sources.requests.infer import InferRule, InferRules
from kong_eventhooks_plugin.sources.requests.plugin_answers import (
    AI_RATE_LIMITING_ADVANCED,
    KONGS_OWN,
    NEVER,
    RATE_LIMITING,
    RATE_LIMITING_ADVANCED,
    RESPONSE_RATE_LIMITING,
    SERVICE_PROTECTION,
    TOO_MANY_REQUESTS,
    Answers,
    read_plugin,
)
from kong_eventhooks_plugin.sources.requests.plugin_limits import Limit
from kong_eventhooks_plugin.sources.requests.rate_headers import (
    ExceededLimit,
    by_enterprise,
    by_rate_limiting,
    by_response_rate_limiting,
    shows_limits,
)

if TYPE_CHECKING:
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog

Known = tuple[Answers, ...] | None
"""The plugins on a request, None where they are unknown."""

_Reader = Callable[["KongLog", Collection[Limit]], ExceededLimit | None]

WINDOW_PLUGINS: Final = frozenset((RATE_LIMITING, RATE_LIMITING_ADVANCED, SERVICE_PROTECTION))
"""They write the same headers, by window."""
_ENTERPRISE = frozenset((RATE_LIMITING_ADVANCED, SERVICE_PROTECTION))


class LimitVerdict(NamedTuple):
    """An exceeded limit: whose, which one (None: unknown), the evidence, and the plugin's way to count (AI)."""

    source: str
    exceeded: ExceededLimit | None
    attributed: Literal["headers", "plugins", "inferred"]
    strategy: str | None = None


_verdict_of = lru_cache(maxsize=256)(LimitVerdict)
"""As ``rate_headers`` keeps exceeded limits."""


class Attribution:
    """``rules`` are the setting's; ``plugins`` those that run, by default unknown.

    One for all the sources: each of them needs the verdict on each refusal, and clients decide how many there are, so
    the last request's verdict is kept until the next request.
    """

    def __init__(self, rules: Collection[InferRule] = (), plugins: ActivePlugins[Answers] | None = None) -> None:
        self._rules = InferRules(rules)
        self._plugins = plugins or ActivePlugins(read_plugin)
        self._last: tuple[KongLog, int, LimitVerdict | None] | None = None

    def statuses(self, source: str) -> frozenset[int]:
        """Return the statuses that can be an exceeded limit of the source, as far as is known now."""
        found = self.plugin_statuses(source) | {TOO_MANY_REQUESTS}
        return found | self._rules.statuses if source == RATE_LIMITING else found

    def plugin_statuses(self, plugin: str) -> frozenset[int]:
        """Return what a plugin is configured to answer with, on any request."""
        mine = [each for each in self._plugins.every() if each.plugin == plugin]
        return frozenset().union(*((each.before or NEVER) | (each.after or NEVER) for each in mine))

    def verdict(self, log: "KongLog", status: int) -> LimitVerdict | None:
        """Return which limit the answer says is exceeded, None where it says nothing of the kind."""
        last = self._last
        if last is not None and last[0] is log and last[1] == status:
            return last[2]
        found = self._verdict(log, status) if log.source == "kong" else None
        self._last = (log, status, found)
        return found

    def active_plugins(self, log: "KongLog") -> Known:
        service, route, consumer = log.service, log.route, log.consumer
        return self._plugins.on(
            log.workspace_name,
            None if service is None else service.id,
            None if route is None else route.id,
            None if consumer is None else consumer.id,
        )

    def is_refusal(self, log: "KongLog", status: int) -> bool:
        """Return whether a rate-limiting plugin can have given this answer instead of asking the service."""
        if log.source != "kong" or log.asked_service:
            return False
        known = self.active_plugins(log) or ()
        able = any(each.meaning == "limit" and each.can_answer(status, asked=False) for each in known)
        if able or status == TOO_MANY_REQUESTS or self.verdict(log, status) is not None:
            return True
        return by_enterprise(log) is not None

    def is_exceeded_limit(self, log: "KongLog", status: int) -> bool:
        """Return whether the answer is one, so that it is no event of a source with another purpose as well.

        Headers that no plugin can have forged count here on any status: where the plugins are unknown, an
        ``error_code`` is, too.
        """
        if self.verdict(log, status) is not None:
            return True
        if _forgeable(self.active_plugins(log) or (), status, asked=log.asked_service):
            return False
        return by_enterprise(log) is not None or by_ai_rate_limiting(log) is not None

    def _verdict(self, log: "KongLog", status: int) -> LimitVerdict | None:
        known = self.active_plugins(log)
        if self._rules.statuses and self._rules.name(status, log.scope):
            return _judge(log, status, known, named=True) or _by_rule(log, status, known)
        last, answer = log.last_verdict, (status, log.asked_service, known)
        if not last or last[0] != answer:  # in a flood most answers' headers say what others' said, in a fifth
            last[:] = answer, _judge(log, status, known, named=False)
        found: LimitVerdict | None = last[1]
        return found


HEADERS_ALONE: Final = Attribution()
"""For a sidecar that knows no plugins and has no rules."""


def _judge(log: "KongLog", status: int, known: Known, *, named: bool) -> LimitVerdict | None:
    proven = _after(log, status, known) if log.asked_service else _before(log, status, known, named=named)
    return proven or _by_plugins(log, status, known)


def _after(log: "KongLog", status: int, known: Known) -> LimitVerdict | None:
    if status != TOO_MANY_REQUESTS:
        return None
    exceeded = _proven(by_response_rate_limiting, log, status, known, frozenset((RESPONSE_RATE_LIMITING,)))
    return exceeded and LimitVerdict(RESPONSE_RATE_LIMITING, exceeded, "headers")


def _before(log: "KongLog", status: int, known: Known, *, named: bool) -> LimitVerdict | None:
    """Return what the headers of an answer before the service was asked prove."""
    able = known and [each for each in known if each.meaning == "limit" and each.can_answer(status, asked=False)]
    if not (status == TOO_MANY_REQUESTS or named or able):
        return None
    enterprise = able and any(each.plugin in _ENTERPRISE for each in able)
    exceeded = _proven(by_enterprise if enterprise else by_rate_limiting, log, status, known, WINDOW_PLUGINS)
    if exceeded is None or RETRY_AFTER in log.response.headers:
        of_ai = by_ai_rate_limiting(log)
        can_be = not _forgeable(known or (), status, asked=False) or any(
            each.plugin == AI_RATE_LIMITING_ADVANCED for each in able or ()
        )
        if of_ai is not None and can_be:
            return _of_ai(of_ai, able or ())
    return exceeded and _verdict_of(_owner(exceeded, able) if able else RATE_LIMITING, exceeded, "headers")


def _proven(read: _Reader, log: "KongLog", status: int, known: Known, plugins: frozenset[str]) -> ExceededLimit | None:
    """Return the exceeded limit in headers that one of ``plugins`` has written, as far as is known."""
    if known is None:
        return read(log, ())
    asked = log.asked_service
    writers = [
        each
        for each in known
        if each.plugin in plugins
        and (each.shows_after if asked else each.shows_before)
        and each.can_answer(status, asked=asked)
    ]
    if any(not each.limits for each in writers):
        return read(log, ())
    configured = [limit for each in writers for limit in each.limits]
    found = read(log, configured) if configured else None
    return found or (None if _forgeable(known, status, asked=asked) else read(log, ()))


def _forgeable(known: Collection[Answers], status: int, *, asked: bool) -> bool:
    """Return whether a plugin can have written another's headers on such an answer."""
    return any(each.edits or (each.meaning == "unknown" and each.can_answer(status, asked=asked)) for each in known)


def _of_ai(exceeded: ExceededLimit, able: Collection[Answers]) -> LimitVerdict:
    """Complete what the headers hide from the configuration, where there is one configuration."""
    mine = [each for each in able if each.plugin == AI_RATE_LIMITING_ADVANCED]
    if len(mine) != 1:
        return LimitVerdict(AI_RATE_LIMITING_ADVANCED, exceeded, "headers")
    if exceeded.limit is None:
        limits = [
            each.limit for each in mine[0].limits if (each.window, _low(each.name)) == (exceeded.window, exceeded.name)
        ]
        exceeded = exceeded._replace(limit=limits[0] if len(limits) == 1 else None)
    return LimitVerdict(AI_RATE_LIMITING_ADVANCED, exceeded, "headers", mine[0].strategy)


def _low(name: str | None) -> str | None:
    """Return a name as headers have it: theirs come in lower case."""
    return None if name is None else name.lower()


def _owner(exceeded: ExceededLimit, able: Collection[Answers]) -> str:
    showing = [each for each in able if each.plugin in WINDOW_PLUGINS and each.shows_before]
    names = {each.plugin for each in showing}
    if len(names) > 1:
        names = {
            each.plugin
            for each in showing
            if any((limit.limit, limit.window) == (exceeded.limit, exceeded.window) for limit in each.limits)
        }
    return names.pop() if len(names) == 1 else RATE_LIMITING


def _by_plugins(log: "KongLog", status: int, known: Known) -> LimitVerdict | None:
    """Return the verdict where only one plugin can have given an answer without proving headers."""
    if known is None or status in KONGS_OWN:
        return None
    asked = log.asked_service
    edited = any(each.edits for each in known)
    able = [each for each in known if (each.can_answer if edited else each.can_answer_silently)(status, asked=asked)]
    if len({each.plugin for each in able}) != 1 or able[0].meaning != "limit":
        return None
    return LimitVerdict(able[0].plugin, _only_limit(able), "plugins", able[0].strategy if len(able) == 1 else None)


def _only_limit(able: Collection[Answers]) -> ExceededLimit | None:
    limits = {each.limits for each in able}
    if len(limits) != 1:
        return None
    (only,) = limits
    return ExceededLimit(only[0].limit, only[0].window, _low(only[0].name)) if len(only) == 1 else None


def _by_rule(log: "KongLog", status: int, known: Known) -> LimitVerdict | None:
    asked = log.asked_service
    if asked and status != TOO_MANY_REQUESTS:  # response-ratelimiting has no other
        return None
    if not asked and status != TOO_MANY_REQUESTS and shows_limits(log):  # headers that leave room
        return None
    names = {each.plugin for each in known or () if each.meaning == "limit" and each.can_answer(status, asked=asked)}
    otherwise = RESPONSE_RATE_LIMITING if asked else RATE_LIMITING
    return LimitVerdict(names.pop() if len(names) == 1 else otherwise, None, "inferred")

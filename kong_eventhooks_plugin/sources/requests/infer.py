"""The setting ``infer_rate_limits_on``: this status on this route or service is an exceeded rate limit.

Kong's rate-limiting can hide its headers and can answer with any status; then nothing in the answer distinguishes
it from request-termination or a function of the user's. Only the one who configured both knows.
"""

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.sources.requests.plugin_answers import TOO_MANY_REQUESTS

if TYPE_CHECKING:
    from kong_eventhooks_plugin.model.scope import EventScope

Entity = Literal["route", "service"]

_FORM: Final = re.compile(r"(?P<entity>route|service):(?P<name>[^:@\s]+)(?:@(?P<status>[0-9]{3}))?")
"""Kong's names hold neither colon nor at sign, and its answers have a status of 100 to 599."""


class InferRule(NamedTuple):
    """Kong's own answer with ``status`` on this entity is an exceeded rate limit, unless its headers say otherwise."""

    entity: Entity
    name_or_id: str
    status: int = TOO_MANY_REQUESTS


def parse_infer_rule(text: str) -> InferRule:
    """Read ``route:NAME``, ``service:NAME`` or either with ``@STATUS``. Raises ``SettingsError``."""
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise SettingsError(
            f"{text!r} names no route or service: write route:NAME or service:NAME (a name or an id), "
            f"with a status other than {TOO_MANY_REQUESTS} route:NAME@503"
        )
    status = int(form["status"] or TOO_MANY_REQUESTS)
    if not 100 <= status <= 599:
        raise SettingsError(f"{text!r}: {status} is no HTTP status, expected 100 to 599")
    return InferRule(cast("Entity", form["entity"]), form["name"], status)


class InferRules:
    def __init__(self, rules: Collection[InferRule]) -> None:
        self._rules = frozenset(rules)
        self.statuses = frozenset(rule.status for rule in rules)

    def name(self, status: int, scope: "EventScope") -> bool:
        """Return whether a rule names this status on the request's route or service."""
        rules = [InferRule("route", alias, status) for alias in scope.route]
        rules += [InferRule("service", alias, status) for alias in scope.service]
        return not self._rules.isdisjoint(rules)

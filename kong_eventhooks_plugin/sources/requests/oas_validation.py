"""The source ``oas-validation``: Kong Enterprise's plugin of that name refused a request or a service's answer.

From its public documentation (developer.konghq.com/plugins/oas-validation and its configuration reference); no
open-source Kong has the plugin, so nothing here is recorded. It refuses a request with 400 before the service is
asked, and an answer with 406 after that where ``validate_response_body`` is set; ``verbose_response`` changes the
answer's body alone, which the log phase does not have. Where it only notifies, it answers nothing, and nothing is seen.

Kong and other plugins answer 400 as well. So the event needs to know the plugins: oas-validation is in force on the
request, and no other plugin that is can have answered so. Kong's own 400s come before it has matched a route.
"""

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.requests.active_plugins import (
    NO_ACTIVE_PLUGINS,
    ActivePluginLookup,
    active_plugins_on,
    statuses_of,
)
from kong_eventhooks_plugin.sources.requests.catalogue import OAS_VALIDATION as ENTRY
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog
from kong_eventhooks_plugin.sources.requests.request_event import (
    client_and_service,
    event_kind,
    request_event,
    route_and_request,
)

_EVENT = event_kind(ENTRY)


class OasValidation:
    """Hears what instances of the plugin can answer with; nothing where there is none."""

    name = ENTRY.name

    def __init__(self, plugins: ActivePluginLookup = NO_ACTIVE_PLUGINS) -> None:
        self._plugins = plugins

    def statuses(self) -> frozenset[int]:
        """Return 400, 406, both or none; it changes with the plugins."""
        return statuses_of(self.name, self._plugins)

    def events(self, log: KongLog, seen: LogObservation) -> list[Event]:
        """Return the event, or nothing."""
        if log.source != "kong" or log.route is None:
            return []
        asked = log.asked_service
        known = active_plugins_on(log, self._plugins) or ()
        if {each.plugin for each in known if each.can_answer(seen.status, asked=asked)} != {self.name}:
            return []
        data = {
            **client_and_service(log),
            "err": None,
            "phase": "response" if asked else "request",
            "status": seen.status,
            **route_and_request(log),
        }
        return [request_event(_EVENT, log, seen.seen_at, data)]

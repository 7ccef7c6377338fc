"""The source ``oas-validation``: Kong Enterprise's plugin of that name refused a request or a service's answer.

From its public documentation (developer.konghq.com/plugins/oas-validation and its configuration reference); no
open-source Kong has the plugin, so nothing here is recorded. It refuses a request with 400 before the service is
asked, and an answer with 406 after that where ``validate_response_body`` is set; ``verbose_response`` changes the
answer's body alone, which the log phase does not have. Where it only notifies, it answers nothing, and nothing is seen.

Kong and other plugins answer 400 as well. So the event needs the node's plugins: oas-validation runs on the request,
and no other plugin that does can have answered so. Kong's own 400s come before it has matched a route.
"""

from typing import TYPE_CHECKING

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, SourceEntry
from kong_eventhooks_plugin.sources.requests import fields
from kong_eventhooks_plugin.sources.requests.plugin_answers import OAS_VALIDATION
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource

if TYPE_CHECKING:
    from kong_eventhooks_plugin.model.event import Event
    from kong_eventhooks_plugin.model.observation import LogObservation
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog

ENTRY = SourceEntry(
    OAS_VALIDATION,
    "Kong Enterprise's oas-validation plugin refused a request, or a service's answer.",
    "0.1.0",
    (
        EventEntry(
            "validation-failed",
            "A request or an answer does not match the API specification.",
            (
                fields.CONSUMER,
                fields.IP,
                fields.SERVICE,
                EventField(
                    "err",
                    "null: the error is in the answer's body only (with `verbose_response`), which Kong's log lacks.",
                    kind="text",
                ),
                EventField("phase", "`request` for a refused request, `response` for a refused answer.", "request"),
                EventField("status", "The client's status: 400 or 406.", 400),
                fields.ROUTE,
                fields.REQUEST,
                fields.NODE,
            ),
            fields.CLIENT_AND_SERVICE,
        ),
    ),
    notes=(
        (
            "It needs the setting `admin_url`: the event requires that the plugin runs on the request and no other "
            "plugin that does can have answered so. A refused request is a 400 that Kong answered before it asked the "
            "service, a refused answer a 406 after that (with `validate_response_body`)."
        ),
        (
            "With `notify_only_request_validation_failure` and `notify_only_response_body_validation_failure` Kong "
            "Enterprise itself has an event and lets the request pass: nothing of it is visible here."
        ),
        fields.NOT_TRIED,
    ),
    needs_admin_api=True,
)


class OasValidation(RequestSource):
    entry = ENTRY

    def statuses(self) -> frozenset[int]:
        """Return 400, 406, both or none: what the plugin's instances can answer with."""
        return self._attribution.plugin_statuses(self.name)

    def events(self, log: "KongLog", seen: "LogObservation") -> "list[Event]":
        if log.source != "kong" or log.route is None:
            return []
        asked = log.asked_service
        known = self._attribution.active_plugins(log) or ()
        if {each.plugin for each in known if each.can_answer(seen.status, asked=asked)} != {self.name}:
            return []
        own = {"err": None, "phase": "response" if asked else "request", "status": seen.status}
        return [self.event(log, seen, own)]

"""The source ``service-protection``: Kong Enterprise's plugin of that name refused a request.

It is about a service, whoever asks: its events have no consumer and no address. They need the node's plugins: its
headers alone do not distinguish it from rate-limiting.
"""

from kong_eventhooks_plugin.sources.entry import EventEntry, SourceEntry
from kong_eventhooks_plugin.sources.requests import fields
from kong_eventhooks_plugin.sources.requests.limit_source import LimitSource
from kong_eventhooks_plugin.sources.requests.plugin_answers import SERVICE_PROTECTION

ENTRY = SourceEntry(
    SERVICE_PROTECTION,
    "Kong Enterprise's service-protection plugin refused a request.",
    "0.1.0",
    (
        EventEntry(
            fields.RATE_LIMIT_EXCEEDED,
            "All clients together exceeded a service's limit.",
            (
                fields.SERVICE, fields.RATE, fields.LIMIT, fields.WINDOW, fields.ROUTE, fields.REQUEST, fields.NODE,
                fields.RETRY_AFTER, fields.ATTRIBUTED,
            ),
            ("service",),
            fields.LIMIT_API_DESCRIPTION,
        ),
    ),
    notes=(
        (
            "Its response headers are those of rate-limiting, so it needs the setting `admin_url`, which shows where "
            "the plugin runs on the service. Where rate-limiting or rate-limiting-advanced runs beside it, the event "
            "belongs to the one whose configuration has the exceeded limit."
        ),
        fields.HIDDEN_HEADERS,
        fields.NOT_TRIED,
    ),
    needs_admin_api=True,
)  # fmt: skip


class ServiceProtection(LimitSource):
    entry = ENTRY

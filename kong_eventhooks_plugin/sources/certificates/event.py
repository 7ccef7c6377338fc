"""The source ``certificate``: a certificate that Kong uses expires soon, or that one was replaced. Ours alone.

An event for each threshold that it has crossed. The id's time is when that was seen, not when the certificate expires:
ids sort by time, and one of the future would stay the newest.
"""

import math
from typing import Final

from msgspec.structs import asdict

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.sources.certificates.catalogue import CERTIFICATE, ENTRY
from kong_eventhooks_plugin.sources.certificates.model import Certificate
from kong_eventhooks_plugin.sources.state import state_of

_DAY: Final = 86_400
_ENTRIES: Final = {entry.name: entry for entry in ENTRY.events}


def certificate_event(name: str, certificate: Certificate, threshold: int, at: float) -> Event:
    """Return the event of a certificate ``at`` a time; ``threshold`` is the last that it reached (0: expired)."""
    data = {
        **asdict(certificate),
        "snis": list(certificate.snis),
        "not_after": int(certificate.not_after),
        "days_left": math.floor((certificate.not_after - at) / _DAY),
        "threshold": threshold,
    }
    data |= state_of(CERTIFICATE, _ENTRIES[name], data)
    identity = event_id(at, CERTIFICATE, name, certificate.kind, certificate.fingerprint, str(threshold))
    return Event(id=identity, source=CERTIFICATE, event=name, data=data, time=at)

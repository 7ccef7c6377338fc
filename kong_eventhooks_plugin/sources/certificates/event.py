"""The source ``certificate``: a certificate that Kong uses expires soon. Ours alone.

An event for each threshold that it has crossed. The id's time is when that was seen, not when the certificate expires:
ids sort by time, and one of the future would stay the newest.
"""

import math
from typing import Final

from msgspec.structs import asdict

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.ids import event_id
from kong_eventhooks_plugin.sources.certificates.catalogue import CERTIFICATE, EXPIRING
from kong_eventhooks_plugin.sources.certificates.model import Certificate

_DAY: Final = 86_400


def expiring_event(certificate: Certificate, threshold: int, at: float) -> Event:
    """Return the event for no more than ``threshold`` days (0: expired) at the time ``at``."""
    data = {
        **asdict(certificate),
        "snis": list(certificate.snis),
        "not_after": int(certificate.not_after),
        "days_left": math.floor((certificate.not_after - at) / _DAY),
        "threshold": threshold,
    }
    identity = event_id(at, CERTIFICATE, EXPIRING, certificate.kind, certificate.fingerprint, str(threshold))
    return Event(id=identity, source=CERTIFICATE, event=EXPIRING, data=data, time=at)

"""Which threshold of days a certificate has crossed, and whether that is a new event. Pure.

A certificate is its fingerprint: a renewed one is another, with events of its own. The same one in several entities has
its events once. Crossed is the smallest threshold that is not below the remaining days; 0 is always one: the
certificate has expired. The first poll of one that has crossed several is an event for the last of them alone.
"""

from collections.abc import Collection, Mapping
from typing import Final

from kong_eventhooks_plugin.sources.certificates.model import Certificate

EXPIRED: Final = 0
_DAY: Final = 86_400.0


def crossed(not_after: float, now: float, thresholds: Collection[int]) -> int | None:
    """Return the smallest of the thresholds (days; and 0) that is crossed, None where none is; Unix seconds."""
    left = (not_after - now) / _DAY
    return min((each for each in {*thresholds, EXPIRED} if left <= each), default=None)


def newly_crossed(
    certificate: Certificate, notified: Mapping[str, int], thresholds: Collection[int], now: float
) -> int | None:
    """Return the threshold for a new event; ``notified`` is the last one with an event, by ``identity``."""
    threshold = crossed(certificate.not_after, now, thresholds)
    if threshold is None:
        return None
    last = notified.get(identity(certificate))
    return threshold if last is None or threshold < last else None


def identity(certificate: Certificate) -> str:
    """Return what distinguishes certificates: a CA certificate of the same content is another one."""
    return f"{certificate.kind}/{certificate.fingerprint}"

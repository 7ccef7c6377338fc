"""Which threshold of days a certificate has crossed, and whether that is news. Pure.

A certificate is its fingerprint: renewed, it is another one, and is told anew. The same one in several entities is
told once. Crossed is the smallest threshold that leaves room for the days that are left; 0 is always one: the
certificate has ended. Who looks for the first time at one that has crossed several is told the last of them alone.
"""

from collections.abc import Collection, Mapping
from typing import Final

from kong_eventhooks_plugin.sources.certificates.model import Certificate

ENDED: Final = 0
_DAY: Final = 86_400.0


def crossed(not_after: float, now: float, thresholds: Collection[int]) -> int | None:
    """Return the smallest of the thresholds (days; and 0) that is crossed, None where none is; Unix seconds."""
    left = (not_after - now) / _DAY
    return min((each for each in {*thresholds, ENDED} if left <= each), default=None)


def newly_crossed(
    certificate: Certificate, told: Mapping[str, int], thresholds: Collection[int], now: float
) -> int | None:
    """Return the threshold to tell of a certificate; ``told`` is the last one told, by ``identity``."""
    threshold = crossed(certificate.not_after, now, thresholds)
    if threshold is None:
        return None
    last = told.get(identity(certificate))
    return threshold if last is None or threshold < last else None


def identity(certificate: Certificate) -> str:
    """Return what tells certificates apart: a CA certificate of the same content is another one."""
    return f"{certificate.kind}/{certificate.fingerprint}"

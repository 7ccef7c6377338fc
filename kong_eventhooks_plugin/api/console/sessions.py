"""Who is logged in to the console: sessions, the tokens of their forms, and attempts to log in.

A session is a random number in a cookie, and a row here; it ends with the process. A form holds a token that is made of
that number with a key of the process, so that a page that cannot read the cookie cannot make it. Where the API has no
admin token nobody logs in: a visitor has a number with its own proof in it, and no row.

Limits: ``SESSIONS`` sessions, for one more the oldest ends; each ends ``SESSION_SECONDS`` after the login. An address
may fail to log in ``FAILURES`` times in ``WINDOW_SECONDS``; of what comes then only the right token is taken.
``ADDRESSES`` addresses are remembered, for one more the oldest is forgotten.
"""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Callable
from typing import Final

SESSIONS: Final = 256
SESSION_SECONDS: Final = 12 * 3_600.0
FAILURES: Final = 10
WINDOW_SECONDS: Final = 300.0
ADDRESSES: Final = 1_024

_LONGEST: Final = 200


class Sessions:
    """``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._key = secrets.token_bytes(32)
        self._ends: dict[str, float] = {}

    def open(self) -> str:
        """Return the number of a new session."""
        if len(self._ends) >= SESSIONS:
            del self._ends[next(iter(self._ends))]
        number = secrets.token_urlsafe(32)
        self._ends[number] = self._monotonic() + SESSION_SECONDS
        return number

    def is_open(self, number: str) -> bool:
        ends = self._ends.get(number)
        if ends is not None and ends <= self._monotonic():
            del self._ends[number]
            return False
        return ends is not None

    def close(self, number: str) -> None:
        self._ends.pop(number, None)

    def visitor(self) -> str:
        """Return the number of somebody who is not logged in."""
        number = secrets.token_urlsafe(32)
        return f"{number}.{self._proof('visitor', number)}"

    def is_visitor(self, number: str) -> bool:
        random, _, proof = number.partition(".")
        return (
            len(number) <= _LONGEST and number.isascii() and hmac.compare_digest(proof, self._proof("visitor", random))
        )

    def form_token(self, number: str) -> str:
        """Return what each form of that session or visitor holds."""
        return self._proof("form", number)

    def fits(self, number: str, token: str) -> bool:
        return token.isascii() and hmac.compare_digest(token, self.form_token(number))

    def _proof(self, purpose: str, number: str) -> str:
        return hmac.new(self._key, f"{purpose} {number}".encode(), hashlib.sha256).hexdigest()


class LoginAttempts:
    """``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failed: dict[str, list[float]] = {}

    def wait(self, address: str) -> float:
        """Return for how many seconds that address has to wait; 0: it has not."""
        recent = self._recent(network_of(address))
        return 0.0 if len(recent) < FAILURES else recent[0] + WINDOW_SECONDS - self._monotonic()

    def failed(self, address: str) -> None:
        network = network_of(address)
        recent = [*self._recent(network), self._monotonic()]
        self._failed.pop(network, None)
        if len(self._failed) >= ADDRESSES:
            del self._failed[next(iter(self._failed))]
        self._failed[network] = recent[-FAILURES:]

    def succeeded(self, address: str) -> None:
        self._failed.pop(network_of(address), None)

    def _recent(self, network: str) -> list[float]:
        begin = self._monotonic() - WINDOW_SECONDS
        return [at for at in self._failed.get(network, ()) if at > begin]


def network_of(address: str) -> str:
    """Return an address, of IPv6 its network: whoever has one address there has all of them."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if parsed.version == 4:
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))

"""What goes wrong in an HTTP client: aiohttp's exceptions as error classes and texts. Nothing else maps them.

The texts are ours: aiohttp's can quote a URL, or bytes that a peer sent.
"""

import errno
import os
import ssl
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from kong_eventhooks_plugin.errors import HttpError, HttpErrorClass


class AnswerOverrun(aiohttp.ClientPayloadError):
    """An answer is past a limit of ``http_protocol``; the text says which."""


HTTP_ERRORS: Final = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError, RuntimeError)
"""All that aiohttp raises."""


def http_error(error: BaseException, peer: str) -> HttpError:
    """Return our exception for one of aiohttp's; ``peer`` is who may have closed the connection."""
    if isinstance(error.__cause__, ssl.SSLError):  # an alert after the handshake, in TLS 1.3 the usual one
        error = error.__cause__
    if getattr(error, "errno", None) in _OURS:
        return HttpError("internal", _no_connection(error, peer))
    kind, text = next((kind, text) for matches, kind, text in _TABLE if isinstance(error, matches))
    return HttpError(kind, text if isinstance(text, str) else text(error, peer))


def _no_connection(error: Any, peer: str) -> str:
    return f"no connection: {_os_text(error, peer)}"


def _no_proxy(error: Any, _peer: str) -> str:
    return f"no connection to the proxy: {_os_text(error, 'the proxy')}"


def _proxy_answer(error: Any, _peer: str) -> str:
    return f"the proxy makes no connection: it answered {error.status}"


def _broken(error: Any, peer: str) -> str:
    return f"the connection broke: {_os_text(error, peer)}"


def _os_text(error: Any, peer: str) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) and number > 0 else f"closed by {peer}"


def _tls(error: Any, peer: str) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate refused: {cause.verify_message}"
    reason = getattr(cause, "reason", None) or "handshake"
    said = next((f"{peer} {text}" for part, text in _TLS_REASONS.items() if part in reason), reason)
    return f"TLS failed: {said}"


def _overrun(error: Any, peer: str) -> str:
    return f"{peer} sent {error}"


_TLS_REASONS: Final = {
    "CERTIFICATE_REQUIRED": "asks for a client certificate",
    "WRONG_VERSION_NUMBER": "does not speak TLS; is its URL http://?",
}
"""OpenSSL's reasons in words."""

_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What this process or this machine lacks: no fault of the peer's."""

_Row = tuple[tuple[type[BaseException], ...], HttpErrorClass, str | Callable[[Any, str], str]]
_TABLE: Final[tuple[_Row, ...]] = (
    ((aiohttp.ConnectionTimeoutError,), "timeout", "no connection in time"),
    ((TimeoutError,), "timeout", "no answer in time"),
    ((aiohttp.ClientSSLError, ssl.SSLError), "tls", _tls),
    ((aiohttp.ClientConnectorDNSError,), "connect", "the host's name was not resolved"),
    ((aiohttp.ClientProxyConnectionError,), "connect", _no_proxy),
    ((aiohttp.ClientConnectorError,), "connect", _no_connection),
    ((aiohttp.ClientHttpProxyError,), "connect", _proxy_answer),
    ((AnswerOverrun,), "protocol", _overrun),
    (
        (aiohttp.ClientPayloadError, aiohttp.ClientResponseError, HttpProcessingError),
        "protocol",
        "the answer is not HTTP",
    ),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), "config", "the URL cannot be dialled"),
    ((aiohttp.ClientConnectionError, OSError), "connection", _broken),
    # aiohttp's own last check of header names and values; anything that it may raise in versions to come.
    ((BaseException,), "config", "the request cannot be sent"),
)
"""First match first: special cases come before general ones."""

"""TLS of the API's clients: whom they trust, and the certificate that they show."""

import ssl
from typing import Final, NamedTuple

from kong_eventhooks_plugin.errors import RemoteError


class ClientTls(NamedTuple):
    """Paths. ``cacert``: the authority to trust, else the system's.

    ``pinned`` is the certificate that the server has, whatever names it holds: of a sidecar whose settings are known.
    ``cert`` and ``key`` are the client's own.
    """

    cacert: str | None = None
    pinned: str | None = None
    cert: str | None = None
    key: str | None = None


NO_AUTHORITIES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For plain HTTP: httpx would read the system's authorities, which takes longer than a call."""


def client_context(tls: ClientTls, *, verify: bool = True) -> ssl.SSLContext:
    """Return a context; ``verify`` false: any server will do. Raises ``RemoteError``."""
    trusted = tls.pinned or tls.cacert
    try:
        if verify and tls.pinned is None:
            context = ssl.create_default_context(cafile=trusted)
        else:
            context = _without_names(tls.pinned if verify else None)
    except OSError as error:
        raise RemoteError(f"{'api_tls_cert' if tls.pinned else '--cacert'} {trusted}: {_why(error)}") from error
    if tls.cert is not None:
        try:
            context.load_cert_chain(tls.cert, tls.key)
        except OSError as error:
            raise RemoteError(f"--cert {tls.cert}, --key {tls.key or tls.cert}: {_why(error)}") from error
    return context


def _without_names(pinned: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if pinned is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it need not be an authority
        context.load_verify_locations(pinned)
    return context


def tls_advice(error: BaseException) -> str | None:
    """Return what to do where an error, or what caused it, is of TLS; else None."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message}); name its authority with --cacert"
    return _ADVICE.get(cause.reason or "", f"TLS failed ({cause.reason})")


OWN: Final = "name one with --cert and --key, from an authority of the setting api_tls_client_ca"
_ADVICE: Final = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS; is its address http://?",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": f"it asks for a certificate; {OWN}",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": f"it refuses the connection; where it asks for a certificate, {OWN}",
    "TLSV1_ALERT_UNKNOWN_CA": f"it does not know who signed the certificate; {OWN}",
}


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "the key is not the certificate's" if error.reason == "KEY_VALUES_MISMATCH" else "is not PEM"
    return error.strerror or str(error)

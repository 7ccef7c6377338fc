"""The files that settings name, and what is in them. ``serve`` reads them before it becomes the supervisor.

So a start with a wrong one ends with its error, before a socket is bound or taken over; a worker reads them anew. This
module imports little, since nobody listens to Kong meanwhile: it is read and has run in some 10 ms.

Not checked: what is watched, and may come or be repaired later. That is ``kong_yml``, ``kong_error_log`` and the
certificates of endpoints; /readyz says what is wrong with them.
"""

import ssl
from dataclasses import fields
from typing import Final, NamedTuple

from kong_eventhooks_plugin.api.service.access import TOKEN_SETTING, check_token, require_token_beyond_loopback
from kong_eventhooks_plugin.api.transport.tls import server_context, tls_files
from kong_eventhooks_plugin.settings import ADDRESSES, Settings, read_token

CREDENTIALS: Final = tuple(each.name for each in fields(Settings) if each.name.endswith("_file"))
"""The settings that name a file with a credential."""


def check(settings: Settings) -> None:
    """Raise ``SettingsError`` where a file cannot be used, or the API would be open to other machines."""
    for name in CREDENTIALS:
        read_token(getattr(settings, name), name)
    check_addresses(settings, api_token(settings))
    api_tls(settings)


def check_addresses(settings: Settings, token: str | None) -> None:
    """Raise ``SettingsError`` where an address of the API needs a token and there is none."""
    for name in ADDRESSES:
        address = getattr(settings, name)
        if address is not None:
            require_token_beyond_loopback(address, token, name)


def api_token(settings: Settings) -> str | None:
    """Return the API's token, None without one. Raises ``SettingsError``."""
    token = read_token(settings.api_token_file, TOKEN_SETTING)
    if token is not None:
        check_token(token)
    return token


class ApiTls(NamedTuple):
    """The TLS of each address; None: without."""

    rest: ssl.SSLContext | None
    grpc: ssl.SSLContext | None


def api_tls(settings: Settings) -> ApiTls:
    files = tls_files(settings.api_tls_cert, settings.api_tls_key, settings.api_tls_client_ca)
    if files is None:
        return ApiTls(None, None)
    return ApiTls(server_context(files, "http/1.1"), server_context(files, "h2"))

"""Starts the gRPC door; the one module of it that may be imported without importing grpc."""

from typing import Protocol

from kong_eventhooks_plugin.api.service.access import require_token_beyond_loopback
from kong_eventhooks_plugin.api.service.service import Service


class Served(Protocol):
    """A door that is open on ``port``."""

    port: int

    async def stop(self, grace: float) -> None:
        """Close it: watchers are told at once, calls under way have ``grace`` seconds."""


async def serve_grpc(service: Service, listen: str, token: str | None = None) -> Served:
    """Open the door on ``listen`` (``host:port``; port 0: a free one). ``token`` None: whoever reaches it is trusted.

    Raises ``SettingsError`` for an address that needs a token and a token that is none, ``OSError`` where the address
    cannot be had.
    """
    require_token_beyond_loopback(listen, token, "grpc_listen")
    from kong_eventhooks_plugin.api.grpc.server import open_server

    return await open_server(service, listen, token)

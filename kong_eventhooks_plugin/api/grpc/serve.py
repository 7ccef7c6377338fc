"""Starts the gRPC server; the one module of it that does not import grpc."""

from typing import Protocol

from kong_eventhooks_plugin.api.service.access import Access, require_token_beyond_loopback
from kong_eventhooks_plugin.api.service.service import Service


class Served(Protocol):
    """A server that listens on ``port``."""

    port: int

    async def stop(self, grace: float) -> None:
        """End watches at once, calls in progress after ``grace`` seconds."""


async def serve_grpc(service: Service, listen: str, token: str | None = None) -> Served:
    """Listen on ``listen`` (``host:port``; port 0: a free one). ``token`` None: every caller is trusted.

    Raises ``SettingsError`` where the address needs a token or the token is invalid, and ``OSError``.
    """
    require_token_beyond_loopback(listen, token, "grpc_listen")
    from kong_eventhooks_plugin.api.grpc.server import GrpcServer

    server = GrpcServer(service, Access(token))
    await server.open(listen)
    return server

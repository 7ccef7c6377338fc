"""Starts the gRPC server; the one module of it that does not import grpc."""

import asyncio
import os
from typing import TYPE_CHECKING

import structlog

from kong_eventhooks_plugin.api.service.access import Access, require_token_beyond_loopback
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.background import retry

if TYPE_CHECKING:
    from kong_eventhooks_plugin.api.grpc.server import GrpcServer

GRACE_SECONDS = 1.0

log = structlog.get_logger()


async def serve_grpc(service: Service, listen: str, token: str | None = None) -> "GrpcServer":
    """Listen on ``listen`` (``host:port``; port 0: a free one). ``token`` None: every caller is trusted.

    Raises ``SettingsError`` where the address needs a token or the token is invalid, and ``OSError``.
    """
    require_token_beyond_loopback(listen, token, "grpc_listen")
    from kong_eventhooks_plugin.api.grpc.server import GrpcServer

    server = GrpcServer(service, Access(token))
    await server.open(listen)
    return server


async def run_grpc(service: Service, listen: str, token: str | None) -> None:
    """Serve until cancelled, once nobody else does on the address. Raises ``SettingsError``."""
    # We fork for the sandbox and exec at once: gRPC's fork handlers have nothing to do, and would write log lines.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    served = await retry(
        lambda: serve_grpc(service, listen, token),
        (OSError,),
        lambda error: log.warning("address_in_use", setting="grpc_listen", error=error),
    )
    log.info("grpc_listening", port=served.port)
    try:
        await asyncio.Event().wait()
    finally:
        await served.stop(GRACE_SECONDS)

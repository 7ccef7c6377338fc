"""Starts the gRPC server, and imports grpc only then."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.service import Service
from kong_eventhooks_plugin.api.transport.listener import Listener
from kong_eventhooks_plugin.background import retry

if TYPE_CHECKING:
    from kong_eventhooks_plugin.api.grpc.server import GrpcServer

GRACE_SECONDS = 1.0

log = structlog.get_logger()


def grpc_server(service: Service, access: Access, listener: Listener, folder: Path) -> "GrpcServer":
    """Return a server to ``open``. It makes a socket in ``folder``, and removes it when it is open."""
    from kong_eventhooks_plugin.api.grpc.server import GrpcServer

    return GrpcServer(service, access, listener, folder)


async def run_grpc(service: Service, access: Access, listener: Listener, listen: str, folder: Path) -> None:
    """Serve until cancelled, once nobody else does on the address."""
    # We fork for the sandbox and exec at once: gRPC's fork handlers have nothing to do, and would write log lines.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    server = grpc_server(service, access, listener, folder)
    await retry(
        lambda: server.open(listen),
        (OSError,),
        lambda error: log.warning("address_in_use", setting=listener.setting, error=error),
    )
    log.info("grpc_listening", port=server.port, tls=listener.secure)
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop(GRACE_SECONDS)

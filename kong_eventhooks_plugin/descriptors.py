"""How a worker's file descriptors are shared out: what connects to the API takes none that Kong's calls need.

Limits, from the process' own (``RLIMIT_NOFILE``, which the supervisor raises as far as it may):

======================  ================================  ====================
for                     at most                           of a small limit
======================  ================================  ====================
what is always open     ``RESERVED``                      an eighth
deliveries              as many as the settings allow     a third
REST                    ``REST_CONNECTIONS``              an eighth
gRPC, 3 a connection    ``GRPC_CONNECTIONS`` connections  3/32
the plugin socket       ``PLUGIN_CONNECTIONS``            what is left: a third
======================  ================================  ====================
"""

import resource
from typing import Final, NamedTuple

RESERVED: Final = 128
"""The stores, pipes to the sandbox, the Admin API, files, and connections that are being closed."""

REST_CONNECTIONS: Final = 1_024
GRPC_CONNECTIONS: Final = 256
PLUGIN_CONNECTIONS: Final = 4_096
UNLIMITED: Final = (1 << 31) - 1


class DescriptorShares(NamedTuple):
    """How many connections each part may have open."""

    deliveries: int
    rest: int
    grpc: int
    plugin_socket: int


def descriptor_shares(limit: int, deliveries: int, *, grpc: bool) -> DescriptorShares:
    """Share out ``limit`` descriptors; ``deliveries`` is what the settings allow, ``grpc`` whether gRPC is served."""
    to_deliveries = min(deliveries, limit // 3)
    to_rest = min(REST_CONNECTIONS, limit // 8)
    to_grpc = min(GRPC_CONNECTIONS, limit // 32) if grpc else 0
    left = limit - min(RESERVED, limit // 8) - to_deliveries - to_rest - 3 * to_grpc
    return DescriptorShares(to_deliveries, to_rest, to_grpc, min(PLUGIN_CONNECTIONS, left))


def descriptor_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft

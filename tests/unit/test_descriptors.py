"""How descriptors are shared out: never more than there are, and never the plugin socket's for the API."""

import pytest

from kong_eventhooks_plugin import descriptors
from kong_eventhooks_plugin.descriptors import DescriptorShares, descriptor_shares
from kong_eventhooks_plugin.kong.plugin_server import server


def test_where_there_are_enough_each_has_its_own_limit() -> None:
    assert descriptor_shares(8_192, 320, grpc=True) == DescriptorShares(320, 1_024, 256, 4_096)
    assert descriptors.PLUGIN_CONNECTIONS == server.CONNECTIONS


@pytest.mark.parametrize("limit", [64, 256, 1_024, 4_096, 6_000])
@pytest.mark.parametrize("grpc", [False, True])
def test_few_are_shared_out(limit: int, grpc: bool) -> None:
    for deliveries in (320, 8_256):
        shares = descriptor_shares(limit, deliveries, grpc=grpc)
        used = shares.deliveries + shares.rest + 3 * shares.grpc + shares.plugin_socket
        assert used <= limit - min(128, limit // 8)
        assert shares.plugin_socket >= limit // 4
        assert shares.rest >= limit // 8 or shares.rest == 1_024
        assert (shares.grpc > 0) == grpc

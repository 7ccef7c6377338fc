"""A client for what the tests serve: plain HTTP on loopback, so it reads no authorities from the disk."""

import ssl

import httpx

from kong_eventhooks_plugin.api.client.tls import NO_AUTHORITIES
from tests.support.waiting import SECONDS


def http_client(base: str = "", verify: ssl.SSLContext = NO_AUTHORITIES) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=base, timeout=SECONDS, verify=verify, trust_env=False)

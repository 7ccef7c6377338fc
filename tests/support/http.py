"""A client for what the tests serve: plain HTTP on loopback, so it reads no authorities from the disk."""

import ssl

import httpx

from tests.support.waiting import SECONDS

_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_client(base: str = "") -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=base, timeout=SECONDS, verify=_NO_AUTHORITIES, trust_env=False)

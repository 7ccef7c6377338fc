"""A client for what the tests serve: plain HTTP on loopback, so it reads no authorities from the disk."""

import ssl

import httpx

from tests.support.waiting import SECONDS

_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_client(base: str = "", verify: ssl.SSLContext = _NO_AUTHORITIES) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=base, timeout=SECONDS, verify=verify, trust_env=False)

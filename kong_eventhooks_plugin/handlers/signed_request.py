"""One signed request to a hook's endpoint: what ``webhook`` and ``webhook-custom`` share.

Headers, the later winning: ``user-agent``, ``accept``, ``accept-encoding`` and, where tracing is on, ``traceparent``; a
user and password that the URL holds; the definition's own; ``webhook-id`` (the delivery's id, the same for every
attempt) and ``webhook-timestamp``; and with a ``secret`` ``webhook-signature`` and ``x-kong-signature``
(``signatures``).
"""

from collections.abc import Mapping
from typing import Any

import httpx

from kong_eventhooks_plugin.handlers.aiohttp_transport import SSL_VERIFY
from kong_eventhooks_plugin.handlers.exchange import exchange
from kong_eventhooks_plugin.handlers.request_headers import BASE_HEADERS, header_secrets
from kong_eventhooks_plugin.handlers.signatures import KongDigest, signed_headers
from kong_eventhooks_plugin.handlers.target_url import Target
from kong_eventhooks_plugin.model.delivery import Outcome


class SignedSender:
    """``client`` comes from ``http_client.make_client``; ``digest`` is that of Kong's own signature."""

    def __init__(self, client: httpx.AsyncClient, digest: KongDigest) -> None:
        self._client = client
        self._digest: KongDigest = digest

    async def send(
        self,
        config: Mapping[str, Any],
        target: Target,
        headers: dict[bytes, bytes],
        body: bytes,
        message_id: str,
        now: float,
        *,
        method: str = "POST",
        url: httpx.URL | None = None,
        traceparent: str | None = None,
    ) -> Outcome:
        """Send ``body`` with ``headers``; raises ``ValidationError``, without sending, for a secret that is none.

        ``url`` is the target's with more in its query. ``now`` is Unix seconds.
        """
        signed = signed_headers(config, body, message_id, int(now), self._digest)
        own = dict(headers)
        if target.authorization is not None:
            own.setdefault(b"authorization", target.authorization)
        base = BASE_HEADERS if traceparent is None else {**BASE_HEADERS, b"traceparent": traceparent.encode()}
        request = httpx.Request(
            method,
            url or target.url,
            headers=list({**base, **own, **signed}.items()),
            stream=httpx.ByteStream(body),
            extensions={SSL_VERIFY: config.get("ssl_verify") is not False},
        )
        return await exchange(self._client, request, now, [*target.sensitive, *header_secrets(own)])

    async def close(self) -> None:
        await self._client.aclose()

"""One signed request to a hook's endpoint: what ``webhook`` and ``webhook-custom`` share.

Headers, the later winning: ``user-agent``, ``accept``, ``accept-encoding`` and, where tracing is on, ``traceparent``; a
user and password that the URL holds; the definition's own; ``webhook-id`` (the delivery's id, the same for every
attempt) and ``webhook-timestamp``; and with a ``secret`` ``webhook-signature`` and ``x-kong-signature``
(``signatures``).

The outcome has the request as a person may see it: of the URL without what may be a credential, and without its path
where the whole URL is a secret; of the headers that the definition or the URL adds the names alone.
Limits: ``MAX_BODY_BYTES`` of its body, ``KEPT_HEADERS`` of its headers.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.handlers.answer_judge import JudgeAnswer
from kong_eventhooks_plugin.handlers.exchange import KEPT_HEADERS, exchange
from kong_eventhooks_plugin.handlers.http_client import MAX_BODY_BYTES, Client, HttpRequest
from kong_eventhooks_plugin.handlers.request_headers import BASE_HEADERS, OPEN, header_secrets
from kong_eventhooks_plugin.handlers.signatures import KongDigest, signed_headers
from kong_eventhooks_plugin.handlers.target_url import Target
from kong_eventhooks_plugin.model.delivery import Outcome, SentRequest
from kong_eventhooks_plugin.model.masking import MASK, without

_MASK: Final = MASK.encode()


class SignedSender:
    """``digest`` is that of Kong's own signature."""

    def __init__(self, client: Client, digest: KongDigest) -> None:
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
        query: str = "",
        traceparent: str | None = None,
        of_event: bool = False,
        secret_url: bool = False,
        judge: JudgeAnswer | None = None,
    ) -> Outcome:
        """Send ``body`` with ``headers``; raises ``ValidationError``, without sending, for a secret that is none.

        ``query`` is added to the target's. ``now`` is Unix seconds. ``of_event``: see ``SentRequest``. ``judge`` as in
        ``exchange``.
        """
        signed = signed_headers(config, body, message_id, int(now), self._digest)
        own = dict(headers)
        if target.authorization is not None:
            own.setdefault(b"authorization", target.authorization)
        base = BASE_HEADERS if traceparent is None else {**BASE_HEADERS, b"traceparent": traceparent.encode()}
        request = HttpRequest(
            method,
            target.origin,
            target.host,
            target.path_with(query) if query else target.path,
            {**base, **own, **signed},
            body,
            verify=config.get("ssl_verify") is not False,
            seconds=config.get("timeout"),
        )
        hidden = [*target.sensitive, *header_secrets(own)]
        outcome = await exchange(self._client, request, now, hidden, literal=target.literal, judge=judge)
        shown = {**base, **{name: value if name in OPEN else _MASK for name, value in own.items()}, **signed}
        sent = SentRequest(
            method=method,
            url=f"{target.endpoint}/{MASK}" if secret_url else target.shown_with(query),
            headers=tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in islice(shown.items(), KEPT_HEADERS)
            ),
            body=without(hidden, body[:MAX_BODY_BYTES]),
            size=len(body),
            of_event=of_event,
        )
        return msgspec.structs.replace(outcome, request=sent)

    async def close(self) -> None:
        await self._client.close()

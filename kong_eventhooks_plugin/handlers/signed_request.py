"""One signed request to a hook's endpoint: what ``webhook`` and ``webhook-custom`` share.

Headers, the later winning: ``user-agent``, ``accept``, ``accept-encoding`` and, where tracing is on, ``traceparent``; a
user and password that the URL holds; the definition's own; ``webhook-id`` (the delivery's id, the same for every
attempt) and ``webhook-timestamp``; and with a ``secret`` ``webhook-signature`` and ``x-kong-signature``
(``signatures``).

The outcome has the request as a person may see it: of the URL without what may be a credential, and without its path
where the whole URL is a secret; of the headers that the definition or the URL adds the names alone.
Limits: ``MAX_BODY_BYTES`` of its body, ``KEPT_HEADERS`` of its headers.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from kong_eventhooks_plugin.handlers.answer_judge import JudgeAnswer
from kong_eventhooks_plugin.handlers.exchange import decoded, exchange
from kong_eventhooks_plugin.handlers.http_client import MAX_BODY_BYTES, Client, HttpRequest
from kong_eventhooks_plugin.handlers.request_headers import BASE_HEADERS, OPEN, UserHeaders, header_secrets
from kong_eventhooks_plugin.handlers.signatures import KongDigest, signed_headers
from kong_eventhooks_plugin.handlers.target_url import Target
from kong_eventhooks_plugin.model.delivery import Outcome, SentRequest, with_notes
from kong_eventhooks_plugin.model.masking import MASK, is_reference, without

_MASK: Final = MASK.encode()


class SignedRequest(NamedTuple):
    """``own`` are the headers of the definition and the URL, ``target`` the URL's, with ``query`` behind its own.

    ``keys`` are secrets in its body.
    """

    request: HttpRequest
    own: Mapping[bytes, bytes]
    target: Target
    query: str
    notes: list[str]
    of_event: bool
    keys: tuple[bytes, ...] = ()


class SignedSender:
    """``digest`` is that of Kong's own signature."""

    def __init__(self, client: Client, digest: KongDigest) -> None:
        self._client = client
        self._digest: KongDigest = digest

    def signed(
        self,
        config: Mapping[str, Any],
        target: Target,
        headers: UserHeaders,
        body: bytes,
        message_id: str,
        now: float,
        *,
        method: str = "POST",
        query: str = "",
        traceparent: str | None = None,
        of_event: bool = False,
    ) -> SignedRequest:
        """Return a request with ``headers`` and ``body``; raises ``ValidationError`` for a secret that is none.

        ``query`` is added to the target's. ``now`` is Unix seconds. ``of_event``: see ``SentRequest``.
        """
        signatures = signed_headers(config, body, message_id, int(now), self._digest)
        own = dict(headers.values)
        if target.authorization is not None:
            own.setdefault(b"authorization", target.authorization)
        base = BASE_HEADERS if traceparent is None else {**BASE_HEADERS, b"traceparent": traceparent.encode()}
        request = HttpRequest(
            method,
            target.origin,
            target.host,
            target.path_with(query) if query else target.path,
            {**base, **own, **signatures},
            body,
            verify=config.get("ssl_verify") is not False,
            seconds=config.get("timeout"),
            tls=config.get("tls"),
        )
        key = config.get("preset_key")
        return SignedRequest(request, own, target, query, headers.notes, of_event, (key.encode(),) if key else ())

    async def send(
        self, signed: SignedRequest, definition: Mapping[str, Any], now: float, judge: JudgeAnswer | None = None
    ) -> Outcome:
        """Send it. ``definition`` is the hook's config, its references unresolved; ``judge`` as in ``exchange``."""
        request, own, target = signed.request, signed.own, signed.target
        is_open = OPEN.issuperset(own)
        hidden = [*signed.keys, *target.sensitive, *(() if is_open else header_secrets(own))]
        outcome = await exchange(self._client, request, now, hidden, literal=target.literal, judge=judge)
        headers = request.headers
        if not is_open:
            headers = {name: _MASK if name in own and name not in OPEN else value for name, value in headers.items()}
        secret_url = is_reference(definition.get("url"))
        sent = sent_request(
            request,
            f"{target.endpoint}/{MASK}" if secret_url else target.shown_with(signed.query),
            headers,
            hidden,
            of_event=signed.of_event,
        )
        return with_notes(msgspec.structs.replace(outcome, request=sent), signed.notes)

    async def close(self) -> None:
        await self._client.close()


def sent_request(
    request: HttpRequest, url: str, headers: Mapping[bytes, bytes], hidden: Iterable[bytes], *, of_event: bool = False
) -> SentRequest:
    """Return a request as a person may see it: with ``url`` and ``headers``, and its body without what is hidden."""
    return SentRequest(
        method=request.method,
        url=url,
        headers=decoded(headers.items()),
        body=without(hidden, request.body[:MAX_BODY_BYTES]),
        size=len(request.body),
        of_event=of_event,
    )

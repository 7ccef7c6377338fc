"""One request to an endpoint, and the outcome of its answer. Every handler that speaks HTTP uses it.

=====================================  ==========================================================
answer                                 outcome
=====================================  ==========================================================
2xx                                    Delivered, even where the rest of the answer cannot be read
3xx                                    Retry, ``redirect``: none is followed
410                                    Discard, ``gone``, and the hook is disabled
429, 502, 504                          Retry, ``status``, the endpoint is held back
any other status                       Retry, ``status``
no answer in time                      Retry, ``timeout``, the endpoint is held back
no connection, or it broke             Retry, ``connect``
certificate or TLS not acceptable      Retry, ``tls``
not HTTP                               Retry, ``protocol``
an address that may not be dialled     Discard for an address in the URL; Retry for a name, which may
                                       resolve to another later; both ``address_refused``
a request that cannot be written       Retry, ``config``: somebody may fix the definition
=====================================  ==========================================================

Where a status line is followed by what cannot be read, the status decides, and a note in the outcome says so.

Limits: ``MAX_BODY_BYTES`` bytes of the answer's body are read and kept; where there is more, the connection is closed.
The first ``KEPT_HEADERS`` headers are kept. Credentials of the request that an endpoint repeats are masked.
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice

import httpx

from kong_eventhooks_plugin.errors import AddressRefused, HttpError
from kong_eventhooks_plugin.handlers.address_rules import is_literal
from kong_eventhooks_plugin.handlers.aiohttp_transport import STOPPED, UNREADABLE
from kong_eventhooks_plugin.handlers.retry_after import retry_after_seconds
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Discard, Outcome, Retry, with_notes
from kong_eventhooks_plugin.model.masking import without

MAX_BODY_BYTES = 20_000
KEPT_HEADERS = 100
HOLDING = frozenset({429, 502, 504})
HTTP_GONE = 410


async def exchange(
    client: httpx.AsyncClient, request: httpx.Request, now: float, sensitive: Iterable[bytes]
) -> Outcome:
    """Send ``request``. ``now`` is Unix seconds; ``sensitive`` is masked in what is kept of the answer."""
    try:
        response = await client.send(request, stream=True)
    except AddressRefused as refused:
        detail = f"address refused: {refused}"
        literal = is_literal(request.url.raw_host.decode("ascii"))
        return Discard("address_refused", detail) if literal else Retry("address_refused", detail)
    except HttpError as error:
        kind = "connect" if error.kind == "connection" else error.kind
        return Retry(kind, str(error), hold=kind == "timeout")
    body, unread = await _read_body(response)
    hidden = [*sensitive]
    answer = Answer(response.status_code, without(hidden, body)[:MAX_BODY_BYTES], tuple(_shown(response, hidden)))
    outcome = outcome_of(answer, response.headers.get("retry-after"), now)
    unread = response.extensions.get(UNREADABLE, unread)
    return with_notes(outcome, [f"the answer could not be read to its end: {unread}"]) if unread else outcome


def outcome_of(answer: Answer, retry_after: str | None, now: float) -> Outcome:
    status = answer.status or 0
    if 200 <= status < 300:
        return Delivered(answer)
    if status == HTTP_GONE:
        return Discard("gone", "answered 410", answer, disable=True)
    pause = retry_after_seconds(retry_after, now)
    if 300 <= status < 400:
        return Retry("redirect", f"answered {status}, redirects are not followed", answer, pause)
    return Retry("status", f"answered {status}", answer, pause, hold=status in HOLDING)


def _shown(response: httpx.Response, hidden: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Yield the answer's headers that are kept, spelled as they came."""
    for name, value in islice(response.headers.raw, KEPT_HEADERS):
        yield name.decode("latin-1"), without(hidden, value).decode("latin-1")


async def _read_body(response: httpx.Response) -> tuple[bytes, str | None]:
    """Return the body as far as it is kept, and why it ended early."""
    kept = bytearray()
    try:
        async for chunk in response.aiter_raw():
            kept += chunk
            if len(kept) >= MAX_BODY_BYTES:
                break
    except HttpError as error:
        return bytes(kept), str(error)
    except asyncio.CancelledError:
        # As in aiohttp_transport.
        if not response.is_success:
            raise
        return bytes(kept), STOPPED
    finally:
        await response.aclose()
    return bytes(kept), None

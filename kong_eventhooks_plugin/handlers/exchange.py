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

Limits: ``http_client.MAX_BODY_BYTES`` bytes of the answer's body are read and kept; where there is more, the
connection is closed. The first ``KEPT_HEADERS`` headers are kept. Credentials of the request that an endpoint repeats
are masked.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from kong_eventhooks_plugin.errors import AddressRefused, HttpError
from kong_eventhooks_plugin.handlers.http_client import MAX_BODY_BYTES, Client, HttpAnswer, HttpRequest
from kong_eventhooks_plugin.handlers.retry_after import retry_after_seconds
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Discard, Outcome, Retry, with_notes
from kong_eventhooks_plugin.model.masking import without

KEPT_HEADERS = 100
HOLDING = frozenset({429, 502, 504})
HTTP_GONE = 410


async def exchange(
    client: Client, request: HttpRequest, now: float, sensitive: Iterable[bytes], *, literal: bool
) -> Outcome:
    """Send ``request``. ``now`` is Unix seconds; ``sensitive`` is masked in what is kept of the answer.

    ``literal``: the URL's host is an address.
    """
    try:
        answer = await client.send(request)
    except AddressRefused as refused:
        detail = f"address refused: {refused}"
        return Discard("address_refused", detail) if literal else Retry("address_refused", detail)
    except HttpError as error:
        kind = "connect" if error.kind == "connection" else error.kind
        return Retry(kind, str(error), hold=kind == "timeout")
    hidden = [*sensitive]
    kept = Answer(answer.status, without(hidden, answer.body)[:MAX_BODY_BYTES], tuple(_shown(answer, hidden)))
    outcome = outcome_of(kept, _retry_after(answer), now)
    unread = answer.unread
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


def _retry_after(answer: HttpAnswer) -> str | None:
    """Return the header's value; several are one that cannot be read."""
    if 200 <= answer.status < 300:
        return None
    values = [value for name, value in answer.headers if name.lower() == b"retry-after"]
    return b", ".join(values).decode("latin-1") if values else None


def _shown(answer: HttpAnswer, hidden: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Yield the answer's headers that are kept, spelled as they came."""
    for name, value in islice(answer.headers, KEPT_HEADERS):
        yield name.decode("latin-1"), without(hidden, value).decode("latin-1")

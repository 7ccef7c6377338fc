"""One request to an endpoint, and the outcome of its answer. Every handler that speaks HTTP uses it.

=====================================  ==========================================================
answer                                 outcome
=====================================  ==========================================================
2xx                                    Delivered, even where the rest of the answer cannot be read
any that ``config.success`` is true    Delivered
of; where it is false of a 2xx         Retry, ``rejected``
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

from collections.abc import Iterable
from itertools import islice

import msgspec

from kong_eventhooks_plugin.errors import AddressRefused, HttpError
from kong_eventhooks_plugin.handlers.answer_judge import JudgeAnswer, Verdict
from kong_eventhooks_plugin.handlers.http_client import MAX_BODY_BYTES, Client, HttpAnswer, HttpRequest
from kong_eventhooks_plugin.handlers.retry_after import retry_after_seconds
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Discard, Headers, Outcome, Retry, with_notes
from kong_eventhooks_plugin.model.masking import without

KEPT_HEADERS = 100
HOLDING = frozenset({429, 502, 504})
HTTP_GONE = 410


async def exchange(
    client: Client,
    request: HttpRequest,
    now: float,
    sensitive: Iterable[bytes],
    *,
    literal: bool,
    judge: JudgeAnswer | None = None,
) -> Outcome:
    """Send ``request``. ``now`` is Unix seconds; ``sensitive`` is masked in what is kept of the answer.

    ``literal``: the URL's host is an address. ``judge`` says whether an answer is a success, in the place of its
    status.
    """
    try:
        answer = await client.send(request)
    except AddressRefused as refused:
        detail = f"{request.origin}: address refused: {refused}"
        return Discard("address_refused", detail) if literal else Retry("address_refused", detail)
    except HttpError as error:
        kind = "connect" if error.kind == "connection" else error.kind
        return Retry(kind, f"{request.origin}: {error}", hold=kind == "timeout")
    hidden, headers = [*sensitive], answer.headers
    if hidden:
        headers = tuple((name, without(hidden, value)) for name, value in headers[:KEPT_HEADERS])
    kept = Answer(answer.status, without(hidden, answer.body)[:MAX_BODY_BYTES], decoded(headers))
    if judge is None:
        outcome = outcome_of(kept, None if 200 <= answer.status < 300 else _retry_after(answer), now)
    else:
        outcome = judged(await judge(answer), kept, _retry_after(answer), now)
    unread = answer.unread
    return with_notes(outcome, [f"the answer could not be read to its end: {unread}"]) if unread else outcome


def judged(verdict: Verdict, answer: Answer, retry_after: str | None, now: float) -> Outcome:
    if verdict.outcome is not None:
        return msgspec.structs.replace(verdict.outcome, answer=answer)
    outcome = outcome_of(answer, retry_after, now, success=verdict.success)
    return outcome if verdict.note is None else with_notes(outcome, [verdict.note])


def outcome_of(answer: Answer, retry_after: str | None, now: float, *, success: bool | None = None) -> Outcome:
    """Return what an answer means; ``success`` is the verdict of the hook's own rule, None where it has none."""
    status = answer.status or 0
    is_2xx = 200 <= status < 300
    if is_2xx if success is None else success:
        return Delivered(answer)
    if status == HTTP_GONE:
        return Discard("gone", "answered 410", answer, disable=True)
    pause = retry_after_seconds(retry_after, now)
    if is_2xx:
        return Retry("rejected", f"answered {status}, but config.success is not true of the answer", answer, pause)
    if 300 <= status < 400:
        return Retry("redirect", f"answered {status}, redirects are not followed", answer, pause)
    return Retry("status", f"answered {status}", answer, pause, hold=status in HOLDING)


def _retry_after(answer: HttpAnswer) -> str | None:
    """Return the header's value; several are one that cannot be read."""
    values = [value for name, value in answer.headers if name.lower() == b"retry-after"]
    return b", ".join(values).decode("latin-1") if values else None


def decoded(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers that are kept, spelled as they came."""
    return tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in islice(headers, KEPT_HEADERS)])

"""The request of a dry run, as a person sees it. Pure.

More is shown of it than of one that was sent (``signed_request``), because nothing of it is stored, and a header or a
query that a template makes of the event is what a dry run is for. The config of a dry run has no reference's value.

===================================  ===================================================================
in the request                       is shown as
===================================  ===================================================================
what is a reference in the           the reference: ``{vault://env/token}``
definition
a header whose name says "secret"    ``***`` behind the scheme: ``Bearer ***``
(``authorization``, ``x-api-key``)
a header's value that reads like a   ``***``
key: long, without a space, with
letters and digits (not in what
holds no credential: a multipart
boundary, ``ce-id``)
signatures                           ``***``: one could be replayed with the body beside it
of the URL user and password         left out
values of the query and long         ``***`` where they stand in the definition itself
segments of the path
in the body what is masked above     ``***``
===================================  ===================================================================
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from kong_eventhooks_plugin.errors import ValidationError
from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Preview, Used
from kong_eventhooks_plugin.handlers.request_headers import OPEN, header_secrets
from kong_eventhooks_plugin.handlers.signed_request import SignedRequest, sent_request
from kong_eventhooks_plugin.handlers.target_url import parse_target
from kong_eventhooks_plugin.model.delivery import Outcome, SentRequest
from kong_eventhooks_plugin.model.masking import MASK, is_reference, without

_SECRET_NAME: Final = re.compile(
    rb"auth|token|secret|api-?key|access-?key|password|cookie|credential|session|signature", re.IGNORECASE
)
_KEY: Final = re.compile(rb"(?=\S*[A-Za-z])(?=\S*[0-9])[A-Za-z0-9+/=_.~:-]{16,}")
_SCHEME: Final = re.compile(rb"([A-Za-z]+) \S")
_MASK: Final = MASK.encode()
_OURS: Final = frozenset({b"webhook-signature", b"x-kong-signature"})


def preview_of(signed: SignedRequest | Outcome, job: DeliveryJob, used: tuple[Used, ...] = ()) -> Preview:
    """Return the preview of a request, or of why there is none."""
    if not isinstance(signed, SignedRequest):
        return Preview(outcome=signed, used=used)
    return Preview(request=_shown(signed, job.hook.config), notes=tuple(signed.notes), used=used)


def _shown(signed: SignedRequest, definition: Mapping[str, Any]) -> SentRequest:
    request, given = signed.request, definition.get("headers")
    references = {str(name).lower().encode(): value for name, value in (given or {}).items() if is_reference(value)}
    own = {name: _header(name, value, references) for name, value in signed.own.items()}
    masked = {name: signed.own[name] for name, value in own.items() if value != signed.own[name]}
    in_url = _sensitive(definition.get("url"))
    url = f"{request.origin}{without(in_url, request.path).decode('ascii')}"
    if is_reference(definition.get("url")):
        url = str(definition["url"])
    ours = _OURS | {((definition.get("signature") or {}).get("header") or "").lower().encode()}
    headers = {name: _MASK if name in ours else own.get(name, value) for name, value in request.headers.items()}
    return sent_request(request, url, headers, [*signed.keys, *in_url, *header_secrets(masked)])


def _header(name: bytes, value: bytes, references: Mapping[bytes, str]) -> bytes:
    if name in references:
        return references[name].encode()
    if name in OPEN:
        return value
    if _SECRET_NAME.search(name):
        scheme = _SCHEME.match(value)
        return scheme[1] + b" " + _MASK if scheme else _MASK
    return _KEY.sub(_MASK, value)


def _sensitive(url: Any) -> list[bytes]:
    try:
        return sorted(parse_target(str(url)).sensitive, key=len, reverse=True)
    except ValidationError:  # a reference, or a template that is no URL before it is rendered
        return []

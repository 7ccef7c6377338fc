"""CloudEvents 1.0 over HTTP, structured and binary.

``id``, ``source`` (a URI reference), ``specversion`` and ``type`` are required; ``time`` is RFC 3339. Structured is one
JSON object with the content type ``application/cloudevents+json``. Binary has the attributes in headers ``ce-...``, in
which a space, ``"``, ``%`` and all but printable ASCII is percent-encoded UTF-8. 415 stays wrong when it is sent again.
(https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md and formats/json-format.md,
bindings/http-protocol-binding.md, http-webhook.md)
"""

from typing import Final
from urllib.parse import quote

import msgspec

from kong_eventhooks_plugin.handlers.presets.message import Message, Rendered, time_of

FINAL: Final = frozenset({400, 415})

_IN_A_HEADER: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_IN_A_SOURCE: Final = "/:@!$&'()*+,;="


def structured(message: Message) -> Rendered:
    body = {**_attributes(message), "datacontenttype": "application/json", "data": message.event.data}
    return Rendered(msgspec.json.encode(body), {b"content-type": b"application/cloudevents+json; charset=UTF-8"})


def binary(message: Message) -> Rendered:
    attributes = {
        f"ce-{name}".encode(): quote(value, safe=_IN_A_HEADER).encode() for name, value in _attributes(message).items()
    }
    return Rendered(msgspec.json.encode(message.event.data), {b"content-type": b"application/json", **attributes})


def _attributes(message: Message) -> dict[str, str]:
    event = message.event
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": "/kong/" + quote(message.source, safe=_IN_A_SOURCE),
        "type": f"event-hooks.{message.source}.{event.event}",
        "time": time_of(event),
    }

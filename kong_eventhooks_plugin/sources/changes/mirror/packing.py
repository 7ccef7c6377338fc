"""States of entities to bytes and back, as they are kept."""

from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.kong.admin_api.entities import MaskedEntity

encode: Final = msgspec.json.Encoder().encode
_shown: Final = msgspec.json.Decoder(dict[str, Any]).decode
_digests: Final = msgspec.json.Decoder(dict[str, str]).decode


def packed(hidden: MaskedEntity) -> tuple[bytes, bytes | None]:
    """Return the columns ``shown`` and ``digests`` of a state."""
    return encode(hidden.shown), encode(hidden.digests) if hidden.digests else None


def hidden_of(shown: bytes, digests: bytes | None) -> MaskedEntity:
    """Return a state from its two columns."""
    return MaskedEntity(_shown(shown), {} if digests is None else _digests(digests))

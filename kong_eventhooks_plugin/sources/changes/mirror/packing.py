"""Packs states of entities into columns."""

from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.kong.admin_api.entities import MaskedEntity

encode: Final = msgspec.json.Encoder().encode
_shown: Final = msgspec.json.Decoder(dict[str, Any]).decode
_digests: Final = msgspec.json.Decoder(dict[str, str]).decode


def packed(state: MaskedEntity) -> tuple[bytes, bytes | None]:
    """Return the columns ``shown`` and ``digests`` of a state."""
    return encode(state.shown), encode(state.digests) if state.digests else None


def unpacked(shown: bytes, digests: bytes | None) -> MaskedEntity:
    return MaskedEntity(_shown(shown), {} if digests is None else _digests(digests))

"""The ``tags`` filter of a list: ``a,b`` (both) and ``a/b`` (either), with Kong's errors (kong/api/endpoints.lua).

Limit: five tags in a filter, Kong's own; one more is a 400.
"""

import re
from collections.abc import Collection
from typing import Final, NamedTuple

from kong_eventhooks_plugin.errors import BadArgument

MAX_TAGS: Final = 5

_TAG: Final = r"[ -+\-.0-~\x80-\U0010ffff]"
_FILTERS: Final = ((re.compile(rf"{_TAG}+(?:,{_TAG}+)*,?\Z"), ","), (re.compile(rf"{_TAG}+(?:/{_TAG}+)*/?\Z"), "/"))


class TagFilter(NamedTuple):
    """A hook must have all of the tags, or one."""

    tags: tuple[str, ...]
    all: bool

    def matches(self, tags: Collection[str]) -> bool:
        found = [tag in tags for tag in self.tags]
        return all(found) if self.all else any(found)


def tag_filter(text: str | None) -> TagFilter | None:
    """May raise ``BadArgument``."""
    if text is None:
        return None
    if not text:
        raise _refused("cannot be null")
    for pattern, separator in _FILTERS:
        if pattern.match(text):
            # As in Kong, a separator at the end asks for the empty tag, which no hook has.
            tags = tuple(text.split(separator))
            if len(tags) > MAX_TAGS:
                raise _refused(f"cannot query more than {MAX_TAGS} tags")
            return TagFilter(tags, all=separator == ",")
    raise _refused("invalid filter syntax")


def _refused(why: str) -> BadArgument:
    return BadArgument(f"invalid option (tags: {why})", 11, "invalid options", {"tags": why})

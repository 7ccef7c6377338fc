"""What schemathesis cannot know of our API; loaded by its command line (``SCHEMATHESIS_HOOKS``).

Forms are described as flat texts, for their names have a grammar of Kong's: which of them are good no schema can say.
``FORMS`` set: only forms are sent, else only JSON. An offset is opaque: a made-up one is refused, rightly. In the
place of an empty list an empty object is accepted, and the other way round, as in Lua and so in Kong. Which names and
addresses a URL may have as its host, no pattern can say, nor where a secret file may be: a setting does.
"""

import os
import re
from typing import Any

import schemathesis

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
WANTED = FORMS if "FORMS" in os.environ else ("application/json",)


@schemathesis.hook
def before_load_schema(_context: Any, raw_schema: dict[str, Any]) -> None:
    """Leave forms alone where forms are asked for: others would be made up and thrown away."""
    if "FORMS" not in os.environ:
        return
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {}) if isinstance(operation, dict) else {}
            for media_type in content.keys() - WANTED:
                del content[media_type]


@schemathesis.hook
def filter_case(_context: Any, case: Any) -> bool:
    """Keep the cases of which the document can say whether they are good."""
    # An operation that takes a body may be called without one, which has no type.
    wanted = case.media_type in (WANTED if "FORMS" in os.environ else (*WANTED, None))
    if not wanted or "offset" in (case.query or {}) or holds_empty_one(case.body):
        return False
    config = case.body.get("config") if isinstance(case.body, dict) else None
    return not isinstance(config, dict) or (plain_url(config.get("url")) and not config.get("secret_file"))


def plain_url(url: Any) -> bool:
    """Return whether a hook's URL has a host of which a pattern can say that it is one: an ASCII name, no address."""
    if not isinstance(url, str) or "://" not in url:
        return True
    host = re.split("[/?#]", url.partition("://")[2])[0]
    return re.fullmatch("[A-Za-z]([A-Za-z0-9.-]*[A-Za-z])?(:80)?", host) is not None


def holds_empty_one(body: Any) -> bool:
    if not isinstance(body, dict):
        return False
    config = body.get("config")
    inside = config if isinstance(config, dict) else {}
    lists = [body.get("tags"), inside.get("functions")]
    objects = [config, inside.get("headers"), inside.get("payload")]
    return {} in lists or [] in objects

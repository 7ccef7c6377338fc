"""What schemathesis cannot know of our API; loaded by its command line (``SCHEMATHESIS_HOOKS``).

Forms are described as flat texts, for their names have a grammar of Kong's: which of them are good no schema can say.
``FORMS`` set: only forms are sent, else only JSON. An offset is opaque: a made-up one is refused, rightly. In the
place of an empty list an empty object is taken, and the other way round: Lua, and so Kong, knows no difference.
"""

import os
from typing import Any

import schemathesis

WANTED = {True: ("application/x-www-form-urlencoded", "multipart/form-data"), False: ("application/json", None)}


@schemathesis.hook
def filter_case(_context: Any, case: Any) -> bool:
    """Keep the cases of the body types that this run is for."""
    wanted = case.media_type in WANTED["FORMS" in os.environ]
    return wanted and "offset" not in (case.query or {}) and not holds_empty_one(case.body)


def holds_empty_one(body: Any) -> bool:
    if not isinstance(body, dict):
        return False
    config = body.get("config")
    inside = config if isinstance(config, dict) else {}
    lists = [body.get("tags"), inside.get("functions")]
    objects = [config, inside.get("headers"), inside.get("payload")]
    return {} in lists or [] in objects

"""Which host names can be called: those that a resolver can look up, and no cloud's metadata service. Pure.

Imports nothing heavy: Kong's schema (``hooks.schema``) is made of the same names and texts.

Limits: ``MAX_NAME`` and ``MAX_LABEL`` characters (RFC 1035, 2.3.4), not counting one dot at the end.
"""

import re

MAX_NAME = 253
MAX_LABEL = 63

METADATA_NAMES = (
    "metadata.google.internal", "metadata.goog", "metadata",  # Google Cloud; the last by its search domain
    "instance-data.ec2.internal", "instance-data",  # AWS, EC2-compatible clouds
    "metadata.tencentyun.com", "api.metadata.cloud.ibm.com", "metadata.exoscale.com", "metadata.platformequinix.com",
)  # fmt: skip
"""Names that the clouds document for what has no business outside a machine: its credentials.

Most lead to addresses that are never dialled (``address_rules``), but not all. A service of one's own that is called
``metadata`` has a longer name as well.
"""

CHARACTERS = "expected a host of letters, digits, '.', '-' and '_'"
LABELS = f"expected a host whose parts between dots have 1 to {MAX_LABEL} characters and no '-' at either end"
LENGTH = f"expected a host of at most {MAX_NAME} characters"
METADATA = "a cloud's metadata service cannot be called; if the host is your own, write its full name"

_CHARACTERS = re.compile("[A-Za-z0-9._-]+")
_LABEL = re.compile(f"(?!-)[A-Za-z0-9_-]{{1,{MAX_LABEL}}}(?<!-)")


def name_error(name: str) -> str | None:
    """Return why ``name``, in ASCII and no address, cannot be called; None: it can."""
    bare = name.removesuffix(".")
    if not _CHARACTERS.fullmatch(name):
        return CHARACTERS
    if len(bare) > MAX_NAME:
        return LENGTH
    if bare.lower() in METADATA_NAMES:
        return METADATA
    return None if all(map(_LABEL.fullmatch, bare.split("."))) else LABELS

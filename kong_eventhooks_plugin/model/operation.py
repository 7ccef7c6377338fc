"""What happened to an entity of Kong's, or to a hook."""

from typing import Literal

Operation = Literal["create", "update", "delete"]

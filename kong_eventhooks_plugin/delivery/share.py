"""Which hooks this process delivers: all of them while it leads, or its own where nodes share the store."""

from typing import Protocol


class Share(Protocol):
    """Asked on the loop, often; never waits."""

    @property
    def held(self) -> bool:
        """Whether this process delivers at all, now."""

    def owns(self, hook_id: str) -> bool:
        """Return whether this process delivers a hook, now."""

    def wake(self, hook_id: str) -> None:
        """Tell whoever delivers a hook that it has work."""

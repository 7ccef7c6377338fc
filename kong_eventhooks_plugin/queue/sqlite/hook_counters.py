"""What one hook has in the file, as counted there."""


class HookCounters:
    """A hook's number, its unsettled deliveries and their bytes, its states of on_change and snooze."""

    __slots__ = ("bytes", "deliveries", "hook_id", "n", "states")

    def __init__(self, hook_id: str, n: int, deliveries: int = 0, size: int = 0, states: int = 0) -> None:
        self.hook_id = hook_id
        self.n = n
        self.deliveries = deliveries
        self.bytes = size
        self.states = states

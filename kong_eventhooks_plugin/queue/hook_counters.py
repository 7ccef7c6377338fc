"""What one hook has in the file, as counted there."""

import msgspec


class HookCounters(msgspec.Struct):
    """A hook's number, its unsettled deliveries and their bytes, its states of on_change and snooze."""

    hook_id: str
    n: int
    deliveries: int = 0
    bytes: int = 0
    states: int = 0

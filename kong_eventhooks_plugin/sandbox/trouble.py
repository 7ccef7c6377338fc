"""What stops a task inside a worker, as exceptions that become its ``Failed``."""

from kong_eventhooks_plugin.errors import EventHooksError
from kong_eventhooks_plugin.sandbox.tasks import Fault, Reason


class TaskFailed(EventHooksError):
    """The task has no answer."""

    def __init__(self, reason: Reason, text: str) -> None:
        self.reason = reason
        super().__init__(text)


class DoesNotCompile(EventHooksError):
    """A template, lambda or filter is refused."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))

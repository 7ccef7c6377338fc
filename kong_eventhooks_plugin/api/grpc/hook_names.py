"""Which hook a caller means, and how a hook is named to a caller."""

from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import hooks_pb2 as pb
from kong_eventhooks_plugin.api.grpc.parse import given_text
from kong_eventhooks_plugin.api.service.entity import is_unnamed
from kong_eventhooks_plugin.api.service.hooks import Hooks
from kong_eventhooks_plugin.errors import UnknownHook


class HookNames:
    """See the file's head."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def wanted(self, key: str) -> str | None:
        """Return the id of the hook that a filter names, None where it names none; one that is gone has an id alone."""
        text = given_text(key, "hook")
        if text is None:
            return None
        try:
            return self._hooks.get(text).id
        except UnknownHook:
            return text

    def reference(self, hook_id: str) -> pb.HookReference:
        """Return a hook's id with its name."""
        try:
            hook = self._hooks.get(hook_id)
        except UnknownHook:
            return pb.HookReference(id=hook_id)
        return pb.HookReference(id=hook_id, name=None if is_unnamed(hook) else hook.name)

"""Read by every Python that is started with this folder in PYTHONPATH: a sidecar's worker has patience with its store.

In service Kong is answered within a second, also where the disk is slower than that; such an event is lost where the
worker is killed before the commit. A test that kills workers on a slow machine would find that, and mean something
else. The worker answers after the commit here, however late.
"""

import sys
from typing import Any

SECONDS = 45.0


def _have_patience() -> None:
    from kong_eventhooks_plugin.kong.plugin_server.server import PluginServer

    make = PluginServer.__init__

    def make_patient(self: PluginServer, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        self._context.deadlines.seconds = SECONDS

    PluginServer.__init__ = make_patient  # type: ignore[method-assign]
    if "--protocol=msgpack" in sys.orig_argv:
        from kong_eventhooks_plugin.kong.plugin_server.kong_pdk_adapter import KongPdkServer

        assert KongPdkServer.__init__.__kwdefaults__["answer_seconds"] < SECONDS
        KongPdkServer.__init__.__kwdefaults__["answer_seconds"] = SECONDS


if "worker" in sys.orig_argv:
    _have_patience()

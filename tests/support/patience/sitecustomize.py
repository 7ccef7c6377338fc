"""Read by every Python that is started with this folder in PYTHONPATH: a sidecar's worker has patience with its store.

In service Kong is answered within a second, also where the disk is slower than that, and at once where many events wait
for it; such an event is lost where the worker is killed before the commit. A test that kills workers on a slow machine
would find that, and mean something else. The worker answers after the commit here, however late and however many wait.
"""

import sys
from typing import Any

SECONDS = 45.0
CALLS = 1_000_000


def _have_patience() -> None:
    from kong_eventhooks_plugin.kong.plugin_server.server import PluginServer

    make = PluginServer.__init__

    def make_patient(self: PluginServer, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        self._context.deadlines.seconds = SECONDS
        self._context.deadlines._calls = CALLS

    PluginServer.__init__ = make_patient  # type: ignore[method-assign]
    if "--protocol=msgpack" in sys.orig_argv:
        from kong_eventhooks_plugin.kong.plugin_server.kong_pdk_adapter import KongPdkServer

        make_other = KongPdkServer.__init__

        def make_other_patient(self: KongPdkServer, *args: Any, **options: Any) -> None:
            make_other(self, *args, **options | {"answer_seconds": SECONDS, "max_waiting": CALLS})

        KongPdkServer.__init__ = make_other_patient  # type: ignore[method-assign]


if "worker" in sys.orig_argv:
    _have_patience()

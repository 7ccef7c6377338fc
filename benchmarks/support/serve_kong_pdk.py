"""kong-pdk's own server in its gevent mode, asking the case's PDK functions. ``serve_kong_pdk.py SOCKET CASE``."""

import sys
from pathlib import Path
from typing import Any

from gevent import monkey

monkey.patch_all()  # before anything that it patches is imported

from kong_pdk.listener import UnixStreamServer  # noqa: E402
from kong_pdk.logger import Logger  # noqa: E402
from kong_pdk.module import Module  # noqa: E402
from kong_pdk.server import PluginServer  # noqa: E402
from script import FUNCTIONS, PLUGIN  # noqa: E402


def plugin(case: str) -> type:
    """Return a plugin that asks as ours does."""
    asks_status, asks_log = (name in FUNCTIONS[case] for name in ("kong.response.get_status", "kong.log.serialize"))

    class Plugin:
        def __init__(self, config: object) -> None:
            self.config = config

        def log(self, kong: Any) -> None:
            if asks_status:
                kong.response.get_status()
            if asks_log:
                kong.log.serialize()

    return Plugin


def main(path: Path, case: str) -> None:
    """Serve for ever."""
    server = PluginServer(loglevel=Logger.WARNING, use_gevent=True, name="bench", lua_style=False)
    module = type("module", (), {"Plugin": plugin(case), "Schema": [], "version": "1.0.0", "priority": 0})
    server.plugins[PLUGIN] = Module(PLUGIN, module=module)
    print("ready", flush=True)
    UnixStreamServer(server, str(path.parent), sock_name=path.name, use_gevent=True).serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

"""The plugin documents as Kong reads them: printed by ``plugin-info``, and written beside the socket by ``serve``.

An unmodified Kong image has no Python: there ``query_cmd = cat <directory of the socket>/event-hooks.json``.
"""

import json
import os
from pathlib import Path

import structlog

from kong_eventhooks_plugin import files
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import plugin_info, plugin_names

log = structlog.get_logger()

PROTOCOLS = {"protobuf": "ProtoBuf:1", "msgpack": "MsgPack:1"}


def plugin_document(name: str, socket_path: str, protocol: str) -> str:
    """Return the JSON document of one plugin, on one line. ``protocol`` is the setting's value."""
    return json.dumps(plugin_info(name, socket_path, PROTOCOLS[protocol])) + "\n"


def write_documents(socket_path: str, protocol: str) -> None:
    """Write both documents beside the socket, each in one step. A directory that refuses them is logged."""
    folder = Path(socket_path).parent
    try:
        with files.own_directory(folder) as directory:
            for name in plugin_names():
                beside = f".{name}.json.{os.getpid()}"
                with files.created(beside, directory, 0o644) as descriptor:
                    os.write(descriptor, plugin_document(name, socket_path, protocol).encode())
                os.replace(beside, f"{name}.json", src_dir_fd=directory, dst_dir_fd=directory)
    except files.ForeignDirectory as error:
        log.warning("plugin_documents_write_failed", error=error.strerror)
    except OSError as error:
        advice = "--socket-path needs a directory that exists and that we may write to"
        log.warning("plugin_documents_write_failed", error=f"{folder}: {error.strerror}; {advice}")

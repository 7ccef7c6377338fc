"""docs/grpc.md: its example runs, and what it lists is what there is."""

import asyncio
import re
import sys
from pathlib import Path

from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import deliveries_pb2, events_pb2, hooks_pb2, sources_pb2
from kong_eventhooks_plugin.api.grpc.server import GrpcServer
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.error_codes import ERROR_CODES
from kong_eventhooks_plugin.api.transport.listener import Listener
from tests.support.api import running
from tests.support.doc_blocks import ROOT, blocks

FILE = ROOT / "docs" / "grpc.md"
PAGE = FILE.read_text()


async def test_the_example_runs(tmp_path: Path) -> None:
    (example,) = (block.text for block in blocks(FILE) if block.language == "python")
    (token,) = re.findall(r"Bearer ([^\"]+)\"", example)
    async with running(tmp_path) as api:
        server = GrpcServer(api.service, Access(token), Listener("grpc_listen", 8), tmp_path)
        await server.open("127.0.0.1:0")
        program = example.replace("127.0.0.1:8011", f"127.0.0.1:{server.port}")
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
        run = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=tmp_path, **pipes)
        try:
            printed, _ = await asyncio.wait_for(run.communicate(), 60)
        finally:
            await server.stop(0)
    assert printed.decode() == "fired: deploys\nseen: deploy 1.2.3\n"
    assert run.returncode == 0


def test_every_call_and_every_code_is_listed() -> None:
    for module in (hooks_pb2, sources_pb2, deliveries_pb2, events_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{service.name}`")]
            assert set(re.findall(r"`(\w+)`", row)) == {service.name, *(method.name for method in service.methods)}
    listed = set(re.findall(r"(?m)^\| ([A-Z_]+) \|", PAGE))
    assert listed == {code.grpc for code in ERROR_CODES.values()}

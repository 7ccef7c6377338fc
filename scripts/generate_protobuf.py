"""Generate the protobuf modules from proto/; with --check, compare them with those in the tree instead.

protoc comes with grpcio-tools (the ``test`` extra). Exit code 1 and the names of the files where they differ: CI runs
``--check``, so that nobody edits generated code or forgets to generate it.
"""

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
WIRE = ROOT / "kong_eventhooks_plugin" / "wire"

SOURCES = {ROOT / "proto" / "kong" / "pluginsocket.proto": WIRE}
"""Each .proto and the directory of the modules made of it."""


def generate(source: Path, into: Path) -> list[Path]:
    """Write ``source``'s module and its types into ``into``; return their paths. SystemExit where protoc fails."""
    includes = [f"-I{source.parent}", f"-I{protoc._get_resource_file_name('grpc_tools', '_proto')}"]  # noqa: SLF001 - protoc's own well-known types have no public path
    code = protoc.main(["protoc", *includes, f"--python_out={into}", f"--pyi_out={into}", str(source)])
    if code:
        raise SystemExit(f"protoc failed on {source.relative_to(ROOT)}")
    return [into / f"{source.stem}_pb2{suffix}" for suffix in (".py", ".pyi")]


def _meaning(module: Path) -> str:
    """Return a module's text without the generator's version: a newer one that says the same is no difference."""
    text = re.sub(r"(?m)^# Protobuf Python Version: .*$", "", module.read_text())
    return re.sub(r"(?s)(ValidateProtobufRuntimeVersion\(\s*_runtime_version.Domain.PUBLIC,)[\s\d,]+", r"\1", text)


def main() -> int:
    """Generate or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the tree, write nothing")
    check = parser.parse_args().check
    stale = []
    with tempfile.TemporaryDirectory() as directory:
        for source, home in SOURCES.items():
            for made in generate(source, Path(directory)):
                kept = home / made.name
                if not check:
                    shutil.copyfile(made, kept)
                elif not kept.exists() or _meaning(kept) != _meaning(made):
                    stale.append(str(kept.relative_to(ROOT)))
    for name in stale:
        sys.stderr.write(f"{name} differs from what proto/ gives: run scripts/generate_protobuf.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())

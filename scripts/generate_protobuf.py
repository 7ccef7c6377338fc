"""Generate the protobuf modules from proto/; with --check, compare them with those in the tree instead.

protoc comes with grpcio-tools (the ``test`` extra). Exit code 1 and the names of the files where they differ: CI runs
``--check``, so that nobody edits generated code or forgets to generate it.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
PACKAGE = ROOT / "kong_eventhooks_plugin"


class Family(NamedTuple):
    """The .proto files below ``root`` / ``folder``; their modules go below ``home``, in folders as those of ``root``.

    ``stubs``: they have services, and modules of stubs. ``package``: the dotted name of ``home``, which protoc does not
    know, for the modules that import each other.
    """

    root: Path
    home: Path
    folder: str = "."
    stubs: bool = False
    package: str = ""


FAMILIES = (
    Family(PROTO / "kong", PACKAGE / "kong" / "wire"),
    Family(PROTO, PACKAGE / "api" / "grpc", "eventhooks", stubs=True, package="kong_eventhooks_plugin.api.grpc"),
)


def generate(family: Family, into: Path) -> list[Path]:
    """Write a family's modules and their types below ``into``; return their paths. SystemExit where protoc fails."""
    includes = [f"-I{family.root}", f"-I{protoc._get_resource_file_name('grpc_tools', '_proto')}"]  # noqa: SLF001 - protoc's own well-known types have no public path
    kinds = ("python", "pyi", "grpc_python") if family.stubs else ("python", "pyi")
    sources = sorted(str(path) for path in (family.root / family.folder).rglob("*.proto"))
    if protoc.main(["protoc", *includes, *(f"--{kind}_out={into}" for kind in kinds), *sources]):
        raise SystemExit(f"protoc failed below {(family.root / family.folder).relative_to(ROOT)}")
    made = sorted(path for path in into.rglob("*") if path.is_file())
    if family.package:
        for path in made:
            text, under = path.read_text(), f"{family.package}.{family.folder}"
            path.write_text(re.sub(rf"(?m)^from {family.folder}\.", f"from {under}.", text))
    return made


def kept(family: Family) -> list[Path]:
    """Return the generated modules that the tree has of a family."""
    return sorted(path for path in (family.home / family.folder).rglob("*_pb2*") if path.suffix in {".py", ".pyi"})


def _meaning(text: str) -> str:
    """Return a module's text without the generator's version: a newer one that says the same is no difference."""
    text = re.sub(r"(?m)^# Protobuf Python Version: .*$", "", text)
    text = re.sub(r"(?m)^GRPC_GENERATED_VERSION = .*$", "", text)
    return re.sub(r"(?s)(ValidateProtobufRuntimeVersion\(\s*_runtime_version.Domain.PUBLIC,)[\s\d,]+", r"\1", text)


def differing(family: Family, made: dict[Path, str]) -> list[Path]:
    """Return which of the tree's modules are not what was made (by path in the tree), are missing or are too many."""
    there = {path: path.read_text() for path in kept(family)}
    return sorted(
        path for path in there | made if _meaning(there.get(path, "missing")) != _meaning(made.get(path, "gone"))
    )


def main() -> int:
    """Generate or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the tree, write nothing")
    check = parser.parse_args().check
    stale: list[Path] = []
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as directory:
            into = Path(directory)
            made = {family.home / path.relative_to(into): path.read_text() for path in generate(family, into)}
        if check:
            stale += differing(family, made)
            continue
        for gone in set(kept(family)) - set(made):
            gone.unlink()
        for path, text in made.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for path in stale:
        sys.stderr.write(f"{path.relative_to(ROOT)} differs from what proto/ gives: run scripts/generate_protobuf.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())

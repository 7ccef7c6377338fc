"""Commands of the documentation, run in a shell that finds the program ``kong-event-hooks``."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

_PROGRAM = f"""#!{sys.executable}
from kong_eventhooks_plugin import cli

cli.main()
"""


def path_with_program(folder: Path) -> str:
    """Put the program into a new folder; return a PATH that begins with it."""
    folder.mkdir()
    program = folder / "kong-event-hooks"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


async def shell(script: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run a script that must succeed; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        "sh", "-euc", script, cwd=folder, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, errors = await process.communicate()
    assert process.returncode == 0, f"{script}\n{printed.decode()}\n{errors.decode()}"
    return printed.decode()

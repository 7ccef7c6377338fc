"""``check``: every fault of declarative files, what does not compile included.

A sandbox is started only for files with hooks that have code. It runs with its default limits and ``untrusted_lua =
sandbox``: the machine that checks need not be the one that serves.
"""

import asyncio
from collections.abc import Sequence

from kong_eventhooks_plugin.handlers.compiling import compile_problems, has_code
from kong_eventhooks_plugin.hooks.contract import Fault
from kong_eventhooks_plugin.hooks.declarative import read_file
from kong_eventhooks_plugin.hooks.definition import faults_of
from kong_eventhooks_plugin.hooks.validation import Validation
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sandbox.pool import Pool


def check_files(paths: Sequence[str], validation: Validation) -> list[Fault]:
    """Return every fault of every file, in the files' order. What compiles is looked at where the rest has no fault."""
    found: list[Fault] = []
    for path in paths:
        declared = read_file(path, validation)
        found += declared.faults
        code = [hook for hook in declared.hooks if has_code(hook)]
        if code:
            found += asyncio.run(_compile_faults(code))
    return found


async def _compile_faults(hooks: Sequence[Hook]) -> list[Fault]:
    pool = Pool()
    try:
        found: list[Fault] = []
        for hook in hooks:
            violation = await compile_problems(pool, hook)
            if violation is not None:
                place = hook.origin.path.removeprefix(f"{hook.origin.key}: ")
                found += faults_of(violation, hook.origin.key, place)
        return found
    finally:
        await pool.close()

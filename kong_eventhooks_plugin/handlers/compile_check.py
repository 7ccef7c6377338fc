"""Asks the sandbox whether one piece of user code compiles."""

from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Check, Checked, Failed


async def compile_error(pool: Pool, code: Check) -> str | None:
    """Return what is wrong with a template, function or filter, with line and column; None where nothing is."""
    result = await pool.run(code)
    if isinstance(result, Checked):
        return None if result.error is None else str(result.error)
    return f"could not be checked: {result.text if isinstance(result, Failed) else 'no answer came back'}"

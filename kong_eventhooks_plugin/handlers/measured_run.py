"""A task of a dry run: in a lane of its own, so that code which breaks a limit delays no delivery, and measured."""

from typing import NamedTuple

from kong_eventhooks_plugin.handlers.contract import Used
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Explain, LambdaCall, Measure, Measured, Render, Result


class MeasuredRun(NamedTuple):
    result: Result
    used: tuple[Used, ...]


async def measure(pool: Pool, task: Render | LambdaCall | Explain, hook: Hook) -> MeasuredRun:
    result = await pool.run(Measure(task), f"preview of {hook.id}")
    if not isinstance(result, Measured):
        return MeasuredRun(result, ())
    limits = pool.limits
    used = (
        Used("sandbox_wall_seconds", result.wall_seconds, limits.wall_seconds),
        Used("sandbox_cpu_seconds", result.cpu_seconds, limits.cpu_seconds),
    )
    return MeasuredRun(result.result, used)

"""What it means for a delivery that the sandbox did not run its code to the end.

Where the sandbox had no time or room for it, it is tried again; a broken limit on wall time ``TRIES`` times in all,
any other failure not at all: it would fail the next time, too.
"""

from kong_eventhooks_plugin.model.delivery import Discard, Outcome, Retry
from kong_eventhooks_plugin.sandbox.tasks import Failed

TRIES = 3


def outcome_of(failed: Failed, attempt: int) -> Outcome:
    if failed.temporary and failed.reason != "wall":
        return Retry("internal", f"sandbox {failed.reason}: {failed.text}")
    return template_outcome(failed.text, failed.logged, attempt if failed.temporary else TRIES)


def template_outcome(text: str, logged: str | None, attempt: int) -> Outcome:
    """Return the outcome of code that failed at this attempt, the last of which is ``TRIES``."""
    return Retry("template", text, logged=logged) if attempt < TRIES else Discard("template", text, logged=logged)

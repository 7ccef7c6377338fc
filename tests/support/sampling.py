"""A sample of many cases of one kind for `make test`; .ci/run runs all of them, with ``--long``."""

from collections.abc import Iterable
from typing import Any

import pytest


def sample(cases: Iterable[Any], every: int) -> list[Any]:
    """Return the cases as parameters: of each ``every`` cases the first runs always, the others in a long run."""
    return [case if not n % every else pytest.param(case, marks=pytest.mark.long) for n, case in enumerate(cases)]

"""What /readyz says is wrong, a line a problem, with what to do: for ``health``, ``doctor`` and ``hooks list``."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from kong_eventhooks_plugin.api import advice

MORE: Final = "..."
"""The name under which /readyz says how many more hooks are held."""


class Ready(msgspec.Struct):
    """The part of /readyz that a person reads; ``store`` is ``ok``, or why events cannot be accepted."""

    status: str = ""
    store: str = "ok"
    delivering: bool = True
    errors: tuple[str, ...] = ()
    held: dict[str, str] = {}
    events_lost: dict[str, int] = {}
    nodes: tuple[object, ...] = ()


class Line(NamedTuple):
    text: str
    fix: str = ""


def sidecar_problems(ready: Ready) -> Iterator[Line]:
    """Yield what is wrong beside the hooks that are held, the worst first."""
    if ready.store != "ok":
        yield Line(f"the store: {ready.store}", advice.STORE.action)
    for reason, count in ready.events_lost.items():
        known = advice.LOSSES.get(reason, advice.UNKNOWN_LOSS)
        yield Line(f"{count:,} events lost since the start: {reason}", known.action)
    yield from (Line(error) for error in ready.errors)
    if not ready.delivering:
        known = advice.ANOTHER_DELIVERS if ready.nodes else advice.NOT_DELIVERING
        yield Line(known.title, known.action)


def held_hooks(held: Mapping[str, str]) -> Iterator[Line]:
    """Yield a line for each hook that is held, by reason; the last of a reason has what to do."""
    of_reason: dict[str, list[Line]] = {}
    for name, why in held.items():
        reason, colon, _ = why.partition(":")
        if reason != "disabled" and name != MORE:
            text = f"{name} is held: {why}" if colon else f"{name} is held: {reason}: {_known(reason).meaning}"
            of_reason.setdefault(reason, []).append(Line(text))
    for reason, lines in of_reason.items():
        yield from lines[:-1]
        yield lines[-1]._replace(fix=_known(reason).action)
    if MORE in held:
        yield Line(f"{held[MORE]} are held")


def _known(reason: str) -> advice.Advice:
    return advice.HELD.get(reason, advice.UNKNOWN_HOLD)

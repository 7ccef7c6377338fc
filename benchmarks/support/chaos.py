"""What every soak has: faults in an order that a seed decides, what was accepted, what arrived and why twice.

``soak.py`` and ``soak_cluster.py`` bring the faults, and say what is promised.
"""

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from live import Receiver, Sidecar, Traffic

NEAR_SECONDS = 3.0
"""How far from a fault a delivery may have been sent that the fault had repeated."""
BUGS_SHOWN = 10
BUGS = (
    "attempt_unsettled", "background_task_failed", "handler_failed", "loop_crashed", "outcome_dropped",
    "settlement_failed", "store_rollback_failed", "work_listener_failed", "api_call_failed", "damaged_file_moved",
)  # fmt: skip


class Fault(NamedTuple):
    """What was done, and from when to when it lasted (Unix seconds)."""

    name: str
    began: float
    ended: float


class Chaos:
    """One run; ``names`` are the receivers'."""

    def __init__(
        self,
        options: argparse.Namespace,
        directory: Path,
        names: Iterable[str],
        faults: Mapping[str, Callable[[Any], Awaitable[None]]],
    ) -> None:
        self.options = options
        self.random = random.Random(options.seed)  # noqa: S311 - a schedule, no secret
        self.scale = min(1.0, options.seconds / 60)
        self.receivers = {name: Receiver(directory / name) for name in names}
        self._make = faults
        self.faults: list[Fault] = []
        self.arrivals: dict[str, list[float]] = {}
        """Key -> when it arrived, in the order in which they first did at each receiver."""
        self.ids: dict[str, set[str]] = {}
        self.traffic: dict[str, Traffic] = {}
        self.began = time.time()

    def say(self, text: str) -> None:
        """Print a line of progress."""
        self.read_arrivals()
        sent = sum(traffic.sent for traffic in self.traffic.values())
        accepted = sum(len(traffic.accepted) for traffic in self.traffic.values())
        counts = f"sent {sent:7,}  accepted {accepted:7,}  arrived {len(self.ids):7,}"
        print(f"{time.time() - self.began:7.1f} s  {counts}  {text}", flush=True)

    def read_arrivals(self) -> None:
        """Read what the receivers have written."""
        for receiver in self.receivers.values():
            for at, webhook_id, key in receiver.news():
                self.arrivals.setdefault(key, []).append(at)
                self.ids.setdefault(key, set()).add(webhook_id)

    def lasting(self, least: float, most: float) -> float:
        """Return how long a fault lasts; shorter in a short run."""
        return self.random.uniform(least, most) * self.scale

    async def chaos(self) -> None:
        """Do one fault after the other until the time is over; each round has all, and the first one is whole."""
        ends, names, rounds = time.time() + self.options.seconds, list[str](), 0
        while time.time() < ends or (rounds == 1 and names):
            if not names:
                rounds += 1
                names = self.random.sample(self.options.faults, len(self.options.faults))
            await asyncio.sleep(self.lasting(0.5, 3))
            name = names.pop()
            began = time.time()
            await self._make[name](self)
            self.faults.append(Fault(name, began, time.time()))
            self.say(f"{name} ({time.time() - began:.1f} s)")

    def missing(self) -> dict[str, list[str]]:
        """Return what was accepted and has not arrived, by traffic."""
        return {
            name: [key for key in traffic.accepted if key not in self.ids] for name, traffic in self.traffic.items()
        }

    def duplicates(self) -> Counter[str]:
        """Return how often something arrived again, by the fault near which it had been sent."""
        return Counter(self.cause_of(at) for arrivals in self.arrivals.values() for at in sorted(arrivals)[:-1])

    def cause_of(self, at: float) -> str:
        """Return the fault that is nearest to a delivery which was sent again later."""
        distances = [(max(fault.began - at, at - fault.ended, 0.0), fault.name) for fault in self.faults]
        distance, name = min(distances, default=(NEAR_SECONDS, ""))
        return name if distance < NEAR_SECONDS else "unexplained"

    def print_traffic(self) -> None:
        """Print what was sent, accepted and is missing."""
        for name, missing in self.missing().items():
            traffic = self.traffic[name]
            print(f"{name}: {traffic.sent:,} sent, {len(traffic.accepted):,} accepted, {len(missing):,} missing")

    def conclude(self, verdicts: Mapping[str, bool], sidecars: Iterable[Sidecar]) -> bool:
        """Print which of these texts hold, and of those that every soak has; return whether none does."""
        lines = [line for sidecar in sidecars for line in sidecar.output()]
        bugs = [line for sidecar in sidecars for event in BUGS for line in sidecar.log(event)]
        torn = [line for line in lines if "Traceback" in line]
        verdicts = {
            **verdicts,
            "an event has two ids": any(len(ids) > 1 for ids in self.ids.values()),
            "a duplicate has no cause": "unexplained" in self.duplicates(),
            f"bugs in the log: {dict(Counter(line['event'] for line in bugs))} {torn[:1]}": bool(bugs or torn),
        }
        wrong = [text for text, is_wrong in verdicts.items() if is_wrong]
        print("\n".join(f"WRONG: {text}" for text in wrong) or "all that is promised holds")
        for bug in bugs[:BUGS_SHOWN]:
            print(bug)
        return not wrong

    async def without_receiver(self, least: float, most: float) -> None:
        """Have nobody listen at one of the addresses, for so many seconds."""
        receiver = self.random.choice([*self.receivers.values()])
        receiver.kill()
        await asyncio.sleep(self.lasting(least, most))
        await asyncio.to_thread(receiver.start)

    def kill_receivers(self) -> None:
        """End them."""
        for receiver in self.receivers.values():
            receiver.kill()


def arguments(
    description: str | None,
    faults: Mapping[str, Callable[[Any], Awaitable[None]]],
    *,
    socket_rate: float,
    api_rate: float,
) -> argparse.ArgumentParser:
    """Return the parser of a soak's options."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--socket-rate", type=float, default=socket_rate)
    parser.add_argument("--api-rate", type=float, default=api_rate)
    parser.add_argument("--faults", nargs="+", choices=[*faults], default=[*faults])
    parser.add_argument("--log", type=Path, help="where to write the log")
    return parser

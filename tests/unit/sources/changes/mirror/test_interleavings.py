"""Any interleaving of requests through the route, changes behind its back, lists, late observations and crashes.

A Kong in memory is changed by steps that hypothesis chooses. What is reported in the end is held against what happened:

- no state of an entity is reported more often than the entity came into it;
- what a request led to is reported, by the route's observation or by a reconciliation, and for a request at most once;
- mirror and Kong are the same once everything is delivered and two reconciliations have passed;
- the last that is reported of an entity is its state, where the order of requests and pages is certain at all.
"""

import asyncio
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, NamedTuple

import hypothesis
import msgspec
import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kong_eventhooks_plugin.sources.changes.mirror import mirror as mirror_module
from kong_eventhooks_plugin.sources.changes.model import EntityChange
from tests.support.mirror_world import LISTED, RULES, Request, World, observation

EXAMPLES: Final = hypothesis.settings().max_examples
"""About ten seconds; raise it when the judge is changed."""

GONE: Final = "gone"
NAMES: Final = st.sampled_from(["ada", "grace", "joan"])
TAGS: Final = st.sampled_from([None, ["x"], ["y"]])
KEYS: Final = st.sampled_from(["k1", "k2"])
DELIVERY: Final = st.sampled_from(["now", "late"])

Key = tuple[str, str]


class Entered(NamedTuple):
    """An entity came into a state, at a time; ``request``: by the route."""

    state: str
    at: float
    request: int | None


def state_of(shown: dict[str, Any]) -> str:
    """Return what is compared of an entity: not its times."""
    kept = {name: value for name, value in shown.items() if name not in {"created_at", "updated_at", "ttl"}}
    return msgspec.json.encode(kept, order="deterministic").decode()


class Open(NamedTuple):
    """A request that Kong has not answered yet."""

    method: str
    path: str
    started_at: float
    number: int
    commit: Callable[[int], dict[str, Any] | None]


class Interleavings(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="mirror-"))
        self.world = World(self.folder)
        self.run(self.world.open())
        self.history: dict[Key, list[Entered]] = defaultdict(list)
        self.requests: dict[int, Request] = {}
        self.late: list[Request] = []
        self.open: list[Open] = []
        self.committed: list[tuple[Open, dict[str, Any] | None, bool]] = []
        self.spans: dict[Key, list[tuple[float, float]]] = defaultdict(list)
        self.task: asyncio.Task[Any] | None = None
        self.round_began: list[float] = []
        self.pages: list[tuple[float, float]] = []
        self.listings: list[list[float]] = []
        self.known_at = float("inf")
        """When the first reconciliation was done: it reports nothing of what happened behind the route before."""
        self.number = 0
        self.given: Counter[int] = Counter()

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    def teardown(self) -> None:
        try:
            self.settle()
            self.check()
        finally:
            self.run(self.world.close())
            self.runner.close()
            shutil.rmtree(self.folder)

    # the model

    @property
    def store(self) -> Any:
        return self.world.kong.store

    def entered(self, schema: str, entity: str, request: int | None) -> None:
        shown = self.world.kong.shown(schema, entity)
        state = GONE if shown is None else state_of(RULES.mask(schema, shown).shown)
        self.history[schema, entity].append(Entered(state, self.world.time(), request))

    def write(self, schema: str, name: str, fields: dict[str, Any], within: Any, request: int | None) -> Any:
        """Create or replace as a PUT does, or change; return what Kong answers."""
        row = self.store.find(schema, name, within)
        row = self.store.insert(schema, fields) if row is None else self.store.update(schema, row, fields)
        self.entered(schema, row["id"], request)
        return self.world.kong.shown(schema, row["id"])

    def remove(self, schema: str, name: str, within: Any, request: int | None) -> None:
        row = self.store.find(schema, name, within)
        if row is not None:
            for gone_schema, gone in self.store.delete(schema, row):
                self.entered(gone_schema, gone["id"], request)

    # what happens

    @initialize(names=st.sets(NAMES), first=st.booleans())
    def begin(self, names: set[str], first: bool) -> None:
        for name in sorted(names):
            self.write("consumers", name, {"username": name}, None, None)
        if first:
            self.run(self.world.reconcile())
            self.known_at = self.world.time()

    def request(self, method: str, path: str, commit: Callable[[int], Any], *, steps: str, delivery: str) -> None:
        """Begin a request, and unless ``steps`` says otherwise commit, answer and deliver it."""
        self.number += 1
        self.open.append(Open(method, path, self.world.time.advance(), self.number, commit))
        if steps == "whole":
            self.commit_one(len(self.open) - 1)
            self.answer_one(len(self.committed) - 1, delivery)

    def commit_one(self, at: int) -> None:
        self.world.time.advance()
        request = self.open.pop(at)
        before = {key: len(entries) for key, entries in self.history.items()}
        try:
            entity = request.commit(request.number)
        except LookupError:
            return  # Kong refused it
        for key, entries in self.history.items():
            if len(entries) != before.get(key, 0):
                self.spans[key].append((request.started_at, float("inf")))
        self.committed.append((request, entity, request.method == "DELETE"))

    def answer_one(self, at: int, delivery: str) -> None:
        if not self.committed:
            return
        asked, entity, _ = self.committed.pop(at)
        seen = Request(asked.method, asked.path, entity, asked.started_at, self.world.time.advance(), asked.number)
        self.requests[asked.number] = seen
        for key, entries in self.history.items():
            if any(entry.request == asked.number for entry in entries):
                spans = self.spans[key]
                spans.remove((asked.started_at, float("inf")))
                spans.append((asked.started_at, seen.seen_at))
        if delivery == "now":
            self.deliver(seen)
        else:
            self.late.append(seen)

    def deliver(self, seen: Request) -> None:
        changes = self.run(self.world.mirror.apply(observation(seen)))
        note(
            f"delivered {seen.method} {seen.path} [{seen.started_at}, {seen.seen_at}]: "
            f"{[(change.schema, change.operation, change.id[:8]) for change in changes]}"
        )

    STEPS = st.sampled_from(["whole", "whole", "begun"])

    @rule(name=NAMES, tags=TAGS, method=st.sampled_from(["POST", "PUT", "PATCH"]), steps=STEPS, delivery=DELIVERY,
          by_id=st.booleans())  # fmt: skip
    def write_consumer(self, name: str, tags: Any, method: str, steps: str, delivery: str, by_id: bool) -> None:
        def commit(number: int) -> Any:
            there = self.store.find("consumers", name) is not None
            if by_id and row and self.store.find("consumers", row["id"]) is None:
                raise LookupError  # by its id it would be another request
            if there if method == "POST" else (method == "PATCH" and not there):
                raise LookupError
            return self.write("consumers", name, {"username": name, "tags": tags}, None, number)

        row = self.store.find("consumers", name)
        key = row["id"] if by_id and row else name
        path = "/consumers" if method == "POST" else f"/consumers/{key}"
        self.request(method, path, commit, steps=steps, delivery=delivery)

    @rule(name=NAMES, tags=TAGS, delivery=DELIVERY, steps=STEPS)
    def put_consumer_again(self, name: str, tags: Any, delivery: str, steps: str) -> None:
        """PUT under an id that was there once."""
        ids = [
            entity for schema, entity in self.history if schema == "consumers" and not self.store.find(schema, entity)
        ]
        if not ids:
            return

        def commit(number: int) -> Any:
            if self.store.find("consumers", name) is not None or self.store.find("consumers", ids[0]) is not None:
                raise LookupError
            self.store.insert("consumers", {"username": name, "tags": tags}, ids[0])
            self.entered("consumers", ids[0], number)
            return self.world.kong.shown("consumers", ids[0])

        self.request("PUT", f"/consumers/{ids[0]}", commit, steps=steps, delivery=delivery)

    @rule(name=NAMES, steps=STEPS, delivery=DELIVERY, by_id=st.booleans())
    def delete_consumer(self, name: str, steps: str, delivery: str, by_id: bool) -> None:
        row = self.store.find("consumers", name)
        key = row["id"] if by_id and row else name
        self.request("DELETE", f"/consumers/{key}", lambda number: self.remove("consumers", key, None, number),
                     steps=steps, delivery=delivery)  # fmt: skip

    @rule(name=NAMES, key=KEYS, tags=TAGS, steps=STEPS, delivery=DELIVERY, kind=st.sampled_from(["key", "group"]))
    def write_child(self, name: str, key: str, tags: Any, steps: str, delivery: str, kind: str) -> None:
        schema, field, part = CHILDREN[kind]

        def commit(number: int) -> Any:
            parent = self.store.find("consumers", name)
            if parent is None or (kind == "key" and self._taken_elsewhere(key, parent["id"])):
                raise LookupError
            fields = {field: key, "tags": tags, "consumer": {"id": parent["id"]}}
            return self.write(schema, key, fields, ("consumer", parent["id"]), number)

        row = self.store.find("consumers", name)
        there = row is not None and self.store.find(schema, key, ("consumer", row["id"])) is not None
        path = f"/consumers/{name}/{part}"
        if steps == "begun":
            # Whether it will be there is not known yet; a PUT is right for both.
            self.request("PUT", f"{path}/{key}", commit, steps=steps, delivery=delivery)
        else:
            self.request("PATCH" if there else "POST", f"{path}/{key}" if there else path, commit,
                         steps=steps, delivery=delivery)  # fmt: skip

    def _taken_elsewhere(self, key: str, consumer: str) -> bool:
        row = self.store.find("keyauth_credentials", key)
        return row is not None and row["consumer"]["id"] != consumer

    @rule(name=NAMES, key=KEYS, steps=STEPS, delivery=DELIVERY, kind=st.sampled_from(["key", "group"]))
    def delete_child(self, name: str, key: str, steps: str, delivery: str, kind: str) -> None:
        schema, _, part = CHILDREN[kind]

        def commit(number: int) -> None:
            parent = self.store.find("consumers", name)
            if parent is None or self.store.find(schema, key, ("consumer", parent["id"])) is None:
                raise LookupError  # 404
            self.remove(schema, key, ("consumer", parent["id"]), number)

        self.request("DELETE", f"/consumers/{name}/{part}/{key}", commit, steps=steps, delivery=delivery)

    @rule(at=st.integers(0, 3))
    @precondition(lambda self: self.open)
    def commit_begun(self, at: int) -> None:
        self.commit_one(at % len(self.open))

    @rule(at=st.integers(0, 3), delivery=DELIVERY)
    @precondition(lambda self: self.committed)
    def answer_begun(self, at: int, delivery: str) -> None:
        self.answer_one(at % len(self.committed), delivery)

    @rule(at=st.integers(0, 3))
    @precondition(lambda self: self.late)
    def deliver_late(self, at: int) -> None:
        self.deliver(self.late.pop(at % len(self.late)))

    @rule(at=st.integers(0, 5))
    @precondition(lambda self: self.requests)
    def kong_calls_again(self, at: int) -> None:
        """Kong calls again at once where our answer was lost: only of what was delivered, and not long ago."""
        recent = self.round_began[-1] if self.round_began else 0.0
        numbers = [number for number, seen in self.requests.items() if seen not in self.late and seen.seen_at >= recent]
        if numbers:
            assert self.run(self.world.mirror.apply(observation(self.requests[numbers[at % len(numbers)]]))) == []

    @rule(name=NAMES, tags=TAGS)
    def write_behind(self, name: str, tags: Any) -> None:
        self.world.time.advance()
        self.write("consumers", name, {"username": name, "tags": tags}, None, None)

    @rule(name=NAMES)
    def delete_behind(self, name: str) -> None:
        self.world.time.advance()
        self.remove("consumers", name, None, None)

    @rule(name=NAMES, key=KEYS, tags=TAGS, kind=st.sampled_from(["key", "group"]))
    def write_child_behind(self, name: str, key: str, tags: Any, kind: str) -> None:
        schema, field, _ = CHILDREN[kind]
        parent = self.store.find("consumers", name)
        self.world.time.advance()
        if parent is not None and not (kind == "key" and self._taken_elsewhere(key, parent["id"])):
            fields = {field: key, "tags": tags, "consumer": {"id": parent["id"]}}
            self.write(schema, key, fields, ("consumer", parent["id"]), None)

    @rule(name=NAMES)
    def only_times_behind(self, name: str) -> None:
        """A write that changes nothing but the time is no difference for a reconciliation.

        It reports that write's state where it has not heard of the request that led to it before, which is late then.
        """
        self.world.time.advance()
        row = self.store.find("consumers", name)
        if row is not None:
            self.store.update("consumers", row, {})
            request = self.history["consumers", row["id"]][-1].request
            if request in {each.number for each in (*self.late, *(begun for begun, _, _ in self.committed))}:
                self.entered("consumers", row["id"], None)

    # rounds

    @rule()
    def advance(self) -> None:
        """Let the reconciliation go on by a page, or begin one."""
        self.advance_one()

    @rule(pages=st.integers(5, 12))
    def finish_round(self, pages: int) -> None:
        for _ in range(pages):
            self.advance_one()
            if self.task is None:
                return

    def advance_one(self) -> None:
        if self.task is None:
            self.hurry_old()
        self.run(self._advance())

    def hurry_old(self) -> None:
        """What began before the last reconciliation is answered and seen before the next one."""
        if not self.round_began:
            return
        while old := [at for at, each in enumerate(self.open) if each.started_at < self.round_began[-1]]:
            self.commit_one(old[0])
        while old := [at for at, each in enumerate(self.committed) if each[0].started_at < self.round_began[-1]]:
            self.answer_one(old[0], "late")
        for seen in [seen for seen in self.late if seen.started_at < self.round_began[-1]]:
            self.late.remove(seen)
            self.deliver(seen)

    async def _advance(self) -> None:
        self.world.held = True
        if self.task is None:
            self.round_began.append(self.world.time.advance())
            self.listings.append([self.world.time()])
            self.world.kong.at_page = self._note_page
            self.task = asyncio.create_task(self.world.reconciler.run_once())
        low = self.world.time.advance()
        if not await self.world.gate.next(self.task):
            assert self.task.result() == "done", self.world.reconciler.state()
            self.task = None
            self.known_at = min(self.known_at, self.world.time())
            note("round done")
        self.listings[-1].append(self.world.time())
        note(f"pages until {self.world.time()} from {low}")

    async def _note_page(self, path: str) -> None:
        """A page takes a moment."""
        self.world.time.advance(0.25)

    # telling and crashing

    @rule()
    def tell(self) -> None:
        self.run(self.world.publish())

    @rule()
    def crash(self) -> None:
        """Nothing is left but the file; what was not reported is reported again."""
        pending = self.run(self.world.mirror.pending(1_000))
        self.run(self._end_round())
        self.run(self.world.reopen())
        assert self.run(self.world.mirror.pending(1_000)) == pending
        note("crashed")

    async def _end_round(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            self.task = None

    # the end

    def settle(self) -> None:
        while self.open:
            self.commit_one(0)
        while self.committed:
            self.answer_one(0, "late")
        while self.task is not None:
            self.run(self._advance())
        for seen in self.late:
            self.deliver(seen)
        self.world.held = False
        for _ in range(3):
            self.listings.append([self.world.time(), 0.0])
            self.run(self.world.reconcile())
            self.listings[-1][1] = self.world.time()
            self.known_at = min(self.known_at, self.world.time())
        assert self.run(self.world.reconcile()) == [], "a quiet reconciliation reports nothing"

    def check(self) -> None:
        reported: dict[Key, list[EntityChange]] = defaultdict(list)
        for change in self.world.published:
            key = (change.schema, change.id)
            if change.operation != "delete" or change.entity.keys() > {"id"} or self._deleted(key, change):
                reported[key].append(change)
        self._check_mirror()
        self._check_once()
        for key, changes in reported.items():
            assert key in self.history, changes
            self._check_entity(key, changes)
        for key in self.history:
            self._check_complete(key, reported.get(key, []))

    def _deleted(self, key: Key, change: EntityChange) -> bool:
        """Before the first list is complete a delete of what is not known is reported, whether or not it was there."""
        number = int((change.actor.request_id or "").rpartition("-")[2]) if change.actor else None
        return any(entry.state == GONE and entry.request == number for entry in self.history.get(key, ()))

    def _check_mirror(self) -> None:
        known = self.world.all_known()
        for schema in LISTED:
            there = {
                row["id"]: state_of(RULES.mask(schema, self.store.shown(schema, row)).shown)
                for row in self.store.all(schema)
            }
            assert {entity: state_of(shown) for entity, shown in known[schema].items()} == there

    def _check_once(self) -> None:
        identities = Counter(change.identity for change in self.world.published)
        assert max(identities.values(), default=1) == 1
        roots = Counter(
            change.actor.request_id for change in self.world.published if change.actor and change.deleted_with is None
        )
        assert max(roots.values(), default=1) == 1, roots

    def _check_entity(self, key: Key, changes: list[EntityChange]) -> None:
        states = Counter(GONE if change.operation == "delete" else state_of(change.entity) for change in changes)
        came = Counter(entry.state for entry in self.history[key])
        assert states <= came, f"{key}: reported {states}, was {came}"
        last = self.history[key][-1]
        if self._is_uncertain(key) or (last.request is None and last.at <= self.known_at):
            return
        newest = max(enumerate(changes), key=lambda each: (each[1].at, each[0]))[1]
        assert (GONE if newest.operation == "delete" else state_of(newest.entity)) == last.state, key

    def _check_complete(self, key: Key, changes: list[EntityChange]) -> None:
        """What a request led to is reported, unless nobody could know of the entity when it was deleted."""
        states = Counter(GONE if change.operation == "delete" else state_of(change.entity) for change in changes)
        wanted = Counter(
            entry.state for entry in self.history[key] if entry.request is not None and entry.state != GONE
        )
        assert wanted <= states, f"{key}: reported {states}, requests led to {wanted}"
        if any(change.operation != "delete" for change in changes) and self.history[key][-1].state == GONE:
            assert states[GONE], key

    def _is_uncertain(self, key: Key) -> bool:
        """Return whether a request on the entity overlapped with another one, or with the lists of a reconciliation."""
        spans = self.spans[key]
        others = [tuple(times) for times in ((each[0], each[-1]) for each in self.listings)]
        return any(
            one is not other and one[0] <= other[1] and other[0] <= one[1]
            for one in spans
            for other in [*spans, *others]
        )


CHILDREN: Final = {"key": ("keyauth_credentials", "key", "key-auth"), "group": ("acls", "group", "acls")}


@pytest.mark.timeout(600)
def test_any_interleaving(monkeypatch: pytest.MonkeyPatch) -> None:
    # Observations may be late by two reconciliations, however short these are.
    monkeypatch.setattr(mirror_module, "RETENTION_SECONDS", 0.0)
    run_state_machine_as_test(
        Interleavings,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=40, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )  # fmt: skip

"""What a round of the mirror costs the sidecar: 100,000 entities, none of them changed.

``python benchmarks/mirror_round.py [--entities 100000] [--runs 3]``

Pages of 100 are prepared as Kong's Admin API writes them and handed to a round as bytes; what HTTP costs is not in it.
Measured is the process's CPU, user and system, all threads, of these kinds of round:

=========  =======================================================================================================
first      fills the mirror
fresh      after a start: the mirror is there, and no fingerprint; each entity is hidden and compared
quiet      every one after that: nothing has moved since the last round
reload     as a DB-less reload leaves it: other times, other order of fields; no fingerprint fits
renewed    the same, and each key has a new id
=========  =======================================================================================================

The peer decodes the same pages with msgspec in the same turn and does nothing else. Ratios are the peer's time by ours:
what part of the round the decoding alone would be. Memory is the process's peak, before the first round (with the
prepared pages in it) and at the end. Beside it how long ``apply`` takes while a round runs: one that fills a mirror,
one with new ids, and one with nothing new.
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import structlog
import uvloop

from kong_eventhooks_plugin.kong.admin_api.client import AdminPage
from kong_eventhooks_plugin.kong.admin_api.entities import EntityRules
from kong_eventhooks_plugin.model.entity_path import EntityPath
from kong_eventhooks_plugin.sources.changes.mirror.mirror import Mirror
from kong_eventhooks_plugin.sources.changes.model import Actor, RouteChange
from kong_eventhooks_plugin.sources.changes.reconciler import Reconciler, ReconcilerSettings

PAGE = 100
REACH_SECONDS = 3.0
"""Of CPU for a quiet round: what 5 leave for the mirror's own part."""

NOW = 1_795_278_830
"""When the entities say that they were made."""

Entity = dict[str, Any]


def _field(kind: str, **more: Any) -> Entity:
    return {"type": kind, **more}


_ID = {"id": _field("string", uuid=True, auto=True)}
_CREATED, _UPDATED = ({name: _field("integer", timestamp=True, auto=True)} for name in ("created_at", "updated_at"))
_TAGS = {"tags": _field("set", elements=_field("string"))}
_INTEGERS = ("port", "retries", "connect_timeout", "read_timeout", "write_timeout", "tls_verify_depth")
SCHEMAS = {
    "consumers": [_UPDATED, {"username": _field("string", unique=True)}, {"custom_id": _field("string", unique=True)}],
    "services": [
        _UPDATED,
        {"name": _field("string", unique=True)},
        *({name: _field("string")} for name in ("host", "path", "protocol")),
        *({name: _field("integer")} for name in _INTEGERS),
        {"enabled": _field("boolean")},
        {"tls_verify": _field("boolean")},
        {"ca_certificates": _field("array", elements=_field("string"))},
        {"client_certificate": _field("foreign", reference="certificates")},
    ],
    "keyauth_credentials": [
        {"consumer": _field("foreign", reference="consumers", on_delete="cascade")},
        {"key": _field("string", unique=True, auto=True)},
    ],
}
PATHS = {"consumers": "/consumers", "services": "/services", "keyauth_credentials": "/key-auths"}
SHARES = {"consumers": 0.5, "services": 0.1, "keyauth_credentials": 0.4}
"""A gateway with many consumers, and a key for most of them."""


def _uid(kind: int, number: int) -> str:
    """Return an id as random as Kong's: what refers to what is all over the mirror's indexes."""
    return str(UUID(bytes=blake2b(b"%d %d" % (kind, number), digest_size=16).digest()))


def consumer(number: int) -> Entity:
    """Return a consumer."""
    return {
        "id": _uid(1, number), "username": f"consumer-{number}", "custom_id": f"c{number:06}",
        "tags": ["gold", f"team-{number % 50}"], "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip


def service(number: int) -> Entity:
    """Return a service."""
    return {
        "id": _uid(2, number), "name": f"service-{number}", "host": f"upstream-{number}.example", "port": 8080,
        "path": "/v1", "retries": 5, "protocol": "http", "enabled": True, "connect_timeout": 60_000,
        "read_timeout": 60_000, "write_timeout": 60_000, "client_certificate": None, "ca_certificates": None,
        "tls_verify": None, "tls_verify_depth": None, "tags": None, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip


def credential(number: int) -> Entity:
    """Return a key of a consumer."""
    return {
        "id": _uid(3, number), "consumer": {"id": _uid(1, number)}, "key": f"key-{number:032x}", "ttl": None,
        "tags": None, "created_at": NOW,
    }  # fmt: skip


def reloaded(entity: Entity) -> Entity:
    """Return an entity as a reload leaves it."""
    turned = dict(reversed(entity.items()))
    return {name: value + 60 if name in {"created_at", "updated_at"} else value for name, value in turned.items()}


def renewed(entity: Entity) -> Entity:
    """Return an entity as a reload leaves it that gives keys new ids."""
    return reloaded(entity | {"id": str(UUID(entity["id"][::-1]))} if "key" in entity else entity)


MAKE: Mapping[str, Callable[[int], Entity]] = {
    "consumers": consumer, "services": service, "keyauth_credentials": credential,
}  # fmt: skip

Lists = dict[str, list[bytes]]


def lists(entities: int, change: Callable[[Entity], Entity] = lambda entity: entity) -> Lists:
    """Return every list's pages as bytes, by path; in the order of the ids, as Kong lists."""
    found = {}
    for schema, make in MAKE.items():
        made = sorted((change(make(n)) for n in range(round(entities * SHARES[schema]))), key=itemgetter("id"))
        found[PATHS[schema]] = [
            msgspec.json.encode({"data": made[at : at + PAGE], "next": None}) for at in range(0, len(made), PAGE)
        ]
    return found


class Client:
    """Answers with prepared pages."""

    def __init__(self, prepared: Lists) -> None:
        self.prepared = prepared
        self.status: Entity = {}

    async def get(self, path: str, query: dict[str, str] | None = None) -> Entity:
        """Return the status of a node: with a database, unless it has a configuration_hash."""
        return self.status

    async def page(self, path: str, size: int, offset: str | None = None) -> AdminPage:
        """Return a page, decoded."""
        if path not in self.prepared:
            return AdminPage([], None)
        at = int(offset or 0)
        following = str(at + 1) if at + 1 < len(self.prepared[path]) else None
        return AdminPage(msgspec.json.decode(self.prepared[path][at])["data"], following)


class Shape:
    """Says what the node has."""

    def __init__(self) -> None:
        schemas = {name: {"fields": [_ID, _CREATED, _TAGS, *fields]} for name, fields in SCHEMAS.items()}
        self._rules = EntityRules(schemas, {}, bytes(32))

    def endpoints(self) -> Any:
        """Return the paths: this."""
        return self

    def lists(self) -> tuple[tuple[str, str], ...]:
        """Return schemas and paths."""
        return tuple(PATHS.items())

    def nested(self, schema: str) -> tuple[tuple[str, str], ...]:
        """Return no lists under other entities."""
        return ()

    def entities(self) -> EntityRules:
        """Return the rules."""
        return self._rules

    async def refresh(self) -> bool:
        """Say that nothing is new."""
        return False

    async def learn(self, schema: str, entity: Mapping[str, Any]) -> bool:
        """Say that nothing is known."""
        return False


class Side:
    """A mirror in a folder, and rounds over it without any pause."""

    def __init__(self, folder: Path, client: Client) -> None:
        self.shape = Shape()
        self.mirror = Mirror(folder / "gateway.db", self.shape.entities)
        settings = ReconcilerSettings("http://kong:8001", page_size=PAGE, pause_factor=0.0, grace=0.0)
        self.rounds = Reconciler(self.mirror, client, self.shape, settings)

    async def round(self) -> float:
        """Run one round; return its CPU seconds. Nothing is to be found."""
        began = time.process_time()
        outcome = await self.rounds.run_once()
        spent = time.process_time() - began
        assert outcome == "done", self.rounds.state()
        assert self.mirror.outbox_size == 0, self.mirror.outbox_size
        return spent


def decode(prepared: Lists) -> float:
    """Decode every page, as the peer; return the CPU seconds."""
    began = time.process_time()
    for pages in prepared.values():
        for page in pages:
            msgspec.json.decode(page)
    return time.process_time() - began


async def applying(mirror: Mirror, spent: list[float]) -> None:
    """Have the route see a consumer that is made and deleted, again and again, until cancelled."""
    place = EntityPath("consumers", None, (), None, None, None, "/consumers")
    named = place._replace(key=_uid(9, 9), masked=f"/consumers/{_uid(9, 9)}")
    entity = {**consumer(9), "id": _uid(9, 9), "username": "new", "custom_id": "new"}
    while True:
        for method, where, body in (("POST", place, entity), ("DELETE", named, None)):
            now = time.time()
            began = time.perf_counter()
            seen = RouteChange(where, method, body, Actor(method, where.masked), now, now)
            changes = await mirror.apply(seen)
            spent.append(time.perf_counter() - began)
            await mirror.mark_published([change.identity for change in changes])
            await asyncio.sleep(0.02)


class Times(dict[str, list[float]]):
    """How long applies took, by what ran meanwhile."""

    async def during(self, kind: str, side: Side) -> None:
        """Run a round with applies beside it."""
        task = asyncio.create_task(applying(side.mirror, self.setdefault(kind, [])))
        await side.rounds.run_once()
        task.cancel()
        await asyncio.wait([task])


async def measure(folder: Path, plain: Lists, again: Lists, new: Lists) -> dict[str, tuple[float, float]]:
    """Return (our, the peer's) CPU seconds by kind of round."""
    client = Client(plain)
    found = {}
    side = Side(folder, client)
    await side.mirror.open()
    found["first"] = (await side.round(), decode(plain))
    await side.mirror.close()
    side = Side(folder, client)
    await side.mirror.open()
    found["fresh"] = (await side.round(), decode(plain))
    found["quiet"] = (await side.round(), decode(plain))
    client.prepared = again
    found["reload"] = (await side.round(), decode(again))
    client.prepared, client.status = new, {"configuration_hash": "1"}
    found["renewed"] = (await side.round(), decode(new))
    await side.mirror.close()
    return found


async def measure_applies(folder: Path, plain: Lists, new: Lists, times: Times) -> None:
    """Have applies beside rounds."""
    client = Client(plain)
    side = Side(folder, client)
    await side.mirror.open()
    await times.during("first", side)
    client.prepared, client.status = new, {"configuration_hash": "1"}
    await times.during("renewed", side)
    await times.during("quiet", side)
    await side.mirror.close()


def peak() -> float:
    """Return the most memory that the process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


def main() -> None:
    """Run the rounds in turn with the peer; print CPU seconds, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    plain, again, new = (lists(options.entities, *change) for change in ((), (reloaded,), (renewed,)))
    before = peak()
    runs = []
    times = Times()
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(uvloop.run(measure(Path(folder), plain, again, new)))
        with tempfile.TemporaryDirectory() as folder:
            uvloop.run(measure_applies(Path(folder), plain, new, times))
    for kind in runs[0]:
        ours, peers = (statistics.median(run[kind][at] for run in runs) for at in (0, 1))
        ratio = statistics.median(run[kind][1] / run[kind][0] for run in runs)
        print(f"{kind:8} ours {ours:6.2f}  decoding alone {peers:6.2f} CPU s, ratio {ratio:.2f}")
        if kind == "quiet":
            print(f"{'':8} reach {REACH_SECONDS:g} s: {'reached' if ours <= REACH_SECONDS else 'NOT reached'}")
    for kind, applies in times.items():
        applies.sort()
        middle, late = (applies[len(applies) * share // 100] * 1_000 for share in (50, 99))
        print(f"{'apply':8} {kind} round: median {middle:.1f} ms, p99 {late:.1f} ms of {len(applies)}")
    print(f"{'memory':8} peak {before:.0f} MB before the first round, {peak():.0f} MB at the end")


if __name__ == "__main__":
    main()

"""``store migrate``: what it prints and refuses (what it moves: ``tests/unit/queue/migration``); ``store status``."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from kong_eventhooks_plugin.cli.store import _Progress, command
from kong_eventhooks_plugin.errors import SettingsError
from kong_eventhooks_plugin.queue.contract import EndpointHealth
from kong_eventhooks_plugin.queue.migration import source
from kong_eventhooks_plugin.queue.nodes import Node, SpoolState
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from kong_eventhooks_plugin.storage.data_directory import claim
from tests.support.clock import FakeClock
from tests.support.postgres import Cluster
from tests.support.queue import offer
from tests.unit.queue.migration.conftest import API, EVENTS, fill


@pytest.fixture
async def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    await fill(tmp_path / "data/events.db", FakeClock())
    return tmp_path / "data"


def migrate(data_dir: Path, *options: str) -> Result:
    return CliRunner().invoke(command, ["migrate", "--from", str(data_dir), *options])


def test_both_sides_are_counted(data_dir: Path, postgres_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BATCH", 7)
    monkeypatch.setattr("kong_eventhooks_plugin.cli.store.LINE_SECONDS", 0.0)
    done = migrate(data_dir, "--to", postgres_store)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:2] == [
        "                    IN THE FILE  IN THE STORE",
        f"events              {EVENTS}           {EVENTS}",
    ]
    assert done.stdout.splitlines()[-2:] == [
        "API hooks           1            1",
        "endpoints           1            1",
    ]
    lines = done.stderr.splitlines()
    assert lines[:2] == ["moving 0 of 40 events (0 %)", "moving 7 of 40 events (17 %)"]
    assert lines[-1] == "counting 40 of 40 events (100 %)"


def test_counts_that_differ_end_in_1(data_dir: Path, postgres_store: str) -> None:
    (data_dir.parent / "url").write_text(postgres_store)
    assert migrate(data_dir, "--store-url-file", str(data_dir.parent / "url")).exit_code == 0
    with psycopg.connect(postgres_store, autocommit=True) as connection:
        connection.execute("DELETE FROM kong_event_hooks.definitions")
    done = migrate(data_dir, "--to", postgres_store)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == "kong-event-hooks: the counts differ: not everything is in the store."
    assert "40 of the events had been moved by an earlier run." in done.stdout


def test_a_directory_that_a_sidecar_uses_is_refused(data_dir: Path, postgres_store: str) -> None:
    assert claim(data_dir, "/run/one.sock", ("kong.yml",)) is not None
    refused(
        migrate(data_dir, "--to", postgres_store), "the sidecar of the socket /run/one.sock uses it; stop that first"
    )


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    refused(migrate(tmp_path), "--to or --store-url-file: name the PostgreSQL that nodes share")
    refused(migrate(tmp_path, "--to", "postgresql://h/d"), "there is no such file; name a sidecar's data directory")
    refused(migrate(tmp_path, "--to", "mysql://h/d"), "store: ")


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress = _Progress()
    for done in (0, 1, 50, 100):
        progress("moving", done, 100)
    drawn = capsys.readouterr().err.split("\r")
    assert drawn[-2:] == [
        "moving 50 of 100 events [" + 15 * "#" + 15 * " " + "]  50 %",
        "moving 100 of 100 events [" + 30 * "#" + "] 100 %\n",
    ]


async def test_status_shows_nodes_owners_and_what_waits(postgres_store: str) -> None:
    async with AsyncExitStack() as stack:
        queues = []
        for name in ("one", "two"):
            queue = PostgresQueue(postgres_store, process=name)
            await queue.open()
            stack.push_async_callback(queue.close)
            queue.nodes.spooled = lambda: SpoolState(3, 700, time.time() - 30)
            row = Node(
                name, f"id-{name}", f"host {name}", "0.1.0", frozenset({f"of {name}", "of both"}), kong=f"kong-{name}"
            )
            await queue.nodes.beat(row)
            await queue.nodes.beat(row)
            queues.append(queue)
        await queues[0].store_definitions([API], [])
        await queues[0].offer(offer(1, "of one", API.id))
        await queues[0].save_endpoint(EndpointHealth(API.id, failing_since=1.0, disabled="gone", disabled_at=2.0))
        shown = json.loads((await status(postgres_store, "--output", "json")).stdout)
        assert shown["store"]["deliveries"] == {"pending": 2, "leased": 0, "delivered": 0, "dead": 0}
        assert shown["store"]["bytes"] > 100_000
        for node, name in zip(shown["nodes"], ("one", "two"), strict=True):
            assert (node["id"], node["state"], node["spooled"], node["spooled_bytes"]) == (f"id-{name}", "live", 3, 700)
            assert 29 < node["spooled_seconds"] < 60
            assert node["seen_seconds"] < 6
        hooks = {hook["id"]: hook for hook in shown["hooks"]}
        assert hooks["of one"]["owner_id"] == "id-one"
        assert hooks["of two"]["owner_id"] == "id-two"
        assert hooks["of both"]["owner_id"] in {"id-one", "id-two"}
        assert (hooks[API.id]["name"], hooks[API.id]["waiting"], hooks[API.id]["disabled"]) == ("made", 1, "gone")
        assert sum(node["owns"] for node in shown["nodes"]) == len(hooks) == 4
        lines = (await status(postgres_store)).stdout.splitlines()
        assert [line.split()[:3] for line in lines if line.startswith("host")] == [
            ["host", "one", "id-one"],
            ["host", "two", "id-two"],
        ]
        with psycopg.connect(postgres_store, autocommit=True) as connection:
            connection.execute("UPDATE kong_event_hooks.nodes SET seen_at = seen_at - 60 WHERE process = 'one'")
        shown = json.loads((await status(postgres_store, "--output", "json")).stdout)
        assert [node["state"] for node in shown["nodes"]] == ["silent", "live"]
        owners = {hook["id"]: hook["owner_id"] for hook in shown["hooks"]}
        assert owners == {"of one": None, "of two": "id-two", "of both": "id-two", API.id: "id-two"}


async def test_status_of_a_database_without_a_store(postgres_cluster: Cluster) -> None:
    failed = await status(postgres_cluster.url("template1"))
    assert "there is no store yet" in str(failed.exception)


async def status(url: str, *options: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, command, ["status", "--store", url, *options])


def refused(done: Result, why: str) -> None:
    assert isinstance(done.exception, SettingsError)
    assert why in str(done.exception)

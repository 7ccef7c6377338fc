"""What is said where the store cannot be used: the store's name, what to do, and never the password."""

import asyncio
from operator import attrgetter

import asyncpg
import psycopg
import pytest
import structlog

from kong_eventhooks_plugin.errors import QueueError, SettingsError, StoreUnavailable
from kong_eventhooks_plugin.queue.contract import Candidate
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue, schema
from kong_eventhooks_plugin.queue.postgresql.connection import Address
from kong_eventhooks_plugin.queue.postgresql.errors import POOLER, to_queue_error
from kong_eventhooks_plugin.queue.postgresql.leases import Claim
from kong_eventhooks_plugin.queue.postgresql.write import Write
from kong_eventhooks_plugin.telemetry.raised import raised_at
from tests.support.postgres_proxy import Proxy
from tests.support.queue import SOURCE, attempt, delivered, event, id_of, offer, settled_soon
from tests.unit.queue.postgresql.conftest import Opener


async def refused(url: str) -> str:
    queue = PostgresQueue(url)
    with pytest.raises(StoreUnavailable) as error:
        await queue.open()
    assert "s3cret" not in str(error.value)
    assert queue.error() == str(error.value)
    return str(error.value)


async def test_nobody_listens(unused_tcp_port: int) -> None:
    text = await refused(f"postgresql://role:s3cret@127.0.0.1:{unused_tcp_port}/kong")
    assert text.startswith(f"PostgreSQL 127.0.0.1:{unused_tcp_port}/kong: cannot be reached: ")
    assert text.endswith("check that PostgreSQL runs there and accepts this host")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("sslmode=banana", "`store` is not right: `sslmode` parameter must be one of"),
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "`sslrootcert` in `store`: /nowhere/ca.pem is not there"),
    ],
)
async def test_a_wrong_option(unused_tcp_port: int, options: str, text: str) -> None:
    assert text in await refused(f"postgresql://role:s3cret@127.0.0.1:{unused_tcp_port}/kong?{options}")


async def test_no_such_database(postgres_store: str) -> None:
    assert "there is no such database: create it" in await refused(postgres_store.replace("/store?", "/nowhere?"))


async def test_no_such_role(postgres_store: str) -> None:
    text = await refused(postgres_store.replace("postgres@", "nobody:s3cret@"))
    assert "it refuses the login: check the role in `store`" in text


def test_an_address_that_is_none() -> None:
    for url in ("", "db.example.com", "mysql://root:s3cret@db/kong", "postgresql://[::1/kong"):
        with pytest.raises(SettingsError, match="for example postgresql://") as error:
            Address(url)
        assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("password", ["s3cret/x", "1/s3cret", "s3cret#x", "s3cret?x", "1#s3cret", "1/s3c@cret"])
def test_a_password_that_is_not_encoded_is_in_no_name(password: str) -> None:
    with pytest.raises(SettingsError, match="in a password") as error:
        Address(f"postgresql://role:{password}@db.example.com/kong")
    assert "cret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://role:s3cret@db/kong", "PostgreSQL db/kong"),
        ("postgresql://role@a:5432,b:5433/kong?password=s3cret&sslmode=require", "PostgreSQL a:5432,b:5433/kong"),
        ("postgres://role:s3cret@[::1]:5432/kong", "PostgreSQL [::1]:5432/kong"),
        ("postgresql:///kong?host=/run/postgresql", "PostgreSQL /run/postgresql/kong"),
    ],
)
def test_what_a_store_is_called(url: str, name: str) -> None:
    assert Address(url).name == name
    assert "s3cret" not in repr(Address(url))


async def test_a_pooler(postgres_store: str, proxy: Proxy) -> None:
    """One that ignores what a connection asks for would have the tables made in another schema."""
    proxy.ignored = b"search_path\0kong_event_hooks\0"
    assert f"it has not set what the connection asked for: {POOLER}" in await refused(proxy.url)
    refusal = asyncpg.ProtocolViolationError("unsupported startup parameter: search_path")  # another one
    assert POOLER in str(to_queue_error(refusal, "a store"))


async def test_a_database_that_has_not_every_character(postgres_store: str) -> None:
    """An attempt whose record cannot be written is made again and again."""
    with psycopg.connect(postgres_store, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin1 ENCODING 'LATIN1' TEMPLATE template0")
        try:
            text = await refused(postgres_store.replace("/store?", "/latin1?"))
            assert "the encoding of its database is LATIN1" in text
        finally:
            connection.execute("DROP DATABASE latin1 WITH (FORCE)")


async def test_a_newer_schema_is_refused_and_left_as_it_is(postgres_store: str) -> None:
    with psycopg.connect(postgres_store, autocommit=True) as connection:
        connection.execute("UPDATE kong_event_hooks.schema_version SET version = version + 1")
        try:
            assert "was written by a newer version of this program" in await refused(postgres_store)
        finally:
            connection.execute("UPDATE kong_event_hooks.schema_version SET version = version - 1")


async def test_an_upgrade_of_the_schema_is_told(postgres_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setattr(schema, "MIGRATIONS", {schema.VERSION: "SELECT 1"})
    queue = PostgresQueue(postgres_store)
    try:
        with structlog.testing.capture_logs() as logs:
            await queue.open()
        (told,) = [line for line in logs if line["event"] == "store_upgraded"]
        assert (told["was"], told["now"]) == (schema.VERSION - 1, schema.VERSION)
    finally:
        await queue.close()
        with psycopg.connect(postgres_store, autocommit=True) as connection:
            connection.execute("UPDATE kong_event_hooks.schema_version SET version = version - 1")


async def test_a_server_that_becomes_read_only(postgres_store: str, opened: Opener) -> None:
    async with opened() as queue:
        await queue.offer(offer(1))
        with psycopg.connect(postgres_store, autocommit=True) as connection:
            connection.execute("ALTER DATABASE store SET default_transaction_read_only = on")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'kong%'"
            )
            try:
                with pytest.raises(StoreUnavailable, match="it is read-only: a standby, or a failover is under way"):
                    await queue.offer(offer(2))
                assert "read-only" in (queue.error() or "")
                assert (await queue.get(id_of(1))).state == "pending"
            finally:
                connection.execute("SET default_transaction_read_only = off")
                connection.execute("ALTER DATABASE store RESET default_transaction_read_only")
        assert (await queue.offer(offer(2))).fired == ("h",)
        assert queue.error() is None


async def test_a_role_that_owns_the_schema_needs_nothing_else(postgres_store: str) -> None:
    with psycopg.connect(postgres_store, autocommit=True) as connection:
        connection.execute("CREATE ROLE owner LOGIN; CREATE ROLE guest LOGIN")
        connection.execute("REVOKE ALL ON DATABASE store FROM PUBLIC; GRANT CONNECT ON DATABASE store TO owner, guest")
        connection.execute(
            "ALTER SCHEMA kong_event_hooks RENAME TO aside; CREATE SCHEMA kong_event_hooks AUTHORIZATION owner"
        )
        try:
            queue = PostgresQueue(postgres_store.replace("postgres@", "owner@"))
            await queue.open()
            assert (await queue.offer(offer(1))).fired == ("h",)
            await queue.close()
            text = await refused(postgres_store.replace("postgres@", "guest@"))
            assert "the role may not do that: it has to own the schema" in text
        finally:
            connection.execute("DROP SCHEMA kong_event_hooks CASCADE; ALTER SCHEMA aside RENAME TO kong_event_hooks")
            connection.execute("DROP OWNED BY owner, guest; DROP ROLE owner, guest")


async def test_what_the_store_cannot_keep_fails_alone(opened: Opener) -> None:
    async with opened() as queue:
        first, wrong, last = queue.offer(offer(1)), queue.offer(offer(2, Candidate("h", "a\0b"))), queue.offer(offer(3))
        assert ((await first).fired, (await last).fired) == (("h",), ("h",))
        with pytest.raises(QueueError, match="the store cannot keep this"):
            await wrong
        assert queue.error() is None


async def test_an_attempts_texts_are_kept_as_far_as_they_can_be(opened: Opener) -> None:
    async with opened() as queue:
        await queue.offer(offer(1))
        await queue.claim("h", 1, 60)
        await queue.settle([delivered(id_of(1), detail="a\0b \ud800", body=b"\0")])
        assert await queue.attempts(id_of(1)) == [attempt(1, "delivered", detail="a\ufffdb ?", body=b"\0")]
        assert (await queue.event(event(1).id)).source == SOURCE


@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("_group_commit", "_take"),
        ("_group_commit", "_commit"),
        ("_group_commit._lane", "call"),
        ("_group_commit", "_committed"),
        ("_group_commit", "_wake"),
    ],
)
async def test_a_bug_in_the_cycle_fails_what_waits_and_the_cycle_goes_on(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, part: str, method: str
) -> None:
    bug = RuntimeError("secret")

    def fail(*_: object, **__: object) -> None:
        raise bug

    async with opened() as queue:
        cycle = queue._group()
        with structlog.testing.capture_logs() as logs:
            with monkeypatch.context() as patched:
                patched.setattr(attrgetter(part)(queue), method, fail)
                waiting = [queue.offer(offer(key)) for key in range(3)]
                waiting.append(cycle.claim(Claim("h", 1, 60)))
                waiting += [settled_soon(queue, list, prompt=True), cycle.settle(list)]
                ended = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
            text = f"{queue._address.name}: RuntimeError raised in {raised_at(bug)}"
            if method != "_wake":  # which comes after the answers
                assert {str(one) for one in ended if isinstance(one, StoreUnavailable)} == {text}
                assert len(ended) == 6
            assert (queue.error(), cycle.waiting) == (text, 0)
            assert [one["exc_info"] for one in logs if one["event"] == "store_unavailable"] == [bug]
            assert (await asyncio.wait_for(queue.offer(offer("after")), 10)).fired
        assert queue.error() is None
        assert logs[-1]["event"] == "store_recovered"


async def test_a_bug_in_a_transaction_is_no_fault_of_the_store(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool drops what the store cannot keep; this it offers again."""
    async with opened() as queue:
        with structlog.testing.capture_logs() as logs, monkeypatch.context() as patched:
            patched.setattr(Write, "values", lambda *_: 1 // 0)
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="ZeroDivisionError raised in"):
                    await queue.offer(offer(1))
        assert [type(one["exc_info"]) for one in logs] == [ZeroDivisionError]
        assert (await queue.offer(offer(1))).fired == ("h",)

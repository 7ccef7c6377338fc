"""Options and hypothesis profiles of the whole suite."""

import gc
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.support.postgres import Cluster, StoreDatabase

# Read when grpc is imported, here and in every process that a test starts with this environment: its core would write
# lines of its own into the tests' output. What the core has to say of an error reaches the caller as a status.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# CI machines are shared: an example that took long says nothing about the code, and nor does a slow generator.
hypothesis.settings.register_profile(
    "explore", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# The same examples in every run of the same tests, so that a change is judged by what it did. (Hypothesis tries
# constants of what is imported: beside other tests a test has others.) To look for new ones:
# HYPOTHESIS_PROFILE=explore.
hypothesis.settings.register_profile("long", hypothesis.settings.get_profile("explore"), derandomize=True)
# A sample of them, for `make test`: .ci/run makes all of them, with --long.
hypothesis.settings.register_profile("short", hypothesis.settings.get_profile("long"), max_examples=15)


MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 << 30


def write_to_memory() -> None:
    """Have temporary folders in memory where it has room, unless TMPDIR says where they are.

    Many tests open a store, and none ends the machine: to wait for the disk proves nothing, and is a third of the CPU
    that a store's opening costs and most of its time.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    there = os.statvfs(MEMORY)
    if not there.f_flag & os.ST_NOEXEC and there.f_bavail * there.f_frsize >= MEMORY_BYTES:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


def pytest_configure(config: pytest.Config) -> None:
    write_to_memory()
    gc.disable()  # while tests are collected: all of it stays
    default = "long" if config.getoption("--long") else "short"
    hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", default))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked as long, unless this is a long run."""
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def pytest_collection_finish() -> None:
    """Keep thousands of collected tests out of every later garbage collection."""
    gc.enable()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        action="store_true",
        help="all examples of hypothesis, all of the API's calls, and what is marked as long; else a sample",
    )
    parser.addoption(
        "--postgres",
        action="store_true",
        default=os.environ.get("POSTGRES_TESTS") == "required",
        help="fail where PostgreSQL's programs are not installed, in place of skipping what needs them",
    )
    parser.addoption(
        "--kong-bin",
        metavar="PATH",
        default=os.environ.get("KONG_BIN"),
        help="a native kong executable (3.9 or newer); tests/integration runs against it",
    )
    parser.addoption(
        "--docker",
        metavar="PATH",
        help="a Docker client whose engine has the image kong-event-hooks; tests/containers runs Compose with it",
    )
    parser.addoption(
        "--kong-image",
        metavar="IMAGE",
        help="an image of Kong (3.9 or newer) for tests/containers, in place of the recorded Kong",
    )
    parser.addoption(
        "--deck-bin",
        metavar="PATH",
        default=os.environ.get("DECK_BIN"),
        help="a decK executable (1.62 or newer), for tests/integration/test_deck_real_kong.py",
    )
    parser.addoption(
        "--kong-pg",
        metavar="URL",
        default=os.environ.get("KONG_PG"),
        help="a PostgreSQL for that Kong, as a role that may create databases: postgresql://USER:PASSWORD@HOST:PORT/DB",
    )


@pytest.fixture(scope="session")
def postgres_programs(request: pytest.FixtureRequest) -> Path:
    """PostgreSQL's programs. Skips where there are none, unless --postgres asks for them."""
    from tests.support import postgres

    programs = postgres.binaries()
    if programs is None:
        missing = f"no PostgreSQL is installed: no initdb in {', '.join(postgres.PLACES)} or on PATH"
        if request.config.getoption("--postgres"):
            pytest.fail(missing)
        pytest.skip(missing)
    return programs


@pytest.fixture(scope="session")
def postgres_cluster(postgres_programs: Path) -> "Iterator[Cluster]":
    """A PostgreSQL of this process of tests."""
    from tests.support import postgres

    with postgres.cluster(postgres_programs) as made:
        yield made


@pytest.fixture(scope="session")
def postgres_database(postgres_cluster: "Cluster") -> "Iterator[StoreDatabase]":
    from tests.support import postgres

    with postgres.store_database(postgres_cluster) as made:
        yield made


@pytest.fixture
def postgres_store(postgres_database: "StoreDatabase") -> str:
    """The URL of a store that has its schema and no row."""
    postgres_database.empty()
    return postgres_database.url


@pytest.fixture
def unused_tcp_port() -> Iterator[int]:
    """A port of loopback where nobody listens, and nobody else will while the test runs: it is bound all the time."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])

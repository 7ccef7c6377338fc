"""The OpenAPI document against the running API: schemathesis makes up requests, good and bad, from a fixed seed.

The API runs on a real socket over a real store; its handlers answer without dialling, so that no made-up URL is called.
It takes as long as it sounds: ``.ci/run`` makes the runs, and ``make test`` leaves them out.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from kong_eventhooks_plugin.api.rest.app import rest_app
from kong_eventhooks_plugin.api.service.access import Access
from tests.support.api import Api, running

SUPPORT = Path(__file__).parents[1] / "support"
SEED = 20_260_131
DEFINITIONS = r"/event-hooks(/preview|/\{hook\}(/preview)?)?$"
"""The calls that take a hook's definition, whose schema is more than schemathesis can make examples of."""
EXAMPLES = 6
"""How many requests are made up for each operation, at the least; what time allows."""
JSON = ("--phases", "coverage,fuzzing", "--exclude-path-regex", DEFINITIONS)
FORMS = (
    "--phases", "fuzzing", "--include-method", "POST", "--include-method", "PUT", "--include-method", "PATCH",
    "--exclude-path", "/deliveries/{delivery}/replay", "--exclude-path-regex", DEFINITIONS,
)  # fmt: skip
SOUND = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance",
)  # fmt: skip
"""Checks that hold whatever was sent; a run that names none makes them all, but for what schemathesis.toml says."""


async def schemathesis(api: Api, folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run it against the API, here; return its exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(SUPPORT / "schemathesis.toml"), "run",
        f"{api.base}/openapi.json", "--seed", str(SEED), "--exclude-path", "/events/stream", "--no-shrink",
        "--suppress-health-check", "filter_too_much,too_slow", "--warnings", "off",
        "--max-examples", str(EXAMPLES), *arguments,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks",
             "PYTHONPATH": str(SUPPORT.parents[1]), "COLUMNS": "200", **environment},
    )  # fmt: skip
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


async def with_something_to_find(api: Api) -> None:
    api.declare({"name": "declared", "source": "rate-limiting", "handler": "log"})
    await api.service.hooks.create(
        {"name": "0", "source": "custom", "handler": "webhook", "config": {"url": "http://x/"}}
    )
    await api.service.events.publish("deploy", {"a": 1})


@pytest.mark.long
async def test_json_as_described(tmp_path: Path) -> None:
    async with running(tmp_path) as api, api.served():
        await with_something_to_find(api)
        status, printed = await schemathesis(api, tmp_path, *JSON)
    assert status == 0, printed[-20_000:]


@pytest.mark.long
async def test_no_form_breaks_it(tmp_path: Path) -> None:
    async with running(tmp_path) as api, api.served():
        await with_something_to_find(api)
        status, printed = await schemathesis(api, tmp_path, *FORMS, "--checks", ",".join(SOUND), FORMS="1")
    assert status == 0, printed[-20_000:]


async def test_the_document_names_every_call_of_the_application(tmp_path: Path) -> None:
    async with running(tmp_path) as api, api.served() as client:
        described = (await client.get("/openapi.json")).json()
        app = rest_app(api.service, Access(), api.feed, api.known)
    served = {
        (route.method.lower(), route.resource.canonical.removesuffix("/"))
        for route in app.router.routes()
        if route.resource is not None and route.method not in ("HEAD", "OPTIONS")
    }
    alone = {(method, path) for method, path in served if not path.startswith("/{workspace}")}
    below = {(method, path.removeprefix("/{workspace}")) for method, path in served if path.startswith("/{workspace}")}
    named = {(method, path) for path, calls in described["paths"].items() for method in calls}
    assert named == alone
    assert below == {(method, path) for method, path in alone if path.startswith("/event-hooks")}
    assert len(named) == 22

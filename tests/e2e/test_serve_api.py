"""The API on the port of a real sidecar: what the composition root alone can get wrong."""

import asyncio
from pathlib import Path

from tests.e2e.test_processes import Processes, World
from tests.support.http import http_client


async def test_hooks_made_over_rest_are_kept_and_fire(tmp_path: Path) -> None:
    token = "a-token-of-more-than-twenty-bytes"
    (tmp_path / "token").write_text(token)
    with Processes() as processes:
        data = tmp_path / "data"
        data.mkdir(mode=0o700)
        world = World(tmp_path, data, processes)
        running = await asyncio.to_thread(world.sidecar, "--api-token-file", str(tmp_path / "token"))
        base = f"http://127.0.0.1:{(await asyncio.to_thread(running.wait_for, 'api_listening'))['port']}"
        async with http_client(base) as client:
            refused = await client.post("/event-hooks", json={"source": "custom", "handler": "log"})
            assert refused.status_code == 401
            client.headers["kong-admin-token"] = token
            made = await client.post("/event-hooks", json={"source": "custom", "handler": "log", "name": "mine"})
            assert made.status_code == 201
            fired = await client.post("/events", json={"event": "hello", "data": {"x": 1}})
            assert [one["event_hook"]["name"] for one in fired.json()["fired"]] == ["mine"]
            silent = await client.post("/event-hooks", json={"source": "crud", "event": "consumers", "handler": "log"})
            assert silent.status_code == 201
            readiness = (await client.get("/readyz")).json()
            assert readiness["status"] == "degraded"
            assert "the source crud needs the setting admin_url; the hook never fires" in readiness["errors"][0]
            broken = {"source": "custom", "handler": "lambda", "config": {"functions": ["return function( end"]}}
            assert (await client.post("/event-hooks", json=broken)).status_code == 400
            assert (await client.get("/event-hooks/mine")).json()["id"] == made.json()["id"]
            assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.1")

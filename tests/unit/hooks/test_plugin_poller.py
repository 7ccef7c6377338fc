"""Kong's plugins are read again and again, whatever one reading comes to."""

import asyncio

import pytest

from kong_eventhooks_plugin.hooks.in_force import plugin_poller
from kong_eventhooks_plugin.hooks.in_force.plugin_poller import PluginPoller
from kong_eventhooks_plugin.hooks.in_force.registry import HookRegistry
from kong_eventhooks_plugin.kong.admin_api.active_plugins import ActivePlugins
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.sources.requests.plugin_answers import read_plugin
from tests.support.admin_node import AdminNode
from tests.support.hooks import VALIDATION
from tests.support.recorded_logs import plugin


def poller(url: str) -> PluginPoller:
    registry = HookRegistry(VALIDATION, lambda _hooks, _removed: None)
    client = AdminClient(AdminSettings(url=url))
    return PluginPoller(client, registry, VALIDATION, ActivePlugins(read_plugin), 0.01, 100, 0.0)


async def stopped(running: "asyncio.Task[None]", polls: PluginPoller) -> None:
    running.cancel()
    await asyncio.wait([running])
    await polls.client.close()


@pytest.mark.parametrize(("believed", "kept"), [(0.0, False), (600.0, True)])
async def test_plugins_that_cannot_be_listed_anew_are_believed_for_a_while(
    believed: float, kept: bool, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_poller, "PLUGINS_SECONDS", believed)
    polls = poller(f"http://127.0.0.1:{unused_tcp_port}")
    polls.plugins.replace_list(polls.plugins.listed([plugin("rate-limiting", minute=3)]))
    tried: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(polls.registry, "set_listing_error", tried.put_nowait)
    running = asyncio.create_task(polls.run())
    for _ in range(3):
        await asyncio.wait_for(tried.get(), 30)
    known = polls.plugins.on("default", None, None, None)
    await stopped(running, polls)
    assert (known is not None) is kept


async def test_a_list_of_plugins_that_trips_our_code_is_an_error_and_not_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with AdminNode() as node:
        polls = poller(node.url)
        accepted: asyncio.Queue[object] = asyncio.Queue()
        refused: asyncio.Queue[str] = asyncio.Queue()
        bugs = [KeyError("a secret")]

        def accept(listed: object, _began_at: float) -> None:
            if bugs:
                raise bugs.pop()
            accepted.put_nowait(listed)

        monkeypatch.setattr(polls.registry, "set_listed_plugins", accept)
        monkeypatch.setattr(polls.registry, "set_listing_error", refused.put_nowait)
        running = asyncio.create_task(polls.run())
        why = await asyncio.wait_for(refused.get(), 30)
        await asyncio.wait_for(accepted.get(), 30)
        await stopped(running, polls)
        assert why.startswith("a bug: KeyError raised in test_plugin_poller.py:")
        assert "secret" not in why

"""The composition root: makes every part, hands each what it needs of the others, runs them, ends them in order.

The only module that knows every other. Limits of its own: ``OPENING_SECONDS`` for the store before Kong's
door opens without it (events are then counted as lost until it opens); a health page whose port is taken
(by the worker before a reload) is tried again every ``RETRY_SECONDS``.
"""

import asyncio
import gc
import os
import socket
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import structlog
import uvloop

from kong_eventhooks_plugin import __version__, logs
from kong_eventhooks_plugin.api.health import health_app, serve_health
from kong_eventhooks_plugin.api.readiness import Look
from kong_eventhooks_plugin.definitions import DefinitionKeeper
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.delivery.worker import DeliveryWorker
from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
from kong_eventhooks_plugin.documents import write_documents
from kong_eventhooks_plugin.errors import AdminApiError, QueueError, SettingsError, SocketError
from kong_eventhooks_plugin.gateway.admin_client import AdminClient, AdminSettings
from kong_eventhooks_plugin.handlers.addresses import AddressRules
from kong_eventhooks_plugin.handlers.client import make_client
from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.handlers.engine import EngineLimits
from kong_eventhooks_plugin.handlers.log import LogHandler
from kong_eventhooks_plugin.handlers.webhook import WebhookHandler
from kong_eventhooks_plugin.hooks import admin_api
from kong_eventhooks_plugin.hooks.book import Book
from kong_eventhooks_plugin.hooks.validation import Validation
from kong_eventhooks_plugin.hooks.watch import Watch
from kong_eventhooks_plugin.pluginserver.instances import Instances
from kong_eventhooks_plugin.pluginserver.lines import LineBuffer
from kong_eventhooks_plugin.pluginserver.plugin_info import known, plugin_info, plugin_names
from kong_eventhooks_plugin.pluginserver.server import PluginServer
from kong_eventhooks_plugin.pluginserver.supervisor import EXIT_SETTINGS
from kong_eventhooks_plugin.pluginserver.worker_link import WorkerLink
from kong_eventhooks_plugin.queue.contract import Limits
from kong_eventhooks_plugin.queue.holders import this_process
from kong_eventhooks_plugin.queue.sqlite.engine import SqliteQueue
from kong_eventhooks_plugin.settings import Settings, load
from kong_eventhooks_plugin.sources.contract import LogSource
from kong_eventhooks_plugin.sources.infer import parse_infer_rule
from kong_eventhooks_plugin.sources.rate_limiting import RateLimiting
from kong_eventhooks_plugin.sources.response_rate_limiting import ResponseRateLimiting
from kong_eventhooks_plugin.telemetry import Metrics

OPENING_SECONDS = 2.0
RETRY_SECONDS = 1.0
SWEEP_SECONDS = 10.0
SPARE_CONNECTIONS = 64
"""HTTP connections beyond those of deliveries in flight: pings never wait for one."""

log = structlog.get_logger()


def run_worker(flags: Mapping[str, Any], settings_file: Path | None, fd: int, link: int | None) -> int:
    """Run the worker until it is told to leave; return its exit status.

    ``fd`` is the listening socket's descriptor, ``link`` the one to the supervisor.
    """
    try:
        settings = load(flags, settings_file)
        logs.configure(settings.log_format, settings.log_level)
        parts = Parts(settings)
    except SettingsError as error:
        log.error("settings refused", error=str(error))
        return EXIT_SETTINGS
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Worker(parts, socket.socket(fileno=fd), link).run())
    return 0


class Parts:
    """Everything a worker is made of, wired; nothing runs yet. Raises ``SettingsError``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.lines = LineBuffer(self.metrics.counts)
        self.queue = SqliteQueue(Path(settings.data_dir) / "events.db", _queue_limits(settings))
        self.keeper = DefinitionKeeper(self.queue)
        self.validation = Validation(known())
        self.book = Book(self.validation, self.keeper.persist, metrics=self.metrics)
        self.dispatcher = Dispatcher(
            self.book,
            self.queue,
            _sources(settings),
            self.metrics,
            time.time,
            started=self.book.instance_started,
            closed=self.book.instance_closed,
            lines=self.lines.take,
        )
        self.admin_token = _admin_token(settings)
        self._addresses = _addresses(settings)

    def handlers(self) -> dict[str, Handler]:
        """Return a handler for each name; call it on the loop, where their HTTP client lives."""
        limits = EngineLimits(
            connect_seconds=self.settings.connect_timeout_seconds,
            total_seconds=self.settings.timeout_seconds,
            connections=self.settings.total_concurrency + SPARE_CONNECTIONS,
        )
        client = make_client(self.metrics, self._addresses, limits)
        handlers: list[Handler] = [WebhookHandler(client, self.settings.kong_signature), LogHandler(self.lines)]
        return {handler.name: handler for handler in handlers}

    def server(self, link: WorkerLink) -> Any:
        """Return Kong's door for the protocol that is set; over ProtoBuf:1 its connections outlive the worker."""
        instances = Instances(time.time)
        if self.settings.protocol == "msgpack":
            from kong_eventhooks_plugin.pluginserver.kong_pdk_adapter import KongPdkServer

            return KongPdkServer(self.dispatcher, self.metrics, instances, self._infos())
        return PluginServer(self.dispatcher, self.metrics, instances, self._infos(), keeper=link)

    def _infos(self) -> dict[str, Any]:
        return {name: plugin_info(name, self.settings.socket_path)["Plugins"][0] for name in plugin_names()}


class Worker:
    """One worker process: opens the store, Kong's door, delivery and the health page; ends them in order."""

    def __init__(self, parts: Parts, listening: socket.socket, link: int | None) -> None:
        self._parts = parts
        self._listening = listening
        self._link_descriptor = link
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until told to leave."""
        parts, settings = self._parts, self._parts.settings
        link = WorkerLink(self._link_descriptor)
        handlers = parts.handlers()
        delivery = DeliveryWorker(
            parts.queue, parts.book, handlers, parts.metrics, _delivery_limits(settings), holder=this_process()
        )
        parts.book.on_change(delivery.ping_changes)
        opening = self._spawn(self._open_store(delivery))
        await asyncio.wait({opening}, timeout=OPENING_SECONDS)
        server = parts.server(link)
        self._write_documents()
        await server.serve(self._listening)
        page = self._spawn(self._health_page(delivery))
        self._spawn(parts.keeper.run())
        link.ready()
        log.info(
            "serving", version=__version__, socket=settings.socket_path, protocol=settings.protocol, pid=os.getpid()
        )
        gc.collect()
        gc.freeze()  # what is here by now stays: the collector need not look at it again
        await self._until_told(link, delivery, page)
        page.cancel()
        await asyncio.gather(server.drain(settings.drain_seconds), delivery.drain(settings.drain_seconds))
        await self._end(handlers)
        link.close()
        log.info("left", pid=os.getpid())

    def _write_documents(self) -> None:
        """Write what Kong's ``query_cmd`` reads; only now, since another server may have the socket until we have it."""
        settings = self._parts.settings
        try:
            write_documents(settings.socket_path, settings.protocol)
        except SocketError as error:
            log.warning("plugin documents not written", error=str(error))

    async def _until_told(self, link: WorkerLink, delivery: DeliveryWorker, page: "asyncio.Task[None]") -> None:
        """Wait for the word to leave; a taken-over server leaves delivery and health page to its successor at once."""
        leave = asyncio.create_task(link.drain.wait())
        taken = asyncio.create_task(link.taken_over.wait())
        await asyncio.wait({leave, taken}, return_when=asyncio.FIRST_COMPLETED)
        if taken.done() and not leave.done():
            page.cancel()
            await delivery.drain(self._parts.settings.drain_seconds)
        await leave
        taken.cancel()

    async def _end(self, handlers: Mapping[str, Handler]) -> None:
        await self._parts.keeper.flush()
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for handler in handlers.values():
            await handler.close()
        await self._parts.queue.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a part of the worker failed", exc_info=error)

    # The store, and what waits for it.

    async def _open_store(self, delivery: DeliveryWorker) -> None:
        """Open the store, however long it takes; then take what it holds and begin to deliver."""
        while True:
            try:
                await self._parts.queue.open()
                stored = await self._parts.queue.definitions()
                break
            except QueueError as error:
                log.error("store not open, trying again; events are lost meanwhile", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
        self._parts.book.load(stored)
        self._spawn(self._watch_files())
        if self._parts.settings.admin_url:
            self._spawn(self._read_admin_api(self._parts.settings.admin_url))
        self._spawn(self._sweep())
        if self._parts.settings.deliver:
            self._spawn(delivery.run())

    async def _watch_files(self) -> None:
        parts = self._parts
        parts.book.files_are(parts.settings.kong_yml)
        watch = Watch(parts.settings.kong_yml, parts.validation, parts.book.file_read)
        await watch.look()
        await watch.run()

    async def _read_admin_api(self, url: str) -> None:
        settings, parts = self._parts.settings, self._parts
        async with AdminClient(AdminSettings(url=url, token=parts.admin_token)) as client:
            while True:
                began_at = time.time()
                try:
                    plugins = await client.entities("/plugins")
                    listed = await asyncio.to_thread(admin_api.read, plugins, parts.validation)
                    parts.book.plugins_listed(listed, began_at)
                except AdminApiError as error:
                    parts.book.plugins_not_listed(str(error))
                await asyncio.sleep(settings.admin_poll_seconds)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                gone = await self._parts.queue.sweep()
            except QueueError as error:
                log.warning("retention not kept, trying again", error=str(error))
            else:
                if gone:
                    log.info("forgot what retention no longer keeps", rows=gone)

    # What is seen from outside.

    async def _health_page(self, delivery: DeliveryWorker) -> None:
        parts = self._parts
        look = Look(parts.queue, parts.book, parts.metrics, delivery, time.monotonic, time.time)
        app = health_app(look.check, parts.metrics, look.refresh)
        told = False
        while True:
            try:
                runner, port = await serve_health(app, parts.settings.listen)
                break
            except OSError as error:
                if not told:
                    log.warning("health page waits for its address", listen=parts.settings.listen, error=str(error))
                    told = True
                await asyncio.sleep(RETRY_SECONDS)
        log.info("health page", port=port, paths="/healthz /readyz /metrics")
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


def _sources(settings: Settings) -> list[LogSource]:
    try:
        rules = [parse_infer_rule(text) for text in settings.infer_rate_limits_on]
    except SettingsError as error:
        raise SettingsError(f"infer_rate_limits_on: {error}") from error
    return [RateLimiting(rules), ResponseRateLimiting()]


def _admin_token(settings: Settings) -> str | None:
    if settings.admin_token_file is None:
        return None
    try:
        return Path(settings.admin_token_file).read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"admin_token_file: {settings.admin_token_file}: cannot be read ({error})") from error


def _addresses(settings: Settings) -> AddressRules:
    return AddressRules(allow=settings.allow_cidrs, deny=settings.deny_cidrs, private=settings.allow_private_addresses)


def _queue_limits(settings: Settings) -> Limits:
    return Limits(
        deliveries=settings.queue_deliveries,
        bytes=settings.queue_bytes,
        deliveries_per_hook=settings.queue_deliveries_per_hook,
        settled_seconds=settings.keep_settled_seconds,
        settled_count=settings.keep_settled_count,
        answer_bytes=settings.keep_answer_bytes,
    )


def _delivery_limits(settings: Settings) -> DeliveryLimits:
    return DeliveryLimits(
        per_hook=settings.hook_concurrency, total=settings.total_concurrency, attempt=settings.timeout_seconds
    )

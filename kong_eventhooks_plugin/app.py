"""The composition root: makes every part, hands each what it needs of the others, runs them, ends them in order.

The only module that knows every other. Limits of its own: ``OPENING_SECONDS`` for the store before Kong's
door opens without it (events are then counted as lost until it opens); a health page whose port is taken
(by the worker before a reload) is tried again every ``RETRY_SECONDS``. What the Admin API listed as plugins is
believed for ``PLUGINS_SECONDS`` while it cannot be asked anew; then refusals are attributed by their headers alone.
"""

import asyncio
import contextlib
import gc
import os
import re
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvloop

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin.api.grpc.serve import serve_grpc
from kong_eventhooks_plugin.api.rest.app import RestParts, rest_app
from kong_eventhooks_plugin.api.rest.health import health_app, serve_health
from kong_eventhooks_plugin.api.service.access import Access, require_token_beyond_loopback
from kong_eventhooks_plugin.api.service.feed import Feed
from kong_eventhooks_plugin.api.service.hook_store import ApiHookStore
from kong_eventhooks_plugin.api.service.readiness import PollerStatus, ReadinessCheck
from kong_eventhooks_plugin.api.service.service import Service, make_service
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.delivery.worker import DeliveryWorker
from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
from kong_eventhooks_plugin.errors import AdminApiError, QueueError, SettingsError, SocketError
from kong_eventhooks_plugin.handlers.address_rules import AddressRules
from kong_eventhooks_plugin.handlers.aiohttp_transport import EngineLimits
from kong_eventhooks_plugin.handlers.compile_check import compile_errors
from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.handlers.http_client import make_client
from kong_eventhooks_plugin.handlers.lambda_ import LambdaHandler
from kong_eventhooks_plugin.handlers.log import LogHandler
from kong_eventhooks_plugin.handlers.webhook import WebhookHandler
from kong_eventhooks_plugin.handlers.webhook_custom import WebhookCustomHandler
from kong_eventhooks_plugin.hooks.declarations import listed_plugins
from kong_eventhooks_plugin.hooks.declarations.file_watcher import FileWatcher
from kong_eventhooks_plugin.hooks.in_force.compilation import Compilation
from kong_eventhooks_plugin.hooks.in_force.definition_writer import DefinitionWriter
from kong_eventhooks_plugin.hooks.in_force.registry import HookRegistry
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.kong.admin_api.active_plugins import ActivePlugins
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.kong.plugin_server.contract import ChangeObserver, PluginHost
from kong_eventhooks_plugin.kong.plugin_server.documents import write_documents
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.lines import LineBuffer
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known, plugin_info, plugin_names
from kong_eventhooks_plugin.kong.plugin_server.server import PluginServer
from kong_eventhooks_plugin.kong.plugin_server.worker_link import WorkerLink
from kong_eventhooks_plugin.kong.supervisor.worker_process import EXIT_SETTINGS
from kong_eventhooks_plugin.queue.contract import QueueLimits
from kong_eventhooks_plugin.queue.holders import this_process
from kong_eventhooks_plugin.queue.sqlite.engine import DATABASE, SqliteQueue
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import LuaRules
from kong_eventhooks_plugin.sandbox.tasks import SandboxLimits as SandboxLimits
from kong_eventhooks_plugin.settings import Settings, load
from kong_eventhooks_plugin.sources.balancer.catalogue import BALANCER
from kong_eventhooks_plugin.sources.balancer.poller import BalancerSettings
from kong_eventhooks_plugin.sources.catalogue import REQUEST_SOURCES
from kong_eventhooks_plugin.sources.certificates.catalogue import CERTIFICATE
from kong_eventhooks_plugin.sources.certificates.poller import CertificateSettings
from kong_eventhooks_plugin.sources.changes.reconciler import ReconcilerSettings
from kong_eventhooks_plugin.sources.contract import LogSource
from kong_eventhooks_plugin.sources.poller_group import PollerGroup, PollerGroupSettings, hooks_without_admin_api
from kong_eventhooks_plugin.sources.reachability.catalogue import GATEWAY
from kong_eventhooks_plugin.sources.reachability.poller import ReachabilitySettings
from kong_eventhooks_plugin.sources.requests.active_plugins import NO_ACTIVE_PLUGINS, ActivePluginLookup
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.infer import parse_infer_rule
from kong_eventhooks_plugin.sources.requests.plugin_answers import read_plugin
from kong_eventhooks_plugin.sources.requests.request_source import RequestSettings
from kong_eventhooks_plugin.telemetry import logs
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from kong_eventhooks_plugin.telemetry.raised import raised_at

OPENING_SECONDS = 2.0
RETRY_SECONDS = 1.0
SWEEP_SECONDS = 10.0
PLUGINS_SECONDS = 600.0
REFRESH_SECONDS = 5.0
SERVER_GRACE_SECONDS = 1.0
SPARE_CONNECTIONS = 64
"""HTTP connections beyond those of deliveries in flight: pings never wait for one."""

T = TypeVar("T")

log = structlog.get_logger()


def run_worker(flags: Mapping[str, Any], settings_file: Path | None, fd: int, link: int | None) -> int:
    """Run the worker until it is told to leave; return its exit status.

    ``fd`` is the listening socket's descriptor, ``link`` the one to the supervisor.
    """
    try:
        settings = load(flags, settings_file)
        logs.configure(settings.log_format, settings.log_level)
        parts = Components(settings)
    except SettingsError as error:
        log.error("settings_invalid", error=str(error))
        return EXIT_SETTINGS
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Worker(parts, socket.socket(fileno=fd), link).run())
    return 0


class Components:
    """Everything a worker is made of, wired; nothing runs yet. Raises ``SettingsError``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.lines = LineBuffer(self.metrics.counts)
        self.queue = SqliteQueue(Path(settings.data_dir) / DATABASE, _queue_limits(settings))
        self.definition_writer = DefinitionWriter(self.queue)
        self.validation = Validation(known())
        self.registry = HookRegistry(self.validation, self.definition_writer.persist, metrics=self.metrics)
        self.pool = Pool(_sandbox_limits(settings), _lua_rules(settings), self.metrics.counts.sandbox_tasks)
        self.compilation = Compilation(self.pool, self.registry.hooks, self.registry.set_compile_error)
        self.feed = Feed()
        self.hook_store = ApiHookStore(self.registry, self.queue)
        self.plugins = ActivePlugins(read_plugin)
        self.dispatcher = Dispatcher(
            self.registry,
            self.queue,
            _sources(settings, self.plugins if settings.admin_url else NO_ACTIVE_PLUGINS),
            self.metrics,
            time.time,
            pool=self.pool,
            accepted=self.feed.publish,
        )
        self.plugins.on_change(self.dispatcher.statuses_changed)
        self.admin_token = _token(settings.admin_token_file, "admin_token_file")
        self.api_token = _token(settings.api_token_file, "api_token_file")
        require_token_beyond_loopback(settings.listen, self.api_token)
        if settings.grpc_listen is not None:
            require_token_beyond_loopback(settings.grpc_listen, self.api_token, "grpc_listen")
        self._addresses = _addresses(settings)
        self._poller_settings = (
            None if settings.admin_url is None else _poller_group_settings(settings, settings.admin_url)
        )

    def handlers(self) -> dict[str, Handler]:
        """Return a handler for each name; call it on the loop, where their HTTP client lives."""
        limits = EngineLimits(
            connect_seconds=self.settings.connect_timeout_seconds,
            total_seconds=self.settings.timeout_seconds,
            connections=self.settings.total_concurrency + SPARE_CONNECTIONS,
        )
        client = make_client(self.metrics, self._addresses, limits)
        handlers: list[Handler] = [
            WebhookHandler(client, self.settings.kong_signature),
            WebhookCustomHandler(client, self.pool, self.settings.kong_signature),
            LambdaHandler(self.pool, self.lines),
            LogHandler(self.lines),
        ]
        return {handler.name: handler for handler in handlers}

    def server(self, link: WorkerLink, changes: ChangeObserver | None) -> Any:
        """Return the plugin server for the protocol that is set; over ProtoBuf:1 its connections outlive the worker."""
        host = PluginHost(requests=self.dispatcher, lifecycle=self.registry, lines=self.lines, changes=changes)
        instances = PluginInstances(time.time)
        if self.settings.protocol == "msgpack":
            from kong_eventhooks_plugin.kong.plugin_server.kong_pdk_adapter import KongPdkServer

            link.on_adopt(_close_connection)
            return KongPdkServer(host, self.metrics, instances, self._infos())
        return PluginServer(host, self.metrics, instances, self._infos(), holder=link)

    def service(self, handlers: Mapping[str, Handler], delivery: DeliveryWorker) -> Service:
        """Return the use cases of the API."""
        return make_service(
            registry=self.registry,
            hook_store=self.hook_store,
            queue=self.queue,
            feed=self.feed,
            handlers=handlers,
            validation=self.validation,
            publish=self.dispatcher.publish,
            clock=time.time,
            check=partial(compile_errors, self.pool),
            enable=delivery.enable,
        )

    def pollers(self, leads: Callable[[], bool]) -> PollerGroup | None:
        """Return what looks at Kong by itself; None where no Admin API is known. Call it on the loop."""
        if self._poller_settings is None:
            return None
        client = AdminClient(AdminSettings(url=self._poller_settings.reconciler.admin_url, token=self.admin_token))
        hooks = self.registry.hooks
        return PollerGroup(
            client, self._poller_settings, self.dispatcher.publish, lambda: hooks().values(), self.metrics.counts, leads
        )

    def poller_status(self, observers: PollerGroup | None) -> PollerStatus:
        """Return what /readyz says of looking at Kong."""
        if observers is None:
            return PollerStatus(tuple(hooks_without_admin_api(self.registry.hooks().values())))
        return PollerStatus(tuple(observers.errors()), observers.state())

    def _infos(self) -> dict[str, Any]:
        return {name: plugin_info(name, self.settings.socket_path)["Plugins"][0] for name in plugin_names()}


class Worker:
    """One worker process: opens the store, Kong's door, delivery and the health page; ends them in order."""

    def __init__(self, parts: Components, listening: socket.socket, link: int | None) -> None:
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
            parts.queue, parts.registry, handlers, parts.metrics, _delivery_limits(settings), holder=this_process()
        )
        parts.registry.on_change(delivery.ping_changes)
        parts.registry.on_change(parts.compilation.hooks_changed)
        observers = parts.pollers(lambda: delivery.leading)
        if observers is not None:
            parts.registry.on_change(observers.hooks_changed)
        opening = self._spawn(self._open_store(delivery))
        await asyncio.wait({opening}, timeout=OPENING_SECONDS)
        server = parts.server(link, None if observers is None else observers.crud)
        self._write_documents()
        await server.serve(self._listening)
        service = parts.service(handlers, delivery)
        doors = [self._spawn(self._serve_rest(service, delivery, partial(parts.poller_status, observers)))]
        if settings.grpc_listen is not None:
            doors.append(self._spawn(self._serve_grpc(service, settings.grpc_listen)))
        self._spawn(parts.definition_writer.run())
        self._spawn(parts.compilation.run())
        observing = self._spawn(observers.run()) if observers is not None else None
        link.ready()
        log.info(
            "worker_serving",
            version=__version__,
            socket=settings.socket_path,
            protocol=settings.protocol,
            pid=os.getpid(),
        )
        gc.collect()
        gc.freeze()  # what is here by now stays: the collector need not look at it again
        await self._until_stopped(link, delivery, doors)
        await _stop_servers(doors)
        await asyncio.gather(server.drain(settings.drain_seconds), delivery.drain(settings.drain_seconds))
        if observers is not None and observing is not None:
            await _stop_servers((observing,))
            await observers.close()
        await self._end(handlers)
        link.close()
        log.info("worker_stopped", pid=os.getpid())

    def _write_documents(self) -> None:
        """Write what Kong's ``query_cmd`` reads; not before we have the socket, which another server may have had."""
        settings = self._parts.settings
        try:
            write_documents(settings.socket_path, settings.protocol)
        except SocketError as error:
            log.warning("plugin_documents_write_failed", error=str(error))

    async def _until_stopped(
        self, link: WorkerLink, delivery: DeliveryWorker, doors: Collection["asyncio.Task[None]"]
    ) -> None:
        """Wait for the word to leave; a taken-over server leaves delivery and the API to its successor at once."""
        leave = asyncio.create_task(link.drain.wait())
        taken = asyncio.create_task(link.taken_over.wait())
        await asyncio.wait({leave, taken}, return_when=asyncio.FIRST_COMPLETED)
        if taken.done() and not leave.done():
            await _stop_servers(doors)
            self._spawn(delivery.drain(self._parts.settings.drain_seconds))  # the word to leave may come meanwhile
        await leave
        taken.cancel()

    async def _end(self, handlers: Mapping[str, Handler]) -> None:
        await self._parts.definition_writer.flush()
        await self._parts.hook_store.close()
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for handler in handlers.values():
            await handler.close()
        await self._parts.pool.close()
        await self._parts.queue.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("worker_task_failed", exc_info=error)

    # The store, and what waits for it.

    async def _open_store(self, delivery: DeliveryWorker) -> None:
        """Open the store, however long it takes; then take what it holds and begin to deliver."""
        while True:
            try:
                await self._parts.queue.open()
                stored = await self._parts.queue.definitions()
                break
            except QueueError as error:
                log.error("store_open_failed", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
        self._parts.registry.load(stored)
        self._parts.hook_store.load(stored)
        self._spawn(self._refresh_hook_store())
        self._spawn(self._watch_files())
        if self._parts.settings.admin_url:
            self._spawn(self._read_admin_api(self._parts.settings.admin_url))
        self._spawn(self._sweep())
        if self._parts.settings.deliver:
            self._spawn(delivery.run())

    async def _watch_files(self) -> None:
        parts = self._parts
        watch = FileWatcher(parts.settings.kong_yml, parts.validation, parts.registry.set_file)
        await watch.poll()
        parts.registry.set_files(parts.settings.kong_yml)  # after the look: a hook may have moved to another file
        await watch.run()

    async def _read_admin_api(self, url: str) -> None:
        settings, parts = self._parts.settings, self._parts
        listed_at = time.monotonic()
        async with AdminClient(AdminSettings(url=url, token=parts.admin_token)) as client:
            while True:
                began_at = time.time()
                try:
                    plugins = await client.entities("/plugins", settings.admin_page_size, settings.admin_pause_factor)
                    listed = await asyncio.to_thread(listed_plugins.read, plugins, parts.validation)
                    parts.registry.set_listed_plugins(listed, began_at)
                    parts.plugins.replace_list(await asyncio.to_thread(parts.plugins.listed, plugins))
                    listed_at = time.monotonic()
                except AdminApiError as error:
                    parts.registry.set_listing_error(str(error))
                    if time.monotonic() - listed_at > PLUGINS_SECONDS:
                        parts.plugins.forget()
                except Exception as error:  # noqa: BLE001  a list that trips our code must not be the last one
                    place = f"{type(error).__name__} raised in {raised_at(error)}"
                    log.error("admin_plugins_failed", raised_at=place)
                    parts.registry.set_listing_error(f"a bug: {place}")
                await asyncio.sleep(settings.admin_poll_seconds)

    async def _refresh_hook_store(self) -> None:
        """Look for hooks that another process over the same store has made."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self._parts.hook_store.refresh()
            except QueueError as error:
                log.warning("api_hooks_refresh_failed", error=str(error))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                gone = await self._parts.queue.sweep()
            except QueueError as error:
                log.warning("retention_sweep_failed", error=str(error))
            else:
                if gone:
                    log.debug("retention_swept", rows=gone)

    # What is seen from outside.

    async def _serve_rest(
        self, service: Service, delivery: DeliveryWorker, observed: Callable[[], PollerStatus]
    ) -> None:
        parts = self._parts
        look = ReadinessCheck(parts.queue, parts.registry, parts.metrics, delivery, time.monotonic, time.time, observed)
        health = health_app(look.check, parts.metrics, look.refresh)
        access = Access(parts.api_token, parts.settings.api_hosts)
        app = rest_app(RestParts(service, access, parts.feed, known()), health)
        runner, port = await self._listen("listen", lambda: serve_health(app, parts.settings.listen))
        log.info("api_listening", port=port, paths="/event-hooks /deliveries /events /readyz /metrics")
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _serve_grpc(self, service: Service, listen: str) -> None:
        # We fork for the sandbox and exec at once: gRPC's fork handlers have nothing to do, and would write log lines.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        served = await self._listen("grpc_listen", lambda: serve_grpc(service, listen, self._parts.api_token))
        log.info("grpc_listening", port=served.port)
        try:
            await asyncio.Event().wait()
        finally:
            await served.stop(SERVER_GRACE_SECONDS)

    async def _listen(self, setting: str, serve: Callable[[], Awaitable[T]]) -> T:
        """Serve on an address, as soon as nobody else has it: at a reload our predecessor does for a moment."""
        told = False
        while True:
            try:
                return await serve()
            except OSError as error:
                if not told:
                    log.warning("address_in_use", setting=setting, error=str(error))
                    told = True
                await asyncio.sleep(RETRY_SECONDS)


async def _stop_servers(doors: Collection["asyncio.Task[None]"]) -> None:
    """End doors and wait until their addresses are free."""
    for door in doors:
        door.cancel()
    await asyncio.gather(*doors, return_exceptions=True)


def _sources(settings: Settings, plugins: ActivePluginLookup) -> list[LogSource]:
    try:
        rules = [parse_infer_rule(text) for text in settings.infer_rate_limits_on]
    except SettingsError as error:
        raise SettingsError(f"infer_rate_limits_on: {error}") from error
    attribution = Attribution(rules, plugins)
    options = RequestSettings(settings.rate_limit_approaching_percent)
    return [source.build(attribution, options) for source in REQUEST_SOURCES]


def _close_connection(connection: socket.socket) -> None:
    """End a connection of a predecessor that spoke the other protocol: Kong opens another."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _token(file: str | None, setting: str) -> str | None:
    if file is None:
        return None
    try:
        token = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{setting}: {file}: cannot be read ({error})") from error
    if not token:
        raise SettingsError(f"{setting}: {file}: is empty; it has to hold the token")
    return token


def _addresses(settings: Settings) -> AddressRules:
    return AddressRules(allow=settings.allow_cidrs, deny=settings.deny_cidrs, private=settings.allow_private_addresses)


def _queue_limits(settings: Settings) -> QueueLimits:
    return QueueLimits(
        deliveries=settings.queue_deliveries,
        bytes=settings.queue_bytes,
        deliveries_per_hook=settings.queue_deliveries_per_hook,
        settled_seconds=settings.keep_settled_seconds,
        settled_count=settings.keep_settled_count,
        answer_bytes=settings.keep_answer_bytes,
    )


def _sandbox_limits(settings: Settings) -> SandboxLimits:
    return SandboxLimits(
        wall_seconds=settings.sandbox_wall_seconds,
        cpu_seconds=settings.sandbox_cpu_seconds,
        memory_bytes=settings.sandbox_memory_bytes,
        output_bytes=settings.sandbox_output_bytes,
        workers=settings.sandbox_workers,
    )


def _lua_rules(settings: Settings) -> LuaRules:
    return LuaRules(
        untrusted_lua=settings.untrusted_lua,
        requires=settings.untrusted_lua_sandbox_requires,
        environment=settings.untrusted_lua_sandbox_environment,
    )


_FIELD = re.compile(r"[a-z][a-z0-9_]*(\.[^.\s]+)+")


def _poller_group_settings(settings: Settings, admin_url: str) -> PollerGroupSettings:
    wrong = next((path for path in settings.crud_reveal if not _FIELD.fullmatch(path)), None)
    if wrong is not None:
        raise SettingsError(f"crud_reveal: {wrong!r} names no field of an entity: write keyauth_credentials.key")
    return PollerGroupSettings(
        data_dir=Path(settings.data_dir),
        reconciler=ReconcilerSettings(
            admin_url=admin_url,
            interval=settings.crud_reconcile_seconds,
            page_size=settings.admin_page_size,
            pause_factor=settings.admin_pause_factor,
            grace=settings.crud_grace_seconds,
        ),
        pollers={
            BALANCER: BalancerSettings(
                settings.balancer_poll_seconds,
                settings.balancer_unhealthy_poll_seconds,
                settings.balancer_requests_per_second,
            ),
            CERTIFICATE: CertificateSettings(settings.certificate_poll_seconds, settings.certificate_days),
            GATEWAY: ReachabilitySettings(settings.gateway_poll_seconds, settings.gateway_failures, admin_url),
        },
        reveal=settings.crud_reveal,
    )


def _delivery_limits(settings: Settings) -> DeliveryLimits:
    return DeliveryLimits(
        per_hook=settings.hook_concurrency, total=settings.total_concurrency, attempt=settings.timeout_seconds
    )

"""The composition root: makes every part, hands each what it needs of the others, runs them, ends them in order.

The only module that knows every other. Limit of its own: the store has ``OPENING_SECONDS`` to open before Kong is
served without it. What hooks of files and of Kong match is then counted as lost until it opens (``store_unavailable``),
and what no such hook matches, too (``starting``): a hook in the store may want it.
"""

import asyncio
import contextlib
import faulthandler
import gc
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from kong_eventhooks_plugin import __version__
from kong_eventhooks_plugin import settings_groups as groups
from kong_eventhooks_plugin.api.console.console import Console
from kong_eventhooks_plugin.api.grpc.serve import run_grpc
from kong_eventhooks_plugin.api.rest.app import rest_app
from kong_eventhooks_plugin.api.rest.health import health_routes
from kong_eventhooks_plugin.api.rest.kept_page import KeptPage
from kong_eventhooks_plugin.api.rest.serve import run_rest
from kong_eventhooks_plugin.api.service.access import Access, require_token_beyond_loopback
from kong_eventhooks_plugin.api.service.feed import Feed
from kong_eventhooks_plugin.api.service.hook_states import HookStates
from kong_eventhooks_plugin.api.service.hook_store import ApiHookStore
from kong_eventhooks_plugin.api.service.nodes import deliverer
from kong_eventhooks_plugin.api.service.readiness import PollerStatus, ReadinessCheck
from kong_eventhooks_plugin.api.service.service import Service, make_service
from kong_eventhooks_plugin.api.transport.listener import Listener
from kong_eventhooks_plugin.background import SupervisedLoop, TaskSet, cancel, retry
from kong_eventhooks_plugin.delivery.delivery_spans import DeliverySpans
from kong_eventhooks_plugin.delivery.membership import Membership
from kong_eventhooks_plugin.delivery.waiting import waiting
from kong_eventhooks_plugin.delivery.worker import DeliveryWorker
from kong_eventhooks_plugin.descriptors import UNLIMITED, descriptor_limit
from kong_eventhooks_plugin.dispatch.dispatcher import Dispatcher
from kong_eventhooks_plugin.dispatch.event_spans import EventSpans
from kong_eventhooks_plugin.errors import MissingExtra, QueueError, SettingsError
from kong_eventhooks_plugin.handlers.compile_check import compile_errors
from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.handlers.http_client import HttpClient
from kong_eventhooks_plugin.handlers.lambda_ import LambdaHandler
from kong_eventhooks_plugin.handlers.log import LogHandler
from kong_eventhooks_plugin.handlers.webhook import WebhookHandler
from kong_eventhooks_plugin.handlers.webhook_custom import WebhookCustomHandler
from kong_eventhooks_plugin.hooks.declarations.file_watcher import FileWatcher
from kong_eventhooks_plugin.hooks.in_force.compilation import Compilation
from kong_eventhooks_plugin.hooks.in_force.definition_writer import DefinitionWriter
from kong_eventhooks_plugin.hooks.in_force.plugin_poller import PluginPoller
from kong_eventhooks_plugin.hooks.in_force.registry import HookRegistry
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.kong.admin_api.active_plugins import ActivePlugins
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.kong.plugin_server.contract import ChangeObserver, PluginHost
from kong_eventhooks_plugin.kong.plugin_server.documents import write_documents
from kong_eventhooks_plugin.kong.plugin_server.error_log_file import ErrorLogFile
from kong_eventhooks_plugin.kong.plugin_server.error_log_lines import LineBuffer
from kong_eventhooks_plugin.kong.plugin_server.instances import PluginInstances
from kong_eventhooks_plugin.kong.plugin_server.listening import ListeningRecord
from kong_eventhooks_plugin.kong.plugin_server.node_question import NodeQuestion
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known, plugin_info, plugin_names
from kong_eventhooks_plugin.kong.plugin_server.server import PluginServer
from kong_eventhooks_plugin.kong.plugin_server.worker_link import WorkerLink
from kong_eventhooks_plugin.kong.supervisor.parent import ParentMonitor
from kong_eventhooks_plugin.kong.supervisor.worker_process import EXIT_SETTINGS
from kong_eventhooks_plugin.linux import refuse_inspection
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.kong_node import NodeIdentity
from kong_eventhooks_plugin.queue.forwarding.acceptor import SpoolAcceptor
from kong_eventhooks_plugin.queue.holders import this_process
from kong_eventhooks_plugin.queue.nodes import Node
from kong_eventhooks_plugin.queue.retention import run_retention
from kong_eventhooks_plugin.sandbox.isolation import missing_features
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.settings import Settings, load, read_token
from kong_eventhooks_plugin.sources.catalogue import REQUEST_SOURCES
from kong_eventhooks_plugin.sources.changes.catalogue import CRUD
from kong_eventhooks_plugin.sources.changes.forwarder import ChangeForwarder
from kong_eventhooks_plugin.sources.field_types import field_types
from kong_eventhooks_plugin.sources.own.publisher import OwnEvents
from kong_eventhooks_plugin.sources.poller_group import (
    PollerGroup,
    PollingCluster,
    has_change_subscribers,
    hooks_without_admin_api,
    lacks_admin_api,
)
from kong_eventhooks_plugin.sources.pollers.lease_holders import LeaseHolders
from kong_eventhooks_plugin.sources.requests.attribution import Attribution
from kong_eventhooks_plugin.sources.requests.plugin_answers import read_plugin
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource
from kong_eventhooks_plugin.storage.data_directory import claim as claim_data_directory
from kong_eventhooks_plugin.storage.turn import Turn
from kong_eventhooks_plugin.stores import make_stores
from kong_eventhooks_plugin.telemetry import logs
from kong_eventhooks_plugin.telemetry.loop_stalls import LoopStalls
from kong_eventhooks_plugin.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from kong_eventhooks_plugin.telemetry.span_export import SpanExport

OPENING_SECONDS = 2.0
NOTE_SECONDS = 1.0
"""How long a stopping worker waits until its note on the socket is written: the disk may hang."""
COLLECT_AFTER = 10_000
"""New objects before the garbage collector looks at them. With 700, as Python has it, it finds each call that waits
for a commit alive, three times, and takes a sixth of the time under a flood."""

TURN_SECONDS = 0.000_5
"""How long a thread runs Python while another one waits to. With 5 ms, as Python has it, the loop waits so long each
time that it comes back from the kernel while a thread of ours works: the mirror's, the one that sends spans."""

log = structlog.get_logger()


def collect_seldom() -> None:
    """Let the garbage collector run seldom, and never visit again what exists now."""
    gc.enable()  # the command that started us had it off
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


def take_short_turns() -> None:
    """Let no thread hold the loop up for long."""
    sys.setswitchinterval(TURN_SECONDS)


def run_worker(flags: Mapping[str, Any], settings_file: Path | None, fd: int, link: int | None) -> int:
    """Run the worker until it is stopped; return its exit status.

    On SIGABRT, with which the supervisor ends a worker that does not answer, it prints where its threads stand.

    ``fd`` is the listening socket's descriptor, ``link`` the one to the supervisor.
    """
    refuse_inspection()
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # there is no standard error
        faulthandler.enable()
    try:
        settings = load(flags, settings_file)
        logs.configure(settings.log_format, settings.log_level)
        # For as long as this process runs.
        claim_data_directory(Path(settings.data_dir), settings.socket_path, settings.kong_yml)
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
        self.shares = groups.shares(settings, descriptor_limit())
        self.metrics = Metrics()
        log_file = settings.kong_error_log
        self.lines = LineBuffer(self.metrics.counts, None if log_file is None else ErrorLogFile(log_file))
        self.stores = make_stores(settings, self._count_refused)
        self.queue = self.stores.queue
        self.identity = NodeIdentity()
        self.definition_writer = DefinitionWriter(self.stores.declared)
        directories = settings.secret_file_directories
        self.validation = Validation(known(), directories)
        self.registry = HookRegistry(
            self.validation,
            self.definition_writer.persist,
            metrics=self.metrics,
            secret_directories=directories,
            tls=groups.endpoint_tls(settings),
        )
        self.sandbox_features = groups.sandbox_features(settings, missing_features())
        tasks = self.metrics.counts.sandbox_tasks
        self.pool = Pool(groups.sandbox_limits(settings), groups.lua_rules(settings), tasks)
        self.registry.on_change(self._index_line_writers)
        self.compilation = Compilation(
            self.pool, self.registry.hooks, self.registry.set_compile_error, field_types=field_types
        )
        self.feed = Feed()
        news = self.stores.news
        self.hook_store = ApiHookStore(self.registry, self.stores.made, lambda: news is None or news.listens)
        if news is not None:
            news.on_definitions(self.hook_store.hurry)
        self.plugins = ActivePlugins(read_plugin)
        self.span_export = self._span_export()
        self.dispatcher = Dispatcher(
            self.registry,
            self.stores.acceptor,
            self._sources(),
            self.metrics,
            time.time,
            pool=self.pool,
            accepted=self.feed.publish,
            spans=self._event_spans(),
            snoozed_logs_per_second=settings.snoozed_logs_per_second,
        )
        limits = groups.queue_limits(settings)
        self.own_events = OwnEvents(self.dispatcher.publish, self.registry.hooks, self.queue, limits, time.time)
        if self.stores.spool is not None:
            self.stores.spool.on_decided(self.dispatcher.decided)
        self.plugins.on_change(self.dispatcher.statuses_changed)
        self.admin_token = read_token(settings.admin_token_file, "admin_token_file")
        self.api_token = read_token(settings.api_token_file, "api_token_file")
        require_token_beyond_loopback(settings.listen, self.api_token)
        if settings.grpc_listen is not None:
            require_token_beyond_loopback(settings.grpc_listen, self.api_token, "grpc_listen")
        self.tls = groups.api_tls(settings)
        self._addresses = groups.address_rules(settings)
        self._proxy = groups.endpoint_proxy(settings)
        self.members = self._membership()
        polling = self.stores.polling
        self.holders = None if polling is None or settings.admin_url is not None else LeaseHolders(polling)
        self._poller_settings = (
            None if settings.admin_url is None else groups.poller_group_settings(settings, settings.admin_url)
        )

    def _count_refused(self, reason: str) -> None:
        self.metrics.counts.events_lost[reason,] += 1

    def _span_export(self) -> "SpanExport | None":
        """Return what sends spans; None, and nothing of it loaded, where tracing is off."""
        endpoint = self.settings.otlp_endpoint
        if endpoint is None:
            return None
        try:
            from kong_eventhooks_plugin.telemetry.span_export import SpanExport, otlp_exporter
        except ModuleNotFoundError as error:
            raise SettingsError(str(MissingExtra("otlp_endpoint", "tracing"))) from error
        return SpanExport(otlp_exporter(endpoint, groups.otlp_headers(self.settings)), self.metrics.counts)

    def _event_spans(self) -> EventSpans | None:
        export = self.span_export
        return None if export is None else EventSpans(export.record, self.settings.trace_sample_ratio, time.time)

    def delivery_spans(self) -> DeliverySpans | None:
        return None if self.span_export is None else DeliverySpans(self.span_export.record)

    def handlers(self) -> dict[str, Handler]:
        """Return a handler for each name; call it on the loop, where their HTTP client lives."""
        limits = groups.client_limits(self.settings, self.shares.deliveries)
        client = HttpClient(self.metrics, self._addresses, limits, proxy=self._proxy)
        handlers: list[Handler] = [
            WebhookHandler(client, self.settings.kong_signature, self.pool),
            WebhookCustomHandler(client, self.pool, self.settings.kong_signature),
            LambdaHandler(self.pool, self.lines),
            LogHandler(self.lines),
        ]
        return {handler.name: handler for handler in handlers}

    def server(self, link: WorkerLink, changes: ChangeObserver | None) -> Any:
        """Return the plugin server for the protocol that is set; over ProtoBuf:1 its connections outlive the worker."""
        node = NodeQuestion(self.identity)
        host = PluginHost(
            requests=self.dispatcher, lifecycle=self.registry, lines=self.lines, changes=changes, node=node
        )
        instances = PluginInstances(time.time)
        connections, waiting = self.shares.plugin_socket, self.settings.max_waiting_calls
        infos = {name: plugin_info(name, self.settings.socket_path)["Plugins"][0] for name in plugin_names()}
        if self.settings.protocol == "msgpack":
            from kong_eventhooks_plugin.kong.plugin_server.kong_pdk_adapter import KongPdkServer, close_adopted

            link.on_adopt(close_adopted)
            return KongPdkServer(host, self.metrics, instances, infos, max_connections=connections, max_waiting=waiting)
        return PluginServer(
            host, self.metrics, instances, infos, max_connections=connections, max_waiting=waiting, link=link
        )

    def _membership(self) -> Membership | None:
        """Return this node's place among those that share the store; None without such a store."""
        nodes = self.stores.nodes
        if nodes is None:
            return None
        deliver = self.settings.deliver
        return Membership(nodes, self._own_row, time.time, waiting(time.time), deliver=deliver)

    def _own_row(self) -> Node:
        spool = self.stores.spool
        return Node(
            process=this_process(),
            id="" if spool is None else spool.spool.id,
            name=socket.gethostname(),
            version=__version__,
            hooks=frozenset(hook.id for hook in self.registry.hooks().values() if hook.origin.place != "api"),
            kong=self.identity.node.id,
        )

    def hook_states(self, delivery: DeliveryWorker, membership: Membership | None) -> HookStates:
        checks = (self._does_not_compile, self._lacks_admin_api, self._filter_fails)
        return HookStates(self.registry, delivery, checks, partial(deliverer, membership))

    def _does_not_compile(self, hook: Hook) -> str | None:
        error = self.registry.compile_error(hook)
        return None if error is None else f"invalid: {error}"

    def _lacks_admin_api(self, hook: Hook) -> str | None:
        if self.settings.admin_url is not None or not lacks_admin_api(hook, self._is_polled):
            return None
        return f"no_admin_api: the source {hook.source} needs the setting admin_url"

    def _is_polled(self, hook: Hook, source: str) -> bool:
        """Return whether another node polls a source for this one, and has the hook."""
        holder = None if self.holders is None else self.holders.holder(source)
        if holder is None or self.members is None:
            return False
        nodes = self.members.distribution.nodes
        return hook.origin.place == "api" or any(
            node.process == holder.process and hook.id in node.hooks for node in nodes
        )

    def _filter_fails(self, hook: Hook) -> str | None:
        error = self.dispatcher.filter_error(hook)
        return None if error is None else f"filter_failing: {error}"

    def service(self, handlers: Mapping[str, Handler], delivery: DeliveryWorker, states: HookStates) -> Service:
        return make_service(
            registry=self.registry,
            hook_store=self.hook_store,
            queue=self.queue,
            feed=self.feed,
            handlers=handlers,
            validation=self.validation,
            pool=self.pool,
            publish=self.dispatcher.publish,
            check=partial(compile_errors, self.pool, field_types=field_types),
            enable=delivery.enable,
            states=states,
        )

    def admin_client(self) -> AdminClient | None:
        """Return the process' only client of the Admin API; None without ``admin_url``."""
        url = self.settings.admin_url
        return None if url is None else AdminClient(AdminSettings(url=url, token=self.admin_token))

    def plugin_poller(self, client: AdminClient) -> PluginPoller:
        settings = self.settings
        return PluginPoller(
            client,
            self.registry,
            self.validation,
            self.plugins,
            settings.admin_poll_seconds,
            settings.admin_page_size,
            settings.admin_pause_factor,
        )

    def pollers(
        self,
        client: AdminClient | None,
        leads: Callable[[], bool],
        own_leads: Callable[[], bool],
        shared_store_open: asyncio.Event,
    ) -> PollerGroup | None:
        """Return the pollers of the sources, which close the client; None where there is none. Call it on the loop.

        ``leads``: this process leads; ``own_leads``: it is the one of its node that polls, where nodes share the store.
        """
        settings, hooks = self._poller_settings, self.registry.hooks
        if client is None or settings is None:
            return None
        publish, counts = self.dispatcher.publish, self.metrics.counts
        cluster = self._polling_cluster(shared_store_open)
        leads = leads if cluster is None else own_leads
        return PollerGroup(client, settings, publish, lambda: hooks().values(), counts, leads, self.identity, cluster)

    def _polling_cluster(self, is_open: asyncio.Event) -> PollingCluster | None:
        shared, news = self.stores.polling, self.stores.news
        if shared is None or news is None:
            return None
        return PollingCluster(shared, this_process(), socket.gethostname(), news.on_forwarded, is_open)

    def forwarder(self) -> ChangeForwarder | None:
        """Return what hands changes to other nodes; None where this node reads its own Admin API, or is alone."""
        shared, hooks = self.stores.polling, self.registry.hooks
        if shared is None or self.holders is None:
            return None
        subscribed = partial(has_change_subscribers, lambda: hooks().values())
        return ChangeForwarder(shared, self.holders, subscribed, self.metrics.counts)

    def poller_status(
        self,
        pollers: PollerGroup | None,
        forwarder: ChangeForwarder | None,
        listening: ListeningRecord,
        link: WorkerLink,
    ) -> PollerStatus:
        """Return what /readyz reports of the pollers, the plugin socket and the worker before."""
        if pollers is None:
            errors = list(hooks_without_admin_api(self.registry.hooks().values(), self._is_polled))
            state = {} if forwarder is None else {CRUD: forwarder.state()}
        else:
            errors, state = pollers.errors(), pollers.state()
        return PollerStatus((*errors, *listening.errors(), *link.errors()), state, listening.state())

    def _index_line_writers(self, _: object) -> None:
        hooks = self.registry.hooks().values()
        if self.settings.kong_error_log is None:
            self.lines.writers = {hook.id for hook in hooks if hook.handler in (LogHandler.name, LambdaHandler.name)}

    def _sources(self) -> list[RequestSource]:
        attribution = Attribution(groups.infer_rules(self.settings), self.plugins)
        percent = self.settings.rate_limit_approaching_percent
        return [source(attribution, percent) for source in REQUEST_SOURCES]


def _is_our_turn(turn: Turn, link: WorkerLink) -> bool:
    """Return whether this process is the one of its node that polls; one that ends leaves that to its successor."""
    if link.taken_over.is_set() or link.drain.is_set():
        turn.end()
    return turn.taken()


class Worker:
    """One worker process: starts the store, the plugin server, delivery and the APIs, and ends them in order."""

    def __init__(self, parts: Components, listening: socket.socket, link: int | None) -> None:
        self._parts = parts
        self._listening = listening
        self._link_descriptor = link
        self._tasks = TaskSet()
        self._polling: list[asyncio.Task[None]] = []
        self._membership = parts.members
        self._shared_store_open = asyncio.Event()

    async def run(self) -> None:
        parts, settings = self._parts, self._parts.settings
        if parts.shares != groups.shares(settings, UNLIMITED):
            log.warning("descriptors_scarce", limit=descriptor_limit(), **parts.shares._asdict())
        link, supervisor = WorkerLink(self._link_descriptor), ParentMonitor()
        handlers = parts.handlers()
        delivery = DeliveryWorker(
            parts.queue,
            parts.registry,
            handlers,
            parts.metrics,
            groups.delivery_limits(settings),
            holder=this_process(),
            membership=self._membership,
            spans=parts.delivery_spans(),
            incidents=parts.own_events,
            calls_waiting=lambda: server.waiting,
        )
        parts.registry.on_change(delivery.ping_changes)
        membership = self._membership
        if membership is not None:
            parts.registry.on_change(lambda _: membership.hurry())
        parts.registry.on_change(parts.compilation.hooks_changed)
        admin = parts.admin_client()
        turn = Turn(Path(settings.data_dir))
        polls = partial(_is_our_turn, turn, link)
        pollers = parts.pollers(admin, lambda: delivery.leading, polls, self._shared_store_open)
        plugins = None if admin is None else parts.plugin_poller(admin)
        listening = ListeningRecord(
            self._listening,
            Path(settings.data_dir),
            parts.metrics,
            lambda: None if plugins is None else plugins.ours,
        )
        if pollers is not None:
            parts.registry.on_change(pollers.hooks_changed)
        forwarder = parts.forwarder()
        changes = forwarder if pollers is None else pollers.crud
        server = parts.server(link, changes)
        opening = self._tasks.run(self._open_store(delivery, plugins))
        files = settings.kong_yml
        # Files that are no longer set are withdrawn after the first read: a hook may have moved to another file.
        loaded = partial(parts.registry.set_files, files)
        self._tasks.run(FileWatcher(files, parts.validation, parts.registry.set_file, loaded=loaded).run())
        await asyncio.wait({opening}, timeout=OPENING_SECONDS)
        # Not before we have the socket, which another server may have had.
        write_documents(settings.socket_path, settings.protocol)
        await server.serve(self._listening)
        keeping = self._tasks.run(listening.run())
        status = partial(parts.poller_status, pollers, forwarder, listening, link)
        states = parts.hook_states(delivery, self._membership)
        apis = self._serve_apis(parts.service(handlers, delivery, states), delivery, status)
        self._tasks.run(parts.definition_writer.run())
        self._tasks.run(parts.compilation.run())
        rounds = partial(parts.own_events.run, states.held, lambda: delivery.leading, delivery.delivers)
        self._tasks.run(SupervisedLoop("reporting of our own events").run(rounds))
        self._start_polling(pollers, forwarder)
        parts.metrics.counts.worker_restarts["crashed",] = link.restarts.crashed
        parts.metrics.counts.worker_restarts["unresponsive",] = link.restarts.unresponsive
        link.ready()
        log.info(
            "worker_serving",
            version=__version__,
            socket=settings.socket_path,
            protocol=settings.protocol,
            pid=os.getpid(),
        )
        for feature, state in parts.sandbox_features.items():
            if state != "ok":
                log.warning("sandbox_feature_unused", feature=feature, reason=state)
        collect_seldom()
        take_short_turns()
        LoopStalls(parts.metrics.counts, asyncio.get_running_loop()).start()
        await self._until_stopped(link, delivery, apis)
        await cancel(keeping, *apis)
        # systemd signals the workers of a supervisor that was killed: the signal may come before the link's end, and
        # its end before we have another parent.
        orphaned = link.reason == "supervisor exited" or supervisor.exited()
        noted = self._tasks.run(listening.stop("supervisor exited" if orphaned else "stopped"))
        server.stop_accepting()
        # Where the supervisor was killed, this is the last one open: whoever starts next needs the path now.
        self._listening.close()
        parts.lines.close()
        ends_at = time.monotonic() + settings.drain_seconds
        await asyncio.gather(server.drain(settings.drain_seconds), delivery.drain(settings.drain_seconds))
        if changes is not None:
            await changes.drain(max(1.0, ends_at - time.monotonic()))
        await cancel(*self._polling)
        if pollers is not None:
            await pollers.close()
        await asyncio.wait({noted}, timeout=NOTE_SECONDS)  # what is not done by now is cancelled next
        await self._end(handlers)
        link.close()
        log.info("worker_stopped", pid=os.getpid())

    def _start_polling(self, pollers: PollerGroup | None, forwarder: ChangeForwarder | None) -> None:
        """Start what reads Kong, or what follows a node that does."""
        if pollers is not None:
            self._polling.append(self._tasks.run(pollers.run()))
        elif forwarder is not None and self._parts.holders is not None:
            for name, loop in (("poll lease holders", self._parts.holders.run), ("change forwarding", forwarder.run)):
                self._polling.append(self._tasks.run(SupervisedLoop(name).run(loop)))

    async def _open_store(self, delivery: DeliveryWorker, plugins: PluginPoller | None) -> None:
        """Open the store, however long it takes; then load what it holds and start what depends on it."""
        parts, stores = self._parts, self._parts.stores

        def failed(error: str) -> None:
            log.error("store_open_failed", error=error)

        await retry(stores.queue.open if stores.spool is None else stores.spool.open, (QueueError,), failed)
        # By itself: what is open is not opened again.
        stored = await retry(stores.declared.definitions, (QueueError,), failed)
        parts.registry.load(stored)
        parts.hook_store.load(stored)
        self._tasks.run(SupervisedLoop("reading of secret files").run(parts.registry.secret_files.run))
        if plugins is not None:
            self._polling.append(self._tasks.run(plugins.run()))
        if stores.spool is None:
            self._start_on_queue(delivery)
        else:
            self._tasks.run(self._open_shared_store(stores.spool, delivery))

    def _start_on_queue(self, delivery: DeliveryWorker) -> None:
        """Start what needs the queue, which is open now."""
        self._tasks.run(self._parts.hook_store.run())
        self._tasks.run(run_retention(self._parts.queue))
        if self._parts.settings.deliver:
            self._tasks.run(delivery.run())

    async def _open_shared_store(self, spool: SpoolAcceptor, delivery: DeliveryWorker) -> None:
        """Meanwhile events are accepted, for the hooks that this node knows."""
        queue = self._parts.queue
        await retry(queue.open, (QueueError,), lambda error: log.error("shared_store_open_failed", error=error))
        log.info("shared_store_open")
        spool.forward()
        self._shared_store_open.set()
        self._parts.hook_store.hurry()  # what this node's copy has may be old
        self._start_on_queue(delivery)
        if self._membership is not None:
            await SupervisedLoop("heartbeat").run(self._membership.keep)

    def _serve_apis(
        self, service: Service, delivery: DeliveryWorker, status: Callable[[], PollerStatus]
    ) -> "list[asyncio.Task[None]]":
        parts, settings = self._parts, self._parts.settings
        queue, registry, metrics, features = parts.queue, parts.registry, parts.metrics, parts.sandbox_features
        states = service.states
        ready = ReadinessCheck(
            queue,
            registry,
            metrics,
            delivery,
            states,
            time.monotonic,
            time.time,
            status,
            features,
            spool=parts.stores.spool,
            members=self._membership,
        )
        access = Access(parts.api_token, settings.api_hosts)
        pages = health_routes(ready.check, parts.metrics, ready.refresh, access)
        if settings.console:
            console = self._console(service, access, delivery, ready)
            pages += console.routes()
            self._tasks.run(console.run())
        listener = Listener("listen", parts.shares.rest, parts.tls.rest)
        app = rest_app(service, access, parts.feed, known(), health=pages, calling=listener.calling)
        serving = [self._tasks.run(run_rest(app, listener, settings.listen))]
        if settings.grpc_listen is not None:
            listener = Listener("grpc_listen", parts.shares.grpc, parts.tls.grpc)
            folder = Path(settings.data_dir)
            serving.append(self._tasks.run(run_grpc(service, access, listener, settings.grpc_listen, folder)))
        return serving

    def _console(self, service: Service, access: Access, delivery: DeliveryWorker, ready: ReadinessCheck) -> Console:
        parts = self._parts
        return Console(
            service,
            access,
            delivery,
            parts.registry.hooks,
            lambda: parts.metrics.counts.held_back,
            KeptPage(ready.check, time.monotonic).get,
            known(),
            groups.queue_limits(parts.settings),
            shared=parts.stores.spool is not None,
        )

    async def _until_stopped(
        self, link: WorkerLink, delivery: DeliveryWorker, apis: "list[asyncio.Task[None]]"
    ) -> None:
        """Wait for the end; a server that was taken over leaves delivery and the APIs to its successor at once."""
        drain = asyncio.create_task(link.drain.wait())
        taken_over = asyncio.create_task(link.taken_over.wait())
        await asyncio.wait({drain, taken_over}, return_when=asyncio.FIRST_COMPLETED)
        if taken_over.done() and not drain.done():
            await cancel(*apis)
            self._parts.lines.close()
            self._tasks.run(delivery.drain(self._parts.settings.drain_seconds))  # the end may come meanwhile
        await drain
        taken_over.cancel()

    async def _end(self, handlers: Mapping[str, Handler]) -> None:
        await self._parts.definition_writer.flush()
        await self._parts.hook_store.close()
        await self._tasks.finish(0)
        for handler in handlers.values():
            await handler.close()
        await self._parts.pool.close()
        if self._membership is not None:
            await self._membership.leave("gone")
        if self._parts.stores.spool is not None:
            await self._parts.stores.spool.close()
        await self._parts.queue.close()
        if self._parts.span_export is not None:
            await self._parts.span_export.close()
